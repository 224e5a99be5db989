//! Rewards: verifiers that say how good a completion is.

mod batch;
mod contains;
mod exact;
mod length;
mod math;
mod numeric;
mod regex;
mod solved;

use crate::data::Record;
use crate::{Error, ErrorKind, Result};

pub use batch::{AnyReward, Asked, BatchReward, Scores, shown};
pub use contains::Contains;
pub use exact::Exact;
pub use length::Length;
pub use math::{Math, equivalent, gold, is_right};
pub use numeric::{Numeric, final_number};
pub use regex::Regex;
pub use solved::Solved;

/// A verifier. Implement it for rewards of your own; all fields of the record are there to be used.
pub trait Reward: Send + Sync {
    /// The name under which metrics report it: `rewards/{name}/mean`.
    fn name(&self) -> &str;

    /// Checks, before anything runs, that a record has what [`Reward::score`] needs.
    fn check(&self, record: &Record) -> Result<()>;

    /// The reward of `completion`, the text without its end token; finite. The verifiers here give 0 or 1.
    fn score(&self, record: &Record, completion: &str) -> Result<f64>;

    /// What `completion` answers, in the form in which a majority vote counts equal answers; `None` where it answers
    /// nothing. Unless a verifier knows better, its text without the white space around it.
    fn vote(&self, completion: &str) -> Option<String> {
        Some(completion.trim().to_owned())
    }
}

/// What [`parse`] knows, for messages and help.
pub const KINDS: &str = "exact, numeric, math, regex:PATTERN, contains:TEXT, length:MIN-MAX or task:NAME";

/// The verifier that `--reward KIND` names, one of [`KINDS`].
///
/// # Errors
/// [`ErrorKind::Config`] for another name, or what cannot be read behind the colon.
pub fn parse(kind: &str) -> Result<Box<dyn Reward>> {
    match kind.split_once(':') {
        None if kind == "exact" => Ok(Box::new(Exact)),
        None if kind == "math" => Ok(Box::new(Math)),
        None if kind == "numeric" => Ok(Box::new(Numeric)),
        Some(("regex", pattern)) => Ok(Box::new(Regex::new(pattern)?)),
        Some(("contains", text)) => Ok(Box::new(Contains::new(text)?)),
        Some(("length", range)) => Ok(Box::new(Length::new(range)?)),
        Some(("task", name)) => Ok(Box::new(Solved::new(name)?)),
        _ => Err(Error::new(
            ErrorKind::Config,
            format!("no reward is called `{kind}`"),
            format!("use {KINDS}"),
        )),
    }
}

/// The text of a record's answer, which `reward` needs.
fn answer(record: &Record, reward: &str) -> Result<String> {
    record.answer_text().ok_or_else(|| {
        Error::new(
            ErrorKind::Data,
            format!(
                "line {}: field \"answer\": is missing or no text, and the reward `{reward}` needs it",
                record.line
            ),
            "give each record an `answer` of text or a number",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Needs;

    fn score(kind: &str, answer: &str, completion: &str) -> f64 {
        let line = serde_json::json!({"prompt": "p", "answer": answer}).to_string();
        let record = Record::parse(1, &line, Needs::Prompt).unwrap();
        let reward = parse(kind).unwrap();
        reward.check(&record).unwrap();
        reward.score(&record, completion).unwrap()
    }

    #[test]
    fn exact_compares_text_without_outer_space() {
        for (answer, completion, want) in
            [("yes", " yes\n", 1.0), ("yes", "Yes", 0.0), ("a b", "a  b", 0.0), ("", "", 1.0)]
        {
            assert_eq!(score("exact", answer, completion), want, "{answer:?} {completion:?}");
        }
    }

    #[test]
    fn numeric_compares_final_numbers() {
        for (answer, completion, want) in [
            ("18", "16 - 3 = 13, so A: 18", 1.0),
            ("18", "18 is not it: 13", 0.0),
            ("1,234", "it is 1234.", 1.0),
            ("1234", "$1,234.00", 1.0),
            ("5", "#### 5\nand 7 more", 1.0),
            ("work 3\n#### 42", "so 42", 1.0),
            ("-3", "x = -3", 1.0),
            ("-3", "5-3", 0.0),
            ("3", "5-3", 1.0),
            ("0.1", "0.10", 1.0),
            ("2", "2.0000000001", 1.0),
            ("2", "2.001", 0.0),
            ("7", "none", 0.0),
            ("12", "1, 2, 12", 1.0),
            ("1000000", "1,000,000 people", 1.0),
            ("7", "<<3+4=7>>7 meals", 1.0),
            ("150000", "1.5e5", 1.0),
            (".5", "a half: .5", 1.0),
            ("3", "nan 3", 1.0),
        ] {
            assert_eq!(score("numeric", answer, completion), want, "{answer:?} {completion:?}");
        }
    }

    #[test]
    fn regex_looks_for_its_pattern_or_for_the_answer_in_its_group() {
        assert_eq!(score("regex:^\\d+$", "unused", "12"), 1.0);
        assert_eq!(score("regex:^\\d+$", "unused", "12x"), 0.0);
        assert_eq!(score("regex:answer is (\\w+)", "blue", "the answer is blue."), 1.0);
        assert_eq!(score("regex:answer is (\\w+)", "blue", "the answer is red."), 0.0);
        assert_eq!(score("regex:(\\d)|x", "4", "4x"), 1.0);
        assert_eq!(score("regex:(?<!not )good", "unused", "not good"), 0.0);
        assert_eq!(score("regex:a:b", "unused", "xa:b"), 1.0);
    }

    #[test]
    fn math_compares_final_answers_by_value() {
        assert_eq!(score("math", "\\frac12", "so \\boxed{0.5}"), 1.0);
        assert_eq!(score("math", "\\frac12", "so \\boxed{0.6}"), 0.0);
        let near = |tolerance: serde_json::Value| {
            let line =
                serde_json::json!({"prompt": "p", "answer": "4.2", "tolerance": tolerance}).to_string();
            let record = Record::parse(1, &line, Needs::Prompt).unwrap();
            Math.check(&record).and_then(|()| Math.score(&record, "\\boxed{4.25}"))
        };
        assert_eq!(near(0.1.into()).unwrap(), 1.0);
        assert_eq!(near("1e-2".into()).unwrap(), 0.0);
        assert_eq!(near(serde_json::Value::Null).unwrap(), 0.0);
        assert!(near("little".into()).unwrap_err().what.contains("tolerance"));
        assert!(near((-1).into()).is_err());
    }

    #[test]
    fn contains_and_length_look_at_the_completion_alone() {
        assert_eq!(score("contains:a:b", "", "xa:bx"), 1.0);
        assert_eq!(score("contains:a:b", "", "xA:bx"), 0.0);
        for (completion, want) in
            [("", 0.0), ("ab", 0.5), ("äbcd", 1.0), ("12345678", 1.0), ("123456789012", 0.5)]
        {
            assert_eq!(score("length:4-8", "", completion), want, "{completion}");
        }
        assert_eq!(score("length:3", "", &"x".repeat(100)), 0.0);
        assert_eq!((score("length:0-2", "", ""), score("length:0-2", "", "abc")), (1.0, 0.5));
        for kind in ["contains:", "length:", "length:3-2", "length:0-0", "length:a-b", "length:-3"] {
            assert!(parse(kind).is_err(), "{kind}");
        }
    }

    #[test]
    fn votes_are_what_the_verifier_compares() {
        let vote = |kind: &str, completion: &str| parse(kind).unwrap().vote(completion);
        assert_eq!(vote("exact", " yes\n").as_deref(), Some("yes"));
        assert_eq!(vote("numeric", "so 1,234.0"), vote("numeric", "#### 1234"));
        assert_ne!(vote("numeric", "-0.5"), vote("numeric", "0.5"));
        assert_eq!(vote("numeric", "none"), None);
        assert_eq!(vote("regex:is (\\w+)", "it is red, no, is blue").as_deref(), Some("blue"));
        assert_eq!(vote("regex:is (\\w+)", "none"), None);
        assert_eq!(vote("regex:x", "ab ").as_deref(), Some("ab"));
    }

    #[test]
    fn faults_are_errors() {
        assert!(parse("best").is_err() && parse("regex:(").is_err() && parse("regex").is_err());
        let record = Record::parse(4, r#"{"prompt": "p", "answer": "no number"}"#, Needs::Prompt).unwrap();
        assert!(parse("numeric").unwrap().check(&record).unwrap_err().what.contains("line 4"));
        let bare = Record::parse(5, r#"{"prompt": "p"}"#, Needs::Prompt).unwrap();
        assert!(parse("exact").unwrap().check(&bare).unwrap_err().what.contains("line 5"));
        assert!(parse("regex:a(b)").unwrap().check(&bare).is_err());
        assert!(parse("regex:ab").unwrap().check(&bare).is_ok());
    }
}
