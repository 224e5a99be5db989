//! What completions are worth: the weighted sum of one or more verifiers.

use std::collections::BTreeMap;

use crate::data::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::reward::{self, AnyReward, Asked, Reward};

/// Verifiers with their weights.
pub struct Rewards(Vec<(AnyReward, f64)>);

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
    pub fn parse_with<R: Into<AnyReward>>(
        kinds: &[String],
        weights: &[f64],
        parse: impl Fn(&str) -> Result<R>,
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
        let one = |(i, kind): (usize, &String)| Ok((parse(kind)?.into(), weight(i)));
        kinds.iter().enumerate().map(one).collect::<Result<_>>().map(Rewards)
    }

    /// Verifiers of the caller's own, with their weights.
    pub fn new(rewards: Vec<(Box<dyn Reward>, f64)>) -> Rewards {
        Rewards(rewards.into_iter().map(|(reward, weight)| (reward.into(), weight)).collect())
    }

    /// Their names; where one comes again, with its number.
    pub fn names(&self) -> Vec<String> {
        let name = |(i, (reward, _)): (usize, &(AnyReward, f64))| {
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

    /// Judges completions, in their order. Each has its scores or its own error: that of [`Reward::score`], or
    /// [`ErrorKind::NotFinite`], which shows the completion whose reward is no number. Unless `all` are wanted, the first error is
    /// the last of what is returned.
    pub async fn judge(&self, asked: &[Asked<'_>], all: bool) -> Vec<Result<Judged>> {
        let mut batches = Vec::with_capacity(self.0.len());
        for (reward, _) in &self.0 {
            batches.push(match reward {
                AnyReward::Each(_) => Vec::new(),
                AnyReward::Batch(reward) => reward.score(asked, all).await,
            });
        }
        let mut batches: Vec<_> = batches.into_iter().map(Vec::into_iter).collect();
        let mut judged = Vec::with_capacity(asked.len());
        for one in asked {
            let given = batches.iter_mut().map(Iterator::next).collect();
            judged.push(self.sum(one, given));
            if !all && judged.last().is_some_and(Result::is_err) {
                break;
            }
        }
        judged
    }

    /// The weighted sum for one completion, for which batches have `given` their scores.
    fn sum(&self, asked: &Asked<'_>, given: Vec<Option<Result<f64>>>) -> Result<Judged> {
        let Asked { record, completion } = *asked;
        let mut judged = Judged::default();
        for ((reward, weight), given) in self.0.iter().zip(given) {
            let score = match reward {
                AnyReward::Each(reward) => reward.score(record, completion)?,
                AnyReward::Batch(reward) => given.unwrap_or_else(|| Err(unjudged(reward.name(), asked)))?,
            };
            if !score.is_finite() {
                let (line, name) = (record.line, reward.name());
                let what = format!("line {line}: the reward `{name}` gave {score} for {completion:?}");
                let help = "correct the reward: it must be a number";
                return Err(Error::new(ErrorKind::NotFinite, what, help));
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

fn unjudged(name: &str, asked: &Asked<'_>) -> Error {
    let Asked { record, completion } = asked;
    let what = format!("line {}: the reward `{name}` gave no score for {completion:?}", record.line);
    Error::new(ErrorKind::Data, what, "correct the reward: it must answer for every completion")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Needs;
    use crate::reward::{BatchReward, Scores};
    use tbrm_testing::block_on;

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

    /// Twice the length, in two turns of the executor; text with an `x` fails, and after `answers` completions it says no more.
    struct Later {
        answers: usize,
    }

    impl BatchReward for Later {
        fn name(&self) -> &str {
            "later"
        }

        fn check(&self, _: &Record) -> Result<()> {
            Ok(())
        }

        fn score<'a>(&'a self, asked: &'a [Asked<'a>], _: bool) -> Scores<'a> {
            Box::pin(async move {
                let mut waited = false;
                std::future::poll_fn(|context| {
                    context.waker().wake_by_ref();
                    if std::mem::replace(&mut waited, true) {
                        std::task::Poll::Ready(())
                    } else {
                        std::task::Poll::Pending
                    }
                })
                .await;
                let one = |asked: &Asked<'_>| match asked.completion.contains('x') {
                    true => Err(Error::new(ErrorKind::Data, "it threw", "mend it")),
                    false => Ok(2.0 * asked.completion.len() as f64),
                };
                asked.iter().take(self.answers).map(one).collect()
            })
        }
    }

    fn judge(rewards: &Rewards, completions: &[&str], all: bool) -> Vec<Result<Judged>> {
        let record = record();
        let asked: Vec<Asked<'_>> =
            completions.iter().map(|completion| Asked { record: &record, completion }).collect();
        block_on(rewards.judge(&asked, all))
    }

    fn record() -> Record {
        Record::parse(3, r#"{"prompt": "p", "answer": "4"}"#, Needs::Prompt).unwrap()
    }

    #[test]
    fn rewards_are_weighed_and_each_is_a_metric() {
        let numeric = reward::parse("numeric").unwrap();
        let rewards = Rewards::new(vec![(numeric, 2.0), (Box::new(Length(2.0)), -0.5)]);
        let judged: Vec<Judged> =
            judge(&rewards, &["4", "so 5"], false).into_iter().map(Result::unwrap).collect();
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
        let error = judge(&rewards, &[""], false).remove(0).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFinite);
        assert!(error.what.contains("line 3") && error.what.contains("\"\""), "{error}");
    }

    #[test]
    fn rewards_that_answer_later_are_added_to_those_that_answer_at_once() {
        let rewards = |answers| {
            Rewards(vec![
                (AnyReward::Each(Box::new(Length(1.0))), 1.0),
                (AnyReward::Batch(Box::new(Later { answers })), 0.5),
            ])
        };
        let completions = ["a", "abc", "xy", "ab", "x"];
        let told = |judged: Vec<Result<Judged>>| -> Vec<String> {
            judged.into_iter().map(|it| it.map_or_else(|e| e.what, |j| format!("{j:?}"))).collect()
        };
        let good = |n: f64| format!("{:?}", Judged { each: vec![n, 2.0 * n], total: 2.0 * n });
        let want = [good(1.0), good(3.0), "it threw".into(), good(2.0), "it threw".into()];
        assert_eq!(told(judge(&rewards(9), &completions, true)), want);
        // The first failure ends the run: what comes after it is not asked for.
        assert_eq!(told(judge(&rewards(9), &completions, false)), want[..3]);
        let silent = told(judge(&rewards(1), &completions, false));
        assert!(silent.len() == 2 && silent[1].contains("`later` gave no score for \"abc\""), "{silent:?}");
    }
}
