//! What to look at: calibration, the completions that the model credits most and least, and the records to label next.

use serde::Serialize;

use super::Opinions;
use crate::data::logs::Report;
use crate::data::tokenizer::Tokenizer;
use crate::data::trajectory::Trajectory;
use crate::error::Result;
use crate::lab::offline::{DRAWS, Setting, Verdict};
use crate::lab::stats::{Interval, bootstrap};
use crate::run::report::{Sample, SampleToken};
use crate::train;

/// Bins of equally many records.
const BINS: usize = 8;
/// Completions that are shown of the most credited, and as many of the least.
const SHOWN: usize = 4;
/// Records to label next that are listed.
const LISTED: usize = 12;
/// Characters of a prompt or a completion that are listed.
const CHARS: usize = 160;

/// Records whose predicted rewards lie next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Records.
    pub records: usize,
    /// The mean of the rewards that the model predicts: beta (rho + V_1 - V_ref).
    pub predicted: f64,
    /// The mean of those that were given.
    pub given: Interval,
}

/// A record to label next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Its place in the logs.
    pub place: String,
    /// The prompt, cut.
    pub prompt: String,
    /// The completion, cut.
    pub completion: String,
    /// The reward that it has.
    pub reward: Option<f64>,
    /// The predicted reward, between the least and the greatest of the logs as 0 and 1.
    pub predicted: f64,
    /// How unsure the model is of it: 1 halfway between them, 0 at either.
    pub unsure: f64,
    /// How much it matters: the probability that the trained model gives one of its tokens, as a geometric mean.
    pub matters: f64,
    /// The product of both, by which candidates are ordered.
    pub priority: f64,
}

/// Equally many records in each bin, by what is predicted of them.
pub(super) fn calibration(verdicts: &[Verdict], groups: &[Vec<usize>], seed: u64) -> Vec<Bin> {
    let mut group_of = vec![0; verdicts.len()];
    for (group, members) in groups.iter().enumerate() {
        members.iter().for_each(|&i| group_of[i] = group);
    }
    let mut order: Vec<usize> = (0..verdicts.len()).filter(|&i| verdicts[i].reward.is_some()).collect();
    order.sort_by(|&a, &b| verdicts[a].predicted.total_cmp(&verdicts[b].predicted));
    let bins = BINS.min(order.len());
    let bin = |bin: usize| {
        let members = &order[bin * order.len() / bins..(bin + 1) * order.len() / bins];
        // Records of one prompt hang together: prompts are drawn.
        let mut prompts: Vec<usize> = members.iter().map(|&i| group_of[i]).collect();
        prompts.sort_unstable();
        prompts.dedup();
        let of = |prompt: &usize| -> Vec<f64> {
            let own = members.iter().filter(|i| group_of[**i] == *prompt);
            own.filter_map(|i| verdicts[*i].reward).collect()
        };
        let each: Vec<Vec<f64>> = prompts.iter().map(of).collect();
        let given = bootstrap(each.len(), DRAWS, seed, |drawn| {
            let rewards: Vec<f64> = drawn.iter().flat_map(|&at| each[at].iter().copied()).collect();
            (!rewards.is_empty()).then(|| rewards.iter().sum::<f64>() / rewards.len() as f64)
        })?;
        let predicted = members.iter().map(|&i| verdicts[i].predicted).sum::<f64>() / members.len() as f64;
        Some(Bin { records: members.len(), predicted, given })
    };
    (0..bins).filter_map(bin).collect()
}

/// The held-out completions with the highest and the lowest beta * rho, token by token.
pub(super) fn credited(
    tokenizer: &Tokenizer,
    records: &[Trajectory],
    opinions: &Opinions,
    setting: &Setting,
    step: u64,
) -> Result<Vec<Sample>> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by(|&a, &b| opinions.verdicts[b].implicit.total_cmp(&opinions.verdicts[a].implicit));
    let shown = SHOWN.min(order.len().div_ceil(2));
    let (most, least) =
        (order[..shown].to_vec(), order[order.len().saturating_sub(shown).max(shown)..].to_vec());
    let sample = |&i: &usize| -> Result<Sample> {
        let (now, before) = (&opinions.now[i], &opinions.before[i]);
        let v_ref = train::reference::origin(setting.calibrate, before.v1);
        let sample = train::Sample::new(&records[i], now, &before.logp, v_ref, setting.beta);
        Ok(Sample {
            step,
            prompt: tokenizer.decode(&sample.prompt, true)?,
            completion: tokenizer.decode(&sample.completion, false)?,
            reward: sample.reward,
            residual: sample.residual,
            tokens: SampleToken::of(tokenizer, &sample)?,
        })
    };
    most.iter().chain(&least).map(sample).collect()
}

/// How unsure a prediction is, 4 p (1 - p), with p cut to 0..1.
fn unsure(p: f64) -> f64 {
    let p = p.clamp(0.0, 1.0);
    4.0 * p * (1.0 - p)
}

/// The records with the highest priority.
pub(super) fn candidates(
    tokenizer: &Tokenizer,
    records: &[&Trajectory],
    verdicts: &[Verdict],
    check: &Report,
) -> Result<Vec<Candidate>> {
    let (least, greatest) = check.reward.as_ref().map_or((0.0, 1.0), |rewards| (rewards.min, rewards.max));
    let scaled = |predicted: f64| (predicted - least) / (greatest - least);
    let priority = |verdict: &Verdict| unsure(scaled(verdict.predicted)) * verdict.mean_logp.exp();
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by(|&a, &b| priority(&verdicts[b]).total_cmp(&priority(&verdicts[a])).then(a.cmp(&b)));
    let candidate = |&i: &usize| -> Result<Candidate> {
        let (record, verdict) = (records[i], &verdicts[i]);
        let (prompt, completion) = record.tokens.split_at(record.prompt_len);
        let predicted = scaled(verdict.predicted);
        Ok(Candidate {
            place: record.place(),
            prompt: cut(&tokenizer.decode(prompt, true)?),
            completion: cut(&tokenizer.decode(completion, false)?),
            reward: record.reward,
            predicted,
            unsure: unsure(predicted),
            matters: verdict.mean_logp.exp(),
            priority: priority(verdict),
        })
    };
    order.iter().take(LISTED).map(candidate).collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(predicted: f64, mean_logp: f64, reward: Option<f64>) -> Verdict {
        Verdict { implicit: predicted, predicted, mean_logp, reward }
    }

    #[test]
    fn bins_hold_equally_many_records_in_order() {
        let verdicts: Vec<Verdict> = (0..80)
            .rev()
            .map(|i| verdict(f64::from(i) / 80.0, 0.0, Some(f64::from(u8::from(i >= 40)))))
            .collect();
        let groups: Vec<Vec<usize>> = (0..80).map(|i| vec![i]).collect();
        let bins = calibration(&verdicts, &groups, 0);
        assert!(bins.len() == BINS && bins.iter().all(|bin| bin.records == 10));
        assert!(bins.windows(2).all(|pair| pair[0].predicted < pair[1].predicted));
        assert_eq!((bins[3].given.mean, bins[4].given.mean), (0.0, 1.0));
        assert!(calibration(&[verdict(0.1, 0.0, None)], &[vec![0]], 0).is_empty());
    }

    #[test]
    fn the_next_to_label_is_unsure_and_likely() {
        let tokenizer = Tokenizer::bytes().unwrap();
        let record = |line: usize| Trajectory { line, ..Trajectory::new(1, vec![97, 98]) };
        let records = [record(1), record(2), record(3), record(4)];
        let file = br#"{"prompt": "a", "completion": "b", "reward": -1}
{"prompt": "a", "completion": "c", "reward": 3}"#;
        let check = crate::data::logs::check("f", file, crate::data::Needs::Completion, None, |_| {});
        // Rewards from -1 to 3: unsure is at 1.
        let verdicts = [
            verdict(3.0, 0.0, None),
            verdict(1.0, -2.0, None),
            verdict(1.0, -0.5, None),
            verdict(9.0, 0.0, None),
        ];
        let all: Vec<&Trajectory> = records.iter().collect();
        let chosen = candidates(&tokenizer, &all, &verdicts, &check).unwrap();
        let places: Vec<&str> = chosen.iter().map(|c| c.place.as_str()).collect();
        assert_eq!(places, ["line 3", "line 2", "line 1", "line 4"]);
        assert_eq!((chosen[0].predicted, chosen[0].unsure), (0.5, 1.0));
        assert!((chosen[0].priority - (-0.5f64).exp()).abs() < 1e-12 && chosen[3].unsure == 0.0);
        assert_eq!((chosen[0].prompt.as_str(), chosen[0].completion.as_str()), ("a", "b"));
        assert_eq!(cut(&"é".repeat(200)).chars().count(), CHARS + 1);
    }
}
