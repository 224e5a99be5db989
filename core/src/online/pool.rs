//! The rollouts that steps draw from: the newest batch and the replay window behind it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::objective::Critique;

/// A completion of a prompt by some earlier policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rolled {
    /// The completion, with its reward and log-probs.
    pub trajectory: Trajectory,
    /// V_1 under the policy that wrote it.
    pub v1: f32,
    /// Per token, by the reference.
    pub ref_logp: Vec<f32>,
    /// V_1 under the reference.
    pub ref_v1: f32,
    /// Of ppo.
    pub critique: Option<Critique>,
}

/// The rollouts of one round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Round {
    /// From 0.
    pub round: u64,
    /// Rollouts of one prompt, which stand one after the other.
    pub each: usize,
    pub rollouts: Vec<Rolled>,
    /// What they add to the metrics of the steps that follow them.
    pub more: BTreeMap<String, f64>,
}

/// Rounds, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pool {
    rounds: VecDeque<Round>,
}

/// What the file's metadata says of a round.
#[derive(Serialize, Deserialize)]
struct Head {
    round: u64,
    each: usize,
    count: usize,
    more: BTreeMap<String, f64>,
}

/// What it says of a rollout besides numbers.
#[derive(Serialize, Deserialize)]
struct Origin {
    file: String,
    line: usize,
    group: Option<String>,
    truncated: bool,
    reward: f64,
    weight: f64,
    v_star: Option<f64>,
}

/// All of the file's metadata.
#[derive(Serialize, Deserialize)]
struct Said {
    rounds: Vec<Head>,
    rollouts: Vec<Origin>,
    values: Vec<f64>,
}

/// Its key.
const SAID: &str = "rollouts";

impl Pool {
    /// Adds the newest round, and forgets those that are more than `replay` rounds older.
    pub(crate) fn push(&mut self, round: Round, replay: usize) {
        self.rounds.push_back(round);
        while self.rounds.len() > replay + 1 {
            self.rounds.pop_front();
        }
    }

    pub(crate) fn newest(&self) -> Option<&Round> {
        self.rounds.back()
    }

    /// All rollouts, the oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rolled> {
        self.rounds.iter().flat_map(|round| &round.rollouts)
    }

    /// As [`Pool::all`].
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Rolled> {
        self.rounds.iter_mut().flat_map(|round| &mut round.rollouts)
    }

    /// Sets that stay together, as places in [`Pool::all`]: each prompt's rollouts where `grouped`, else each rollout.
    pub(crate) fn sets(&self, grouped: bool) -> Vec<Range<usize>> {
        let mut sets = Vec::new();
        let mut at = 0;
        for round in &self.rounds {
            let size = if grouped { round.each } else { 1 };
            let end = at + round.rollouts.len();
            sets.extend((at..end).step_by(size).map(|first| first..first + size));
            at = end;
        }
        sets
    }

    /// The bytes of `rollouts.safetensors`, with `values`: V* of each prompt, where it was estimated.
    pub(crate) fn to_bytes(&self, values: &[f64]) -> Result<Vec<u8>> {
        let heads: Vec<Head> = self
            .rounds
            .iter()
            .map(|round| Head {
                round: round.round,
                each: round.each,
                count: round.rollouts.len(),
                more: round.more.clone(),
            })
            .collect();
        let origin = |rolled: &Rolled| {
            let t = &rolled.trajectory;
            Origin {
                file: t.file.to_string(),
                line: t.line,
                group: t.group.clone(),
                truncated: t.truncated,
                reward: t.reward.unwrap_or(0.0),
                weight: t.weight,
                v_star: t.v_star,
            }
        };
        let origins: Vec<Origin> = self.all().map(origin).collect();
        let values = values.to_vec();
        let said = serde_json::to_string(&Said { rounds: heads, rollouts: origins, values });
        // One key: several would stand in the file in an order that is another each time.
        let metadata = HashMap::from([(SAID.to_owned(), said.map_err(|e| damaged(&e.to_string()))?)]);
        let tokens: Vec<u32> = self.all().flat_map(|r| r.trajectory.tokens.iter().copied()).collect();
        let lengths: Vec<u32> = self
            .all()
            .flat_map(|r| [r.trajectory.prompt_len as u32, r.trajectory.tokens.len() as u32])
            .collect();
        let logps: Vec<f32> =
            self.all().flat_map(|r| r.trajectory.logps.clone().unwrap_or_default()).collect();
        let ref_logp: Vec<f32> = self.all().flat_map(|r| r.ref_logp.iter().copied()).collect();
        let v1: Vec<f32> = self.all().flat_map(|r| [r.v1, r.ref_v1]).collect();
        let critique: Vec<f32> = self
            .all()
            .filter_map(|r| r.critique.as_ref())
            .flat_map(|c| [&c.value, &c.advantage, &c.returns].into_iter().flatten().copied())
            .collect();
        let view =
            |dtype, len, bytes| TensorView::new(dtype, vec![len], bytes).map_err(|e| damaged(&e.to_string()));
        let mut tensors = vec![
            ("tokens", view(Dtype::U32, tokens.len(), bytemuck::cast_slice(&tokens))?),
            ("lengths", view(Dtype::U32, lengths.len(), bytemuck::cast_slice(&lengths))?),
            ("logps", view(Dtype::F32, logps.len(), bytemuck::cast_slice(&logps))?),
            ("ref_logp", view(Dtype::F32, ref_logp.len(), bytemuck::cast_slice(&ref_logp))?),
            ("v1", view(Dtype::F32, v1.len(), bytemuck::cast_slice(&v1))?),
        ];
        if !critique.is_empty() {
            tensors.push(("critique", view(Dtype::F32, critique.len(), bytemuck::cast_slice(&critique))?));
        }
        safetensors::serialize(tensors, Some(metadata)).map_err(|e| damaged(&e.to_string()))
    }

    /// Reads what [`Pool::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when it is damaged.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(Pool, Vec<f64>)> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e.to_string()))?;
        let said =
            header.metadata().as_ref().and_then(|m| m.get(SAID)).map(String::as_str).unwrap_or_default();
        let said: Said = serde_json::from_str(said).map_err(|e| damaged(&e.to_string()))?;
        let Said { rounds: heads, rollouts: origins, values } = said;
        let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(&e.to_string()))?;
        let data =
            |name: &str| file.tensor(name).map(|tensor| tensor.data()).map_err(|e| damaged(&e.to_string()));
        let tokens: Vec<u32> = bytemuck::pod_collect_to_vec(data("tokens")?);
        let lengths: Vec<u32> = bytemuck::pod_collect_to_vec(data("lengths")?);
        let logps: Vec<f32> = bytemuck::pod_collect_to_vec(data("logps")?);
        let ref_logp: Vec<f32> = bytemuck::pod_collect_to_vec(data("ref_logp")?);
        let v1: Vec<f32> = bytemuck::pod_collect_to_vec(data("v1")?);
        // Only ppo has it.
        let critique: Vec<f32> =
            file.tensor("critique").map(|t| bytemuck::pod_collect_to_vec(t.data())).unwrap_or_default();
        let total: usize = lengths.chunks(2).map(|l| l[1] as usize).sum();
        let actions: usize = lengths.chunks(2).map(|l| l[1].saturating_sub(l[0]) as usize).sum();
        let count: usize = heads.iter().map(|head| head.count).sum();
        let fits = lengths.len() == 2 * origins.len()
            && v1.len() == lengths.len()
            && count == origins.len()
            && total == tokens.len()
            && actions == logps.len()
            && actions == ref_logp.len()
            && [0, 3 * actions].contains(&critique.len())
            && lengths.chunks(2).all(|l| l[0] < l[1])
            && heads.iter().all(|head| head.each > 0 && head.count.is_multiple_of(head.each));
        if !fits {
            return Err(damaged("its parts do not fit each other"));
        }
        let (mut token, mut action) = (0, 0);
        let mut rolled = |origin: Origin, length: &[u32], v1: &[f32]| {
            let (prompt_len, len) = (length[0] as usize, length[1] as usize);
            let (own, rows) = (token..token + len, action..action + len - prompt_len);
            (token, action) = (own.end, rows.end);
            let trajectory = Trajectory {
                file: Arc::from(origin.file),
                line: origin.line,
                group: origin.group,
                truncated: origin.truncated,
                reward: Some(origin.reward),
                weight: origin.weight,
                v_star: origin.v_star,
                logps: Some(logps[rows.clone()].to_vec()),
                ..Trajectory::new(prompt_len, tokens[own].to_vec())
            };
            let own = critique.get(3 * rows.start..3 * rows.end).map(|own| {
                let (value, rest) = own.split_at(rows.len());
                let (advantage, returns) = rest.split_at(rows.len());
                Critique { value: value.to_vec(), advantage: advantage.to_vec(), returns: returns.to_vec() }
            });
            let ref_logp = ref_logp[rows].to_vec();
            Rolled { trajectory, v1: v1[0], ref_v1: v1[1], ref_logp, critique: own }
        };
        let numbers = lengths.chunks(2).zip(v1.chunks(2));
        let mut all =
            origins.into_iter().zip(numbers).map(|(origin, (length, v1))| rolled(origin, length, v1));
        let round = |Head { round, each, count, more }| Round {
            round,
            each,
            rollouts: all.by_ref().take(count).collect(),
            more,
        };
        Ok((Pool { rounds: heads.into_iter().map(round).collect() }, values))
    }
}

fn damaged(why: &str) -> Error {
    let help = "resume from an earlier checkpoint, or start again";
    Error::new(ErrorKind::Checkpoint, format!("rollouts.safetensors is damaged: {why}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rolled(round: u64, i: u32) -> Rolled {
        let trajectory = Trajectory {
            file: "prompts.jsonl".into(),
            line: i as usize + 1,
            group: Some(format!("{round}/{}", i / 2)),
            truncated: i == 1,
            reward: Some(0.1 * f64::from(i)),
            weight: f64::from(i % 2),
            v_star: (i == 0).then_some(0.7),
            logps: Some(vec![-0.5; 1 + i as usize]),
            ..Trajectory::new(2, vec![i; 3 + i as usize])
        };
        let ref_logp = vec![-0.25; 1 + i as usize];
        Rolled { trajectory, v1: 1.5, ref_logp, ref_v1: -2.5, critique: None }
    }

    fn round(round: u64, each: usize) -> Round {
        let rollouts = (0..4).map(|i| rolled(round, i)).collect();
        Round { round, each, rollouts, more: BTreeMap::from([("kl_sampled".to_owned(), 0.1 + 0.2)]) }
    }

    #[test]
    fn old_rounds_leave_and_groups_stay_whole() {
        let mut pool = Pool::default();
        (0..4).for_each(|i| pool.push(round(i, 2), 1));
        assert_eq!((pool.newest().unwrap().round, pool.all().count()), (3, 8));
        assert_eq!(pool.sets(true), [0..2, 2..4, 4..6, 6..8]);
        assert_eq!(pool.sets(false).len(), 8);
    }

    #[test]
    fn a_pool_is_read_back_to_the_bit_and_damage_is_found() {
        let mut pool = Pool::default();
        (5..7).for_each(|i| pool.push(round(i, 2), 3));
        let values = [0.1 + 0.2, 1.0 / 3.0];
        let bytes = pool.to_bytes(&values).unwrap();
        assert_eq!(Pool::from_bytes(&bytes).unwrap(), (pool.clone(), values.to_vec()));
        assert!(Pool::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        for (i, rolled) in pool.all_mut().enumerate() {
            let of = |x: f32| (0..rolled.ref_logp.len()).map(|h| x + h as f32 + i as f32).collect();
            rolled.critique = Some(Critique { value: of(0.5), advantage: of(100.25), returns: of(-100.0) });
        }
        let bytes = pool.to_bytes(&values).unwrap();
        assert_eq!(Pool::from_bytes(&bytes).unwrap(), (pool, values.to_vec()));
        assert_eq!(Pool::from_bytes(&Pool::default().to_bytes(&[]).unwrap()).unwrap().0, Pool::default());
    }
}
