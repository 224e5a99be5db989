//! Gold answer and completion in, verdict out.

use super::answer::{Answer, parse};
use super::equal::Comparison;
use super::expr::Expr;
use super::extract::{self, Found};
use super::lexer::{Commas, LONGEST, tokens};
use super::token::Function;
use super::word;

/// Where only short completions are compared whole.
const SHORT: usize = 400;

/// Whether `completion` answers what `gold` says; `tolerance` is how far a number may be from gold, where the problem
/// says so. Always an answer, in bounded time, for any text.
pub fn is_right(gold: &str, completion: &str, tolerance: Option<f64>) -> bool {
    let gold = extract::gold(gold);
    let equal = |answer: &str| equivalent(gold, answer, tolerance);
    let last_of = |text| extract::last(text).is_some_and(equal);
    match extract::answer(completion) {
        Some(Found::Marked(answer)) => equal(answer),
        Some(Found::Said(answer)) => {
            let clause = clause(answer);
            equal(answer) || equal(clause) || (tagged(gold).is_none() && !reads(clause) && last_of(clause))
        }
        Some(Found::Last(answer)) => match whole(completion) {
            Some(text) if reads(text) || equal(text) => equal(text),
            _ => equal(answer),
        },
        None => whole(completion).is_some_and(equal),
    }
}

/// A sentence up to the comma after which it goes on in words.
fn clause(sentence: &str) -> &str {
    let goes_on = |(at, comma): &(usize, &str)| {
        let word: String =
            sentence[at + comma.len()..].chars().take_while(char::is_ascii_alphabetic).collect();
        word.len() > 1 && word != "and" && word != "or"
    };
    sentence.match_indices(", ").find(goes_on).map_or(sentence, |(at, _)| &sentence[..at])
}

/// A completion that is nothing but its answer.
fn whole(completion: &str) -> Option<&str> {
    let text = extract::trimmed(completion);
    (!text.is_empty() && text.len() <= SHORT).then_some(text)
}

/// Whether all of a text is mathematics: some answer, and no word but units, functions and names in LaTeX.
fn reads(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let command = c == '\\';
        if !command && !c.is_ascii_alphabetic() {
            continue;
        }
        let mut run: String = if command { String::new() } else { c.into() };
        while let Some(letter) = chars.next_if(char::is_ascii_alphabetic) {
            run.push(letter);
        }
        let lower = run.to_lowercase();
        let known = word::is_unit(&lower)
            || Function::find(&run).is_some()
            || ["and", "or", "pi", "sqrt"].contains(&lower.as_str());
        if !command && run.len() > 1 && !known {
            return false;
        }
    }
    !readings(text).is_empty()
}

fn is_prose(expr: &Expr) -> bool {
    matches!(expr, Expr::Name(name) if name.chars().count() > 1)
}

/// The text that a majority vote counts for a completion: equal for answers that are equal by value.
pub(super) fn vote(completion: &str) -> Option<String> {
    let answer = match extract::answer(completion) {
        Some(Found::Marked(answer)) => answer,
        Some(Found::Said(answer)) => {
            let clause = clause(answer);
            if reads(clause) { clause } else { extract::last(clause).unwrap_or(clause) }
        }
        Some(Found::Last(answer)) => whole(completion).filter(|text| reads(text)).unwrap_or(answer),
        None => whole(completion)?,
    };
    let answer = extract::trimmed(answer);
    if let Some((letter, _)) = tagged(answer) {
        return Some(letter.to_string());
    }
    Some(readings(answer).first().map_or_else(|| word::prose(answer), super::key::of))
}

/// Whether two answers are equal, the first of which is gold.
pub fn equivalent(gold: &str, answer: &str, tolerance: Option<f64>) -> bool {
    let (gold, answer) = (extract::trimmed(gold), extract::trimmed(answer));
    if gold.is_empty() || answer.is_empty() {
        return false;
    }
    if squeezed(gold) == squeezed(answer) {
        return true;
    }
    if let Some((letter, rest)) = tagged(gold) {
        return match tagged(answer) {
            Some((other, _)) => letter == other,
            None => !rest.is_empty() && equivalent(rest, answer, tolerance),
        };
    }
    let (golds, answers) = (readings(gold), readings(answer));
    let same = |gold: &Answer| answers.iter().any(|answer| Comparison::new(tolerance).same(gold, answer));
    if golds.iter().any(same) {
        return true;
    }
    let (gold, answer) = (word::prose(gold), word::prose(answer));
    // Punctuation is lost in prose: what is mathematics has been compared as such.
    let text = golds.is_empty()
        || answers.is_empty()
        || golds.iter().any(|g| matches!(g, Answer::Value(q) if is_prose(&q.expr)));
    text && !gold.is_empty() && gold == answer
}

/// A text without white space and what only sets type.
fn squeezed(text: &str) -> String {
    if text.len() > LONGEST {
        return text.trim().to_owned();
    }
    let mut out: String = text.chars().filter(|c| !c.is_whitespace() && *c != '$').collect();
    for (from, to) in [
        ("\\left", ""),
        ("\\right", ""),
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
        ("\\!", ""),
        ("\\,", ""),
    ] {
        out = out.replace(from, to);
    }
    out
}

/// The ways to read a text as mathematics: none where it is prose, two where a comma could be either.
fn readings(text: &str) -> Vec<Answer> {
    let number = word::number(&word::prose(text)).map(|n| n.to_string());
    let text = number.as_deref().unwrap_or(text);
    let bytes = text.as_bytes();
    let ambiguous = bytes
        .windows(5)
        .any(|w| w[0].is_ascii_digit() && w[1] == b',' && w[2..].iter().all(u8::is_ascii_digit));
    let commas = if ambiguous { &[Commas::Thousands, Commas::Separate][..] } else { &[Commas::Separate] };
    commas.iter().filter_map(|commas| parse(&tokens(text, *commas)?)).collect()
}

/// The letter of a multiple-choice answer, `(B)`, `B` or `B. 12`, and what stands after it.
fn tagged(text: &str) -> Option<(char, &str)> {
    let mut rest = text.trim_start_matches(|c: char| c.is_whitespace() || c == '$' || c == '*');
    for command in ["\\textbf", "\\text", "\\mathrm", "\\mathbf", "\\textrm"] {
        rest = rest.strip_prefix(command).unwrap_or(rest);
    }
    let rest = rest.trim_start_matches(['{', ' ']);
    let bracket = rest.starts_with('(');
    let rest = rest.trim_start_matches('(');
    let letter = rest.chars().next().filter(|c| ('A'..='J').contains(c))?;
    let after = &rest[1..];
    let mark = after.chars().next();
    match (bracket, mark) {
        (true, Some(')')) => {}
        (false, None | Some('.' | ')' | ':' | '}' | '$' | '*')) => {}
        _ => return None,
    }
    let content = after.trim_start_matches(|c: char| c.is_whitespace() || ".):}$*~".contains(c));
    // `(A)(B)` is a product.
    let product = bracket
        && after.len() > 1
        && !after[1..].starts_with(|c: char| c.is_whitespace() || "}$*~.:".contains(c));
    (!product).then_some((letter, content))
}
