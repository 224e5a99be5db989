//! The recommendation, and the rule behind it.

use serde::{Deserialize, Serialize};

use crate::data::logs::Report;
use crate::lab::offline::{ENOUGH, Figures, Parts};
use crate::lab::stats::Interval;

/// Fewer prompts than this in a part say nothing.
const FEWEST: usize = 10;
/// An AUC that is of use to nobody: where all of the interval lies below it, more of the same logs will not help.
const USELESS: f64 = 0.55;

/// The rule, as the report states it.
pub(super) const RULE: &str = "TRAIN ON where the held-out AUC lies above 0.5 with all of its 95% interval and the trained model ranks better \
than the same model before training, again with all of the interval. STOP where rewards do not differ at all, or where the whole interval of the AUC \
lies below 0.55: then there was enough data to tell, and next to nothing was found. COLLECT MORE in every other case: what there is does not tell. \
The AUC is the one within prompts where at least 20 held-out prompts have completions of different rewards, else the one over all pairs.";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The logs carry what the model can learn.
    TrainOn,
    /// They may, but are too few to tell.
    CollectMore,
    /// They do not, as they are.
    Stop,
}

impl Decision {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Decision::TrainOn => "train on",
            Decision::CollectMore => "collect more",
            Decision::Stop => "stop",
        }
    }
}

/// What to do, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// What.
    pub decision: Decision,
    /// Why: a sentence each.
    pub reasons: Vec<String>,
}

/// What can be said without training.
pub(super) fn at_once(check: &Report, parts: &Parts) -> Option<Advice> {
    let Some(rewards) = &check.reward else {
        let why = "no record has a reward: there is nothing to learn from yet".to_owned();
        return Some(Advice { decision: Decision::CollectMore, reasons: vec![why] });
    };
    if rewards.min == rewards.max {
        let why = format!("every reward is {}: completions cannot be told apart by them", rewards.min);
        return Some(Advice { decision: Decision::Stop, reasons: vec![why] });
    }
    for (name, part) in
        [("train on", &parts.train), ("choose beta by", &parts.validation), ("hold out", &parts.held_out)]
    {
        let prompts = crate::lab::offline::groups(part).len();
        if prompts < FEWEST {
            let why = format!("there are {prompts} prompts to {name}, and fewer than {FEWEST} say nothing");
            return Some(Advice { decision: Decision::CollectMore, reasons: vec![why] });
        }
    }
    None
}

/// By the figures on held-out prompts, and how much better the model ranks them than before training.
pub(super) fn decide(figures: &Figures, gain: Option<&Interval>) -> Advice {
    let inside = figures.contrasts >= ENOUGH;
    let which = if inside { "completions of the same prompt" } else { "completions" };
    let mut reasons = Vec::new();
    let Some(auc) = figures.ranking() else {
        let why = "no two held-out completions differ in reward: nothing can be measured".to_owned();
        return Advice { decision: Decision::CollectMore, reasons: vec![why] };
    };
    reasons.push(format!(
        "of two held-out {which}, the trained model puts the better one first {} of the time (a coin: 50%)",
        percent(&auc)
    ));
    if !inside {
        reasons.push(format!(
            "only {} held-out prompts have completions of different rewards, so all completions were compared, which also rewards \
             knowing which prompts are easy",
            figures.contrasts
        ));
    }
    if let Some(gain) = gain {
        let by = format!(
            "{:+.1} points, from {:+.1} to {:+.1}",
            100.0 * gain.mean,
            100.0 * gain.low.unwrap_or(f64::NAN),
            100.0 * gain.high.unwrap_or(f64::NAN)
        );
        reasons.push(format!("against the same model before training, that is {by}").replace('-', "−"));
    }
    if let Some(explained) = &figures.explained {
        let said = if explained.above(0.0) {
            format!("its predictions explain {} of the variance of rewards", percent(explained))
        } else {
            format!(
                "as predictions of the reward itself they are no better than its mean (explained share of the variance: {}): read them as an order \
                 at most, not as probabilities",
                percent(explained)
            )
        };
        reasons.push(said);
    }
    let gained = gain.is_some_and(|gain| gain.above(0.0));
    let decision = if auc.above(0.5) && gained {
        Decision::TrainOn
    } else if auc.below(USELESS) {
        Decision::Stop
    } else {
        Decision::CollectMore
    };
    Advice { decision, reasons }
}

fn percent(interval: &Interval) -> String {
    let said = |x: f64| format!("{:.1}%", 100.0 * x);
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!("{} ({} to {})", said(interval.mean), said(low), said(high)),
        _ => said(interval.mean),
    }
    .replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: f64, high: f64) -> Interval {
        Interval { mean: 0.5 * (low + high), low: Some(low), high: Some(high) }
    }

    fn figures(contrasts: usize, auc: Interval, within: Interval) -> Figures {
        Figures {
            records: 100,
            prompts: 50,
            contrasts,
            auc: Some(auc),
            auc_within: Some(within),
            residual: interval(0.4, 0.5),
            explained: Some(interval(-0.1, 0.1)),
        }
    }

    #[test]
    fn the_rule_is_what_the_report_says() {
        let decided = |contrasts, auc, within, gain: Interval| {
            decide(&figures(contrasts, auc, within), Some(&gain)).decision
        };
        let (high, low, wide) = (interval(0.6, 0.7), interval(0.48, 0.54), interval(0.45, 0.65));
        let (better, unsure) = (interval(0.05, 0.2), interval(-0.05, 0.2));
        assert_eq!(decided(30, wide, high, better), Decision::TrainOn);
        assert_eq!(decided(30, high, wide, better), Decision::CollectMore, "what counts is within prompts");
        assert_eq!(decided(19, high, wide, better), Decision::TrainOn, "but not of few prompts");
        assert_eq!(decided(30, wide, high, unsure), Decision::CollectMore, "it was there before");
        assert_eq!(decided(30, high, low, better), Decision::Stop);
        let none = Interval { mean: 0.9, low: None, high: None };
        assert_eq!(decided(30, none, none, none), Decision::CollectMore, "no interval, no verdict");
        let empty = Figures { auc: None, auc_within: None, ..figures(0, high, high) };
        assert_eq!(decide(&empty, None).decision, Decision::CollectMore);
    }
}
