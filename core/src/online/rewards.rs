//! What completions are worth: the weighted sum of one or more verifiers.

use std::collections::BTreeMap;

use crate::data::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::reward::{self, Reward};

/// Verifiers with their weights.
pub struct Rewards(Vec<(Box<dyn Reward>, f64)>);

/// What a completion got.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// By each verifier.
    pub each: Vec<f64>,
    /// Their weighted sum.
    pub total: f64,
}

impl Rewards {
    /// The verifiers that `kinds` name; all weigh 1 where no weights are given.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names a kind that there is not, or the number of weights.
    pub fn parse(kinds: &[String], weights: &[f64]) -> Result<Rewards> {
        Rewards::parse_with(kinds, weights, reward::parse)
    }

    /// The same with a front end's own kinds: `parse` says which verifier a kind is.
    ///
    /// # Errors
    /// As [`Rewards::parse`], and those of `parse`.
    pub fn parse_with(
        kinds: &[String],
        weights: &[f64],
        parse: impl Fn(&str) -> Result<Box<dyn Reward>>,
    ) -> Result<Rewards> {
        if kinds.is_empty() || !(weights.is_empty() || weights.len() == kinds.len()) {
            let what = format!("there are {} rewards and {} weights for them", kinds.len(), weights.len());
            return Err(Error::new(
                ErrorKind::Config,
                what,
                "give at least one reward, and a weight for each or none",
            ));
        }
        let weight = |i: usize| weights.get(i).copied().unwrap_or(1.0);
        let one = |(i, kind): (usize, &String)| Ok((parse(kind)?, weight(i)));
        kinds.iter().enumerate().map(one).collect::<Result<_>>().map(Rewards)
    }

    /// Verifiers of the caller's own, with their weights.
    pub fn new(rewards: Vec<(Box<dyn Reward>, f64)>) -> Rewards {
        Rewards(rewards)
    }

    /// Their names; where one comes again, with its number.
    pub fn names(&self) -> Vec<String> {
        let name = |(i, (reward, _)): (usize, &(Box<dyn Reward>, f64))| {
            let before = self.0[..i].iter().filter(|(other, _)| other.name() == reward.name()).count();
            if before == 0 { reward.name().to_owned() } else { format!("{}_{}", reward.name(), before + 1) }
        };
        self.0.iter().enumerate().map(name).collect()
    }

    /// What `completion` answers, as the first of them counts votes.
    pub fn vote(&self, completion: &str) -> Option<String> {
        self.0.first().and_then(|(reward, _)| reward.vote(completion))
    }

    /// Checks, before anything runs, that `record` has what they need.
    ///
    /// # Errors
    /// As [`Reward::check`].
    pub fn check(&self, record: &Record) -> Result<()> {
        self.0.iter().try_for_each(|(reward, _)| reward.check(record))
    }

    /// Judges a completion.
    ///
    /// # Errors
    /// As [`Reward::score`]; [`ErrorKind::NotFinite`] shows the completion whose reward is no number.
    pub fn score(&self, record: &Record, completion: &str) -> Result<Judged> {
        let mut judged = Judged::default();
        for (reward, weight) in &self.0 {
            let score = reward.score(record, completion)?;
            if !score.is_finite() {
                let what = format!(
                    "line {}: the reward `{}` gave {score} for {completion:?}",
                    record.line,
                    reward.name()
                );
                return Err(Error::new(
                    ErrorKind::NotFinite,
                    what,
                    "correct the reward: it must be a number",
                ));
            }
            judged.each.push(score);
            judged.total += weight * score;
        }
        Ok(judged)
    }

    /// Mean and spread of each over `judged`, as metrics.
    pub(crate) fn metrics(&self, judged: &[&Judged]) -> BTreeMap<String, f64> {
        let n = judged.len() as f64;
        let mut all = BTreeMap::new();
        for (i, name) in self.names().into_iter().enumerate() {
            let mean = judged.iter().map(|j| j.each[i]).sum::<f64>() / n;
            let variance = judged.iter().map(|j| (j.each[i] - mean).powi(2)).sum::<f64>() / n;
            all.insert(format!("rewards/{name}/mean"), mean);
            all.insert(format!("rewards/{name}/std"), variance.sqrt());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Needs;

    struct Length(f64);

    impl Reward for Length {
        fn name(&self) -> &str {
            "length"
        }

        fn check(&self, _: &Record) -> Result<()> {
            Ok(())
        }

        fn score(&self, _: &Record, completion: &str) -> Result<f64> {
            Ok(completion.len() as f64 / self.0)
        }
    }

    fn record() -> Record {
        Record::parse(3, r#"{"prompt": "p", "answer": "4"}"#, Needs::Prompt).unwrap()
    }

    #[test]
    fn rewards_are_weighed_and_each_is_a_metric() {
        let numeric = reward::parse("numeric").unwrap();
        let rewards = Rewards::new(vec![(numeric, 2.0), (Box::new(Length(2.0)), -0.5)]);
        let judged: Vec<Judged> =
            ["4", "so 5"].iter().map(|text| rewards.score(&record(), text).unwrap()).collect();
        assert_eq!(judged[0], Judged { each: vec![1.0, 0.5], total: 1.75 });
        assert_eq!(judged[1].total, -1.0);
        let metrics = rewards.metrics(&judged.iter().collect::<Vec<_>>());
        assert_eq!((metrics["rewards/numeric/mean"], metrics["rewards/numeric/std"]), (0.5, 0.5));
        assert_eq!((metrics["rewards/length/mean"], metrics["rewards/length/std"]), (1.25, 0.75));
        assert!(Rewards::parse(&["numeric".to_owned()], &[1.0, 2.0]).is_err());
        assert!(Rewards::parse(&["best".to_owned()], &[]).is_err());
        let thrice = ["regex:a", "numeric", "regex:b"].map(str::to_owned);
        assert_eq!(Rewards::parse(&thrice, &[]).unwrap().names(), ["regex", "numeric", "regex_2"]);
    }

    #[test]
    fn a_reward_that_is_no_number_shows_the_completion() {
        let rewards = Rewards::new(vec![(Box::new(Length(0.0)), 1.0)]);
        let error = rewards.score(&record(), "").unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFinite);
        assert!(error.what.contains("line 3") && error.what.contains("\"\""), "{error}");
    }
}
