//! What is in a log file and what is wrong with it: the report of `tbrm logs check`.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::record::{Needs, Record, Rejection, Text, records};
use super::trajectory::Encoder;

/// The most bins of a reward histogram; where there are fewer distinct rewards, each is a bin of its own.
const MAX_BINS: usize = 10;

/// The report of a log file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The file, as named.
    pub file: String,
    /// Valid records.
    pub records: usize,
    /// Lines that a run would reject.
    pub rejected: usize,
    /// The rejected lines by field and reason, most frequent first.
    pub reasons: Vec<Reason>,
    /// Distinct prompts.
    pub prompts: usize,
    /// Records whose prompt and completion an earlier record has.
    pub duplicates: usize,
    /// Duplicates whose reward differs from the earlier record's.
    pub contradicting_duplicates: usize,
    /// Records with a completion of no text.
    pub empty_completions: usize,
    /// Records that say `truncated`.
    pub truncated: usize,
    /// Records whose prompt is messages.
    pub conversations: usize,
    /// Records that carry behaviour log-probs.
    pub with_logps: usize,
    /// Rewards; none where no record has one.
    pub reward: Option<RewardStats>,
    /// Prompts with several completions whose rewards are not all the same: what a comparison can learn from.
    pub prompts_with_contrast: usize,
    /// Characters of the prompts.
    pub prompt_chars: Option<Percentiles>,
    /// Characters of the completions.
    pub completion_chars: Option<Percentiles>,
    /// Tokens of the prompts, where a model was given.
    pub prompt_tokens: Option<Percentiles>,
    /// Tokens of the completions with their end tokens, where a model was given.
    pub completion_tokens: Option<Percentiles>,
}

/// A reason to reject lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The field, where it is known.
    pub field: Option<String>,
    /// What is wrong with it.
    pub reason: String,
    /// How many lines.
    pub count: usize,
    /// The first ten of them.
    pub lines: Vec<usize>,
}

/// The distribution of rewards.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RewardStats {
    /// Records with a reward.
    pub count: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation (of the population).
    pub std: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Bins in ascending order.
    pub histogram: Vec<Bin>,
}

/// A bin of a histogram: values from `from` to `to`, the upper end excluded except in the last bin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Lower end.
    pub from: f64,
    /// Upper end; equal to `from` where the bin is one value.
    pub to: f64,
    /// Values in it.
    pub count: usize,
}

/// Percentiles by nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each is the percentile of its name")]
pub struct Percentiles {
    pub min: usize,
    pub p50: usize,
    pub p90: usize,
    pub p99: usize,
    pub max: usize,
}

impl Percentiles {
    /// The percentiles of some lengths; none of none.
    pub fn of(mut lengths: Vec<usize>) -> Option<Self> {
        lengths.sort_unstable();
        let (min, max) = (*lengths.first()?, *lengths.last()?);
        let rank = |p: usize| lengths[(lengths.len() * p).div_ceil(100).max(1) - 1];
        Some(Percentiles { min, p50: rank(50), p90: rank(90), p99: rank(99), max })
    }
}

impl RewardStats {
    /// The distribution of some rewards; none of none.
    pub fn of(mut rewards: Vec<f64>) -> Option<Self> {
        rewards.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*rewards.first()?, *rewards.last()?);
        let n = rewards.len() as f64;
        let mean = rewards.iter().sum::<f64>() / n;
        let variance = rewards.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n;
        let mut values: Vec<Bin> = Vec::new();
        for &r in &rewards {
            match values.last_mut() {
                Some(bin) if bin.from == r => bin.count += 1,
                _ => values.push(Bin { from: r, to: r, count: 1 }),
            }
        }
        if values.len() > MAX_BINS {
            let edge = |i: usize| min + (max - min) * i as f64 / MAX_BINS as f64;
            let mut bins: Vec<Bin> =
                (0..MAX_BINS).map(|i| Bin { from: edge(i), to: edge(i + 1), count: 0 }).collect();
            for value in &values {
                let at = bins.iter().rposition(|b| value.from >= b.from).unwrap_or(0);
                bins[at].count += value.count;
            }
            values = bins;
        }
        Some(RewardStats { count: rewards.len(), mean, std: variance.sqrt(), min, max, histogram: values })
    }
}

/// What the records of a file are good for: where any has a reward all must have one, else they are demonstrations.
pub fn needs(file: &str, bytes: &[u8]) -> Needs {
    let rewarded =
        records(file, bytes, Needs::Completion).any(|record| record.is_ok_and(|r| r.reward.is_some()));
    if rewarded { Needs::Reward } else { Needs::Completion }
}

/// Reads a file as a run with `needs` would. With an encoder (a model was given) lengths are counted in tokens too, and
/// records that do not fit the model are among the rejected. Every rejected line goes to `rejected` as well.
pub fn check(
    file: &str,
    bytes: &[u8],
    needs: Needs,
    encoder: Option<&Encoder<'_>>,
    mut rejected: impl FnMut(&Rejection),
) -> Report {
    let mut counts = Counts::default();
    let mut lengths: [Vec<usize>; 4] = Default::default();
    let mut rewards = Vec::new();
    let mut reasons: BTreeMap<(Option<String>, String), Reason> = BTreeMap::new();
    let mut prompts: HashMap<[u8; 32], Rewards> = HashMap::new();
    let mut seen: HashMap<[u8; 32], Option<f64>> = HashMap::new();
    for record in records(file, bytes, needs) {
        let checked = record.and_then(|r| match encoder.filter(|_| r.completion.is_some()) {
            Some(encoder) => encoder.trajectory(file, &r).map(|t| (r, Some(t))),
            None => Ok((r, None)),
        });
        let (record, trajectory) = match checked {
            Ok(pair) => pair,
            Err(rejection) => {
                rejected(&rejection);
                counts.rejected += 1;
                note(&mut reasons, rejection);
                continue;
            }
        };
        counts.add(&record);
        lengths[0].push(record.prompt.plain().chars().count());
        lengths[1].extend(record.completion.as_ref().map(|c| c.plain().chars().count()));
        if let Some(t) = trajectory {
            lengths[2].push(t.prompt_len);
            lengths[3].push(t.num_actions());
        }
        rewards.extend(record.reward);
        prompts.entry(digest(&[Some(&record.prompt)])).or_default().add(record.reward);
        if record.completion.is_some() {
            let both = digest(&[Some(&record.prompt), record.completion.as_ref()]);
            if let Some(earlier) = seen.insert(both, record.reward) {
                counts.duplicates += 1;
                counts.contradicting += usize::from(earlier != record.reward);
            }
        }
    }
    let mut reasons: Vec<Reason> = reasons.into_values().collect();
    reasons.sort_by_key(|r| std::cmp::Reverse(r.count));
    let [prompt_chars, completion_chars, prompt_tokens, completion_tokens] = lengths.map(Percentiles::of);
    Report {
        file: file.to_owned(),
        records: counts.records,
        rejected: counts.rejected,
        reasons,
        prompts: prompts.len(),
        duplicates: counts.duplicates,
        contradicting_duplicates: counts.contradicting,
        empty_completions: counts.empty,
        truncated: counts.truncated,
        conversations: counts.conversations,
        with_logps: counts.with_logps,
        reward: RewardStats::of(rewards),
        prompts_with_contrast: prompts.values().filter(|r| r.differ()).count(),
        prompt_chars,
        completion_chars,
        prompt_tokens,
        completion_tokens,
    }
}

#[derive(Default)]
struct Counts {
    records: usize,
    rejected: usize,
    duplicates: usize,
    contradicting: usize,
    empty: usize,
    truncated: usize,
    conversations: usize,
    with_logps: usize,
}

impl Counts {
    fn add(&mut self, record: &Record) {
        self.records += 1;
        self.empty += usize::from(record.completion.as_ref().is_some_and(Text::is_empty));
        self.truncated += usize::from(record.truncated);
        self.conversations += usize::from(matches!(record.prompt, Text::Messages(_)));
        self.with_logps += usize::from(record.logps.is_some());
    }
}

/// The least and the greatest reward of a prompt.
#[derive(Default)]
struct Rewards(Option<(f64, f64)>);

impl Rewards {
    fn add(&mut self, reward: Option<f64>) {
        if let Some(r) = reward {
            let (min, max) = self.0.unwrap_or((r, r));
            self.0 = Some((min.min(r), max.max(r)));
        }
    }

    fn differ(&self) -> bool {
        self.0.is_some_and(|(min, max)| min != max)
    }
}

/// Counts a rejection under its reason, with numbers left out of it so that like ones meet.
fn note(reasons: &mut BTreeMap<(Option<String>, String), Reason>, rejection: Rejection) {
    let mut key = String::new();
    for c in rejection.reason.chars() {
        let digit = c.is_ascii_digit();
        if !(digit && key.ends_with('#')) {
            key.push(if digit { '#' } else { c });
        }
    }
    let Rejection { line, field, reason, .. } = rejection;
    let entry = reasons.entry((field.clone(), key));
    let entry = entry.or_insert(Reason { field, reason, count: 0, lines: Vec::new() });
    entry.count += 1;
    if entry.lines.len() < 10 {
        entry.lines.push(line);
    }
}

/// Texts by hash, so that a file of any size is checked in little memory.
fn digest(texts: &[Option<&Text>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts.iter().flatten() {
        let parts = match text {
            Text::Plain(text) => vec![text.as_str()],
            Text::Messages(messages) => {
                messages.iter().flat_map(|m| [m.role.as_str(), m.content.as_str()]).collect()
            }
        };
        hash.update((parts.len() as u64).to_le_bytes());
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Tokenizer, trajectory::Truncated};
    use crate::model::ModelConfig;

    const LOG: &str = include_str!("../../tests/fixtures/log.jsonl");

    #[test]
    fn a_report_counts_what_is_there_and_what_is_wrong() {
        let mut lines = Vec::new();
        let r = check("log", LOG.as_bytes(), Needs::Reward, None, |r| lines.push(r.line));
        assert_eq!((r.records, r.rejected, r.prompts), (7, 4, 4));
        assert_eq!((r.duplicates, r.contradicting_duplicates, r.empty_completions), (2, 1, 1));
        assert_eq!((r.truncated, r.conversations, r.with_logps, r.prompts_with_contrast), (1, 1, 1, 1));
        assert_eq!(lines, [8, 9, 10, 12]);
        let reasons: Vec<_> = r.reasons.iter().map(|r| (r.field.as_deref(), r.count, &r.lines[..])).collect();
        assert_eq!(reasons[0], (Some("reward"), 2, &[8, 12][..]));
        assert_eq!(reasons.len(), 3);
        let reward = r.reward.unwrap();
        assert_eq!((reward.count, reward.min, reward.max), (7, 0.0, 1.0));
        assert!((reward.mean - 3.0 / 7.0).abs() <= 1e-12);
        let bins: Vec<_> = reward.histogram.iter().map(|b| (b.from, b.count)).collect();
        assert_eq!(bins, [(0.0, 4), (1.0, 3)]);
        assert_eq!(r.completion_chars.unwrap().min, 0);
        assert!(r.completion_tokens.is_none());
    }

    #[test]
    fn one_reward_asks_for_all() {
        assert_eq!(needs("log", LOG.as_bytes()), Needs::Reward);
        let demonstrations = "{\"prompt\": \"p\", \"completion\": \"c\"}\n{\"prompt\": 3, \"reward\": 1}";
        assert_eq!(needs("log", demonstrations.as_bytes()), Needs::Completion);
    }

    #[test]
    fn a_model_adds_tokens_and_its_own_rejections() {
        let tokenizer = Tokenizer::bytes().unwrap();
        let mut config = ModelConfig::preset("tiny").unwrap();
        config.eos_token_id = vec![256];
        let encoder = Encoder::new(&tokenizer, None, &config, Some(8), Truncated::Keep).unwrap();
        let r = check("log", LOG.as_bytes(), Needs::Reward, Some(&encoder), |_| {});
        // The conversation has no template, and the long record does not fit 8 tokens.
        assert_eq!((r.records, r.rejected), (5, 6));
        assert_eq!(r.completion_tokens.unwrap(), Percentiles { min: 1, p50: 2, p90: 2, p99: 2, max: 2 });
        assert!(r.reasons.iter().any(|r| r.reason.contains("no chat template")));
        assert!(r.reasons.iter().any(|r| r.reason.contains("above the limit of 8")));
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        assert_eq!(Percentiles::of(vec![]), None);
        assert_eq!(Percentiles::of(vec![4]), Some(Percentiles { min: 4, p50: 4, p90: 4, p99: 4, max: 4 }));
        assert_eq!(
            Percentiles::of((1..=200).rev().collect()),
            Some(Percentiles { min: 1, p50: 100, p90: 180, p99: 198, max: 200 })
        );
    }

    #[test]
    fn many_rewards_fall_into_ten_bins() {
        let stats = RewardStats::of((0..=100).map(f64::from).collect()).unwrap();
        assert_eq!(
            stats.histogram.iter().map(|b| b.count).collect::<Vec<_>>(),
            [10, 10, 10, 10, 10, 10, 10, 10, 10, 11]
        );
        assert!((stats.std - 850f64.sqrt()).abs() <= 1e-9);
    }
}
