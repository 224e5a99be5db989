//! The completion ends on the number that the answer ends on.

use super::{Reward, answer};
use crate::data::Record;
use crate::{Error, ErrorKind, Result};

/// 1 where [`final_number`] of completion and answer agree to a relative 1e-9, else 0; a completion without a number
/// gets 0.
#[derive(Clone, Copy, Debug)]
pub struct Numeric;

/// Two spellings of one number may differ in the last bits of their f64.
const TOLERANCE: f64 = 1e-9;

impl Reward for Numeric {
    fn name(&self) -> &str {
        "numeric"
    }

    fn check(&self, record: &Record) -> Result<()> {
        number_of_answer(record).map(drop)
    }

    fn score(&self, record: &Record, completion: &str) -> Result<f64> {
        let want = number_of_answer(record)?;
        let right =
            final_number(completion).is_some_and(|got| (got - want).abs() <= TOLERANCE * want.abs().max(1.0));
        Ok(f64::from(u8::from(right)))
    }

    fn vote(&self, completion: &str) -> Option<String> {
        // Adding 0 makes -0 equal 0.
        final_number(completion).map(|number| (number + 0.0).to_string())
    }
}

fn number_of_answer(record: &Record) -> Result<f64> {
    let text = answer(record, "numeric")?;
    final_number(&text).ok_or_else(|| {
        let what = format!("line {}: field \"answer\": has no number: {text:?}", record.line);
        Error::new(ErrorKind::Data, what, "use another reward, or correct the answer")
    })
}

/// The number that a solution ends on: the first one after the last `####` where there is one (GSM8K's mark), else
/// the last one in the text. Commas between groups of three digits are thousands separators; a `-` belongs to the
/// number unless it follows a digit, a letter or a closing bracket, where it subtracts.
pub fn final_number(text: &str) -> Option<f64> {
    match text.rsplit_once("####") {
        Some((_, marked)) => numbers(marked).next().or_else(|| numbers(text).last()),
        None => numbers(text).last(),
    }
}

/// The numbers of a text, from left to right.
fn numbers(text: &str) -> impl Iterator<Item = f64> {
    spans(text).filter_map(|(start, end)| {
        let digits: String = text[start..end].chars().filter(|&c| c != ',').collect();
        digits.parse::<f64>().ok().filter(|x| x.is_finite())
    })
}

/// Where the numbers of a text begin, with their sign, and end.
pub(super) fn spans(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let fraction = bytes[at] == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
            if !bytes[at].is_ascii_digit() && !fraction {
                at += 1;
                continue;
            }
            let start = at;
            at = number_end(bytes, start);
            let subtracts = |b: u8| b.is_ascii_alphanumeric() || b == b')' || b == b']';
            let signed = start > 0 && bytes[start - 1] == b'-' && !(start > 1 && subtracts(bytes[start - 2]));
            return Some((start - usize::from(signed), at));
        }
        None
    })
}

/// One past the number that starts at `start`: digits with thousands separators, a fraction, an exponent.
fn number_end(bytes: &[u8], start: usize) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = start + digits(start);
    while end - start > 0 && bytes.get(end) == Some(&b',') && digits(end + 1) == 3 {
        end += 4;
    }
    if bytes.get(end) == Some(&b'.') && end + 1 < bytes.len() {
        let fraction = digits(end + 1);
        end += if fraction > 0 { 1 + fraction } else { 0 };
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = if end + 1 + sign < bytes.len() { digits(end + 1 + sign) } else { 0 };
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    end
}
