//! Trajectories that an objective needs together: a group or a pair is trained on in one micro-batch or not at all.

use std::collections::HashMap;
use std::ops::Range;

use super::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::objective::{Objective, Together};

/// What a step is drawn from: sets of trajectories, as places in the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sets {
    /// So many trajectories, each alone.
    Alone(usize),
    /// Groups or pairs, in the order of their first trajectories.
    Together(Vec<Vec<usize>>),
}

impl Sets {
    /// The sets of `data` that `objective` needs, whose records were checked to have what it needs.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] names a group of one, which has nothing to be compared with.
    pub fn new(objective: Objective, together: Together, data: &[Trajectory]) -> Result<Sets> {
        match together {
            Together::Alone => Ok(Sets::Alone(data.len())),
            // The two of a pair are read from one record, the better first.
            Together::Pair => {
                Ok(Sets::Together((0..data.len() / 2).map(|i| vec![2 * i, 2 * i + 1]).collect()))
            }
            Together::Group => groups(objective, data),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Sets::Alone(count) => *count,
            Sets::Together(sets) => sets.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Trajectories of the largest; 1 where there are none.
    pub fn largest(&self) -> usize {
        match self {
            Sets::Alone(_) => 1,
            Sets::Together(sets) => sets.iter().map(Vec::len).max().unwrap_or(1),
        }
    }

    /// The trajectories of a set.
    pub fn members(&self, set: usize) -> Vec<usize> {
        match self {
            Sets::Alone(_) => vec![set],
            Sets::Together(sets) => sets[set].clone(),
        }
    }

    /// Tokens of the set that has most.
    pub fn longest(&self, data: &[Trajectory]) -> usize {
        let tokens = |set| self.members(set).iter().map(|&i| data[i].tokens.len()).sum();
        (0..self.len()).map(tokens).max().unwrap_or(0)
    }
}

/// Where sets of `sizes` lie that stand one after the other.
pub(crate) fn ranges(sizes: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let mut end = 0;
    let range = |size| {
        let start = end;
        end += size;
        start..end
    };
    sizes.into_iter().map(range).collect()
}

fn groups(objective: Objective, data: &[Trajectory]) -> Result<Sets> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for (i, trajectory) in data.iter().enumerate() {
        match &trajectory.group {
            Some(group) => {
                let place = *places.entry(group).or_insert(sets.len());
                match sets.get_mut(place) {
                    Some(set) => set.push(i),
                    None => sets.push(vec![i]),
                }
            }
            None => sets.push(vec![i]),
        }
    }
    let single = sets.iter().find(|set| set.len() == 1 && data[set[0]].v_star.is_none());
    if let Some(&[i]) = single.map(Vec::as_slice) {
        let group = data[i].group.as_deref().unwrap_or_default();
        let what = format!(
            "{}: the record is alone in its group `{group}`, and {} compares rollouts of one prompt",
            data[i].place(),
            objective.name()
        );
        let help =
            "log several rollouts of each prompt, or train with `objective` tbrm, which needs no groups";
        return Err(Error::new(ErrorKind::Data, what, help));
    }
    Ok(Sets::Together(sets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(groups: &[Option<&str>]) -> Vec<Trajectory> {
        let one = |(i, group): (usize, &Option<&str>)| Trajectory {
            line: i + 1,
            group: group.map(str::to_owned),
            ..Trajectory::new(1, vec![0; 2 + i])
        };
        groups.iter().enumerate().map(one).collect()
    }

    #[test]
    fn groups_are_put_together_wherever_their_records_stand() {
        let data = of(&[Some("a"), Some("b"), Some("a"), Some("a"), Some("b")]);
        let sets = Sets::new(Objective::Rloo, Together::Group, &data).unwrap();
        assert_eq!(sets, Sets::Together(vec![vec![0, 2, 3], vec![1, 4]]));
        assert_eq!((sets.len(), sets.largest(), sets.longest(&data)), (2, 3, 2 + 4 + 5));
        assert_eq!(Sets::new(Objective::Tbrm, Together::Alone, &data).unwrap(), Sets::Alone(5));
        let pairs = Sets::new(Objective::Dpo, Together::Pair, &data[..4]).unwrap();
        assert_eq!((pairs.members(1), pairs.longest(&data)), (vec![2, 3], 4 + 5));
    }

    #[test]
    fn a_record_alone_in_its_group_is_named() {
        let mut data = of(&[Some("a"), Some("b"), Some("a")]);
        let error = Sets::new(Objective::Grpo, Together::Group, &data).unwrap_err();
        assert!(error.what.starts_with("line 2: the record is alone in its group `b`, and grpo"), "{error}");
        data[1].v_star = Some(0.5);
        assert!(Sets::new(Objective::A2po, Together::Group, &data).is_ok());
    }
}
