//! Accuracy on problems with known answers: several completions of each are drawn and judged.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::data::tokenizer::Tokenizer;
use crate::data::trajectory::Encoder;
use crate::data::{Record, Rejection};
use crate::error::Result;
use crate::online::Rewards;
use crate::reward::Asked;
use crate::rollout::{Completion, Progress, Prompt, Rollout};

/// A record whose prompt a model is to continue.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    /// The record: what rewards look at.
    pub record: &'a Record,
    /// The prompt's tokens.
    pub tokens: Vec<u32>,
}

/// Tokenizes the prompts of `records`, which stand in `file`, and checks by `check` that completions can be judged and that
/// `max_new` tokens behind each prompt stay within `positions`.
///
/// # Errors
/// [`crate::ErrorKind::Data`] names the file and line.
pub fn problems<'a>(
    encoder: &Encoder<'_>,
    file: &str,
    records: &'a [Record],
    check: &dyn Fn(&Record) -> Result<()>,
    max_new: usize,
    positions: usize,
) -> Result<Vec<Problem<'a>>> {
    let problem = |record: &'a Record| {
        check(record).map_err(|error| error.at(file))?;
        let invalid = |reason: String, help: &str| {
            let (file, line, raw) = (file.to_owned(), record.line, String::new());
            let mut error = Rejection { file, line, field: Some("prompt".into()), reason, raw }.error();
            error.help = help.into();
            error
        };
        let tokens = encoder.prompt(&record.prompt).map_err(|e| invalid(e, "correct or remove the line"))?;
        if tokens.len() + max_new > positions + 1 {
            let reason = format!(
                "its {} tokens and {max_new} new ones exceed the model's {positions} positions",
                tokens.len()
            );
            return Err(invalid(reason, "lower `max_new_tokens`, or remove the line"));
        }
        Ok(Problem { record, tokens })
    };
    records.iter().map(problem).collect()
}

/// The positions that a [`Rollout`] over `problems` needs.
pub fn capacity(problems: &[Problem<'_>], max_new: usize) -> usize {
    problems.iter().map(|p| p.tokens.len()).max().unwrap_or(1) + max_new.saturating_sub(1)
}

/// A judged completion of a problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Its tokens.
    pub completion: Completion,
    /// Its text, without special tokens.
    pub text: String,
    /// What the verifiers gave it, weighed and added up.
    pub reward: f64,
    /// What each of them gave it.
    pub rewards: Vec<f64>,
    /// What it answers, as a majority vote counts it: by the first verifier.
    pub vote: Option<String>,
}

/// How problems are attempted.
#[derive(Clone, Copy, Debug)]
pub struct Attempting {
    /// K: completions of each problem.
    pub samples: usize,
    /// The longest completion, in tokens.
    pub max_new: usize,
    /// Whether to go on after a problem with a completion that cannot be judged.
    pub set_aside: bool,
}

/// Draws and judges completions of each problem. Sample `k` of a problem is the same however many are drawn. A problem with a
/// completion that cannot be judged has [`Rewards::judge`]'s error in its place; unless those are set aside, the first of them is
/// the last of what is returned.
///
/// # Errors
/// As [`Rollout::generate`].
pub async fn attempt(
    rollout: &mut Rollout,
    tokenizer: &Tokenizer,
    rewards: &Rewards,
    problems: &[Problem<'_>],
    Attempting { samples, max_new, set_aside }: Attempting,
    progress: impl FnMut(Progress),
) -> Result<Vec<Result<Vec<Attempt>>>> {
    let prompt = |i: usize, k: usize| Prompt {
        tokens: problems[i].tokens.clone(),
        stream: (k * problems.len() + i) as u32,
        max_new,
    };
    let prompts: Vec<Prompt> = (0..problems.len())
        .flat_map(|i| (0..samples).map(move |k| (i, k)))
        .map(|(i, k)| prompt(i, k))
        .collect();
    let completions = rollout.generate(&prompts, progress).await?;
    let texts = completions
        .iter()
        .map(|completion| rollout.text(tokenizer, completion))
        .collect::<Result<Vec<String>>>()?;
    let asked: Vec<Asked<'_>> = texts
        .iter()
        .enumerate()
        .map(|(i, completion)| Asked { record: problems[i / samples].record, completion })
        .collect();
    let judged = rewards.judge(&asked, set_aside).await;
    let attempts = completions.into_iter().zip(texts).zip(judged).map(|((completion, text), judged)| {
        let (judged, vote) = (judged?, rewards.vote(&text));
        Ok(Attempt { completion, text, reward: judged.total, rewards: judged.each, vote })
    });
    let mut attempts = attempts.peekable();
    let mut by_problem = Vec::with_capacity(problems.len());
    while attempts.peek().is_some() {
        // All of a problem's are taken, also where an early one cannot be judged.
        by_problem.push(attempts.by_ref().take(samples).collect::<Vec<_>>().into_iter().collect());
    }
    Ok(by_problem)
}

/// A mean over problems.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error, the deviation between problems over the root of their number; `None` for a single problem.
    pub standard_error: Option<f64>,
}

impl Mean {
    /// Of one value per problem.
    pub fn new(values: &[f64]) -> Mean {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        Mean { mean, standard_error: (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()) }
    }
}

/// The probability that one of `k` completions is right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PassAt {
    /// How many completions.
    pub k: usize,
    /// Over problems.
    #[serde(flatten)]
    pub mean: Mean,
}

/// What the attempts at all problems come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Problems.
    pub problems: usize,
    /// K: completions of each.
    pub samples: usize,
    /// avg@K: the mean reward.
    pub avg: Mean,
    /// pass@k for the powers of two below K, and for K.
    pub pass: Vec<PassAt>,
    /// maj@K: the reward of the answer that most of a problem's completions give.
    pub maj: Mean,
    /// Tokens of a completion.
    pub mean_length: f64,
    /// The share of completions that ended with a stop token or text.
    pub finished_ratio: f64,
    /// avg@K of each reward by its name, where several are added up.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rewards: BTreeMap<String, Mean>,
}

impl Accuracy {
    /// Of at least one problem with at least one attempt; all have as many.
    pub fn new(attempts: &[Vec<Attempt>]) -> Accuracy {
        let over = |of: &dyn Fn(&[Attempt]) -> f64| {
            Mean::new(&attempts.iter().map(|attempts| of(attempts)).collect::<Vec<_>>())
        };
        let samples = attempts.first().map_or(0, Vec::len);
        let share = |attempts: &[Attempt], of: &dyn Fn(&Attempt) -> f64| {
            attempts.iter().map(of).sum::<f64>() / attempts.len() as f64
        };
        let right = |attempts: &[Attempt]| attempts.iter().filter(|a| a.reward >= 1.0).count();
        let mut counts: Vec<usize> =
            std::iter::successors(Some(1), |k| Some(2 * k)).take_while(|k| *k < samples).collect();
        counts.push(samples);
        let pass = |k| PassAt { k, mean: over(&|a| pass_at(k, a.len(), right(a))) };
        Accuracy {
            problems: attempts.len(),
            samples,
            avg: over(&|a| share(a, &|a| a.reward)),
            pass: counts.into_iter().map(pass).collect(),
            maj: over(&majority),
            mean_length: over(&|a| share(a, &|a| a.completion.tokens.len() as f64)).mean,
            finished_ratio: over(&|a| share(a, &|a| f64::from(u8::from(a.completion.finished)))).mean,
            rewards: BTreeMap::new(),
        }
    }

    /// With the mean of each reward besides that of their sum, where there are several of these `names`.
    #[must_use]
    pub fn by_reward(mut self, names: Vec<String>, attempts: &[Vec<Attempt>]) -> Accuracy {
        if names.len() > 1 {
            let mean = |i: usize| {
                let of =
                    |all: &Vec<Attempt>| all.iter().map(|a| a.rewards[i]).sum::<f64>() / all.len() as f64;
                Mean::new(&attempts.iter().map(of).collect::<Vec<_>>())
            };
            self.rewards = names.into_iter().enumerate().map(|(i, name)| (name, mean(i))).collect();
        }
        self
    }
}

/// The unbiased estimate of the probability that one of `k` completions is right, from `right` of `n` (Chen et al.
/// 2021, "Evaluating Large Language Models Trained on Code"): 1 - C(n - right, k) / C(n, k).
pub fn pass_at(k: usize, n: usize, right: usize) -> f64 {
    if n - right < k {
        return 1.0;
    }
    1.0 - (n - right + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product::<f64>()
}

/// The reward of the most frequent vote. Completions that answer nothing do not vote; where answers tie, one of them is
/// drawn, so their mean counts.
fn majority(attempts: &[Attempt]) -> f64 {
    let mut votes: Vec<(&str, f64, usize)> = Vec::new(); // answer, sum of rewards, completions
    for attempt in attempts {
        let Some(vote) = attempt.vote.as_deref() else { continue };
        match votes.iter_mut().find(|(answer, ..)| *answer == vote) {
            Some((_, reward, count)) => {
                *reward += attempt.reward;
                *count += 1;
            }
            None => votes.push((vote, attempt.reward, 1)),
        }
    }
    let Some(most) = votes.iter().map(|(.., count)| *count).max() else { return 0.0 };
    let winners: Vec<f64> = votes
        .iter()
        .filter(|(.., count)| *count == most)
        .map(|(_, reward, count)| reward / *count as f64)
        .collect();
    winners.iter().sum::<f64>() / winners.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(vote: &str, reward: f64) -> Attempt {
        let vote = (!vote.is_empty()).then(|| vote.to_owned());
        let completion = Completion { tokens: vec![0; 3], finished: reward > 0.0, ..Completion::default() };
        Attempt { completion, text: String::new(), reward, rewards: vec![reward, 2.0 * reward], vote }
    }

    /// Over all ways to choose k of n completions, the first `right` of which are right.
    #[test]
    fn pass_at_k_is_the_share_of_choices_with_a_right_one() {
        for n in 1..=7usize {
            for right in 0..=n {
                for k in 1..=n {
                    let choices: Vec<u32> = (0..1u32 << n).filter(|c| c.count_ones() as usize == k).collect();
                    let wins = choices.iter().filter(|c| *c & ((1u32 << right) - 1) != 0).count();
                    let diff = (pass_at(k, n, right) - wins as f64 / choices.len() as f64).abs();
                    assert!(diff <= 1e-12, "pass@{k} of {right}/{n}: off by {diff}");
                }
            }
        }
    }

    #[test]
    fn the_majority_is_of_those_who_vote_and_ties_share() {
        assert_eq!(majority(&[attempt("4", 1.0), attempt("5", 0.0), attempt("4", 1.0)]), 1.0);
        assert_eq!(majority(&[attempt("4", 1.0), attempt("5", 0.0), attempt("5", 0.0)]), 0.0);
        assert_eq!(majority(&[attempt("4", 1.0), attempt("", 0.0), attempt("", 0.0)]), 1.0);
        assert_eq!(
            majority(&[
                attempt("5", 0.0),
                attempt("4", 1.0),
                attempt("6", 0.0),
                attempt("4", 1.0),
                attempt("5", 0.0)
            ]),
            0.5
        );
        assert_eq!(majority(&[attempt("", 0.0)]), 0.0);
    }

    #[test]
    fn means_and_errors_are_over_problems() {
        let right = vec![attempt("1", 1.0), attempt("1", 1.0), attempt("2", 0.0), attempt("1", 1.0)];
        let wrong = vec![attempt("2", 0.0), attempt("2", 0.0), attempt("3", 0.0), attempt("1", 1.0)];
        let both = [right.clone(), wrong];
        let accuracy = Accuracy::new(&both);
        assert_eq!((accuracy.problems, accuracy.samples), (2, 4));
        assert_eq!(accuracy.avg, Mean { mean: 0.5, standard_error: Some(0.25) });
        assert_eq!(accuracy.maj, Mean { mean: 0.5, standard_error: Some(0.5) });
        let pass: Vec<(usize, f64)> = accuracy.pass.iter().map(|p| (p.k, p.mean.mean)).collect();
        assert_eq!(pass, [(1, 0.5), (2, 0.75), (4, 1.0)]);
        assert_eq!((accuracy.mean_length, accuracy.finished_ratio), (3.0, 0.5));
        assert_eq!(Accuracy::new(&[right]).avg, Mean { mean: 0.75, standard_error: None });
        let json = serde_json::to_value(&accuracy).unwrap();
        assert!(json.get("rewards").is_none());
        let named = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            serde_json::to_value(accuracy.clone().by_reward(names, &both)).unwrap()
        };
        assert_eq!(named(&["one"]), json);
        assert_eq!(named(&["one", "two"])["rewards"]["two"]["mean"], 1.0);
        assert_eq!(json["pass"][1], serde_json::json!({"k": 2, "mean": 0.75, "standard_error": 0.25}));
    }
}
