//! The final answer in a completion.

use crate::reward::numeric::spans;

/// What a completion answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'t> {
    /// It says where: in a box, after a mark.
    Marked(&'t str),
    /// It says so in words, which may go on after the answer.
    Said(&'t str),
    /// It does not say: its last expression.
    Last(&'t str),
}

/// The final answer: the last balanced `\boxed{}` (or `\fbox{}`; several in a row are one answer), else what follows
/// the last `####`, else the last "answer is" or "answer:" (or a line's "A:"), else the last formula between dollar
/// signs or number.
pub(super) fn answer(text: &str) -> Option<Found<'_>> {
    boxed(text)
        .or_else(|| hashes(text))
        .map(Found::Marked)
        .or_else(|| said(text).map(Found::Said))
        .or_else(|| last(text).map(Found::Last))
}

/// The gold answer in a record's answer: a worked solution says where, else it is all of it.
pub fn gold(text: &str) -> &str {
    boxed(text).or_else(|| hashes(text)).unwrap_or(text)
}

/// From the first to the last of the last boxes that follow one another with nothing but separators between them,
/// without the outermost braces where it is one box.
fn boxed(text: &str) -> Option<&str> {
    let braces = braces(text);
    let mut run: Option<(usize, usize, usize)> = None; // start, end, and start of the inside of its only box
    let mut at = 0;
    while let Some(found) = next_box(&text[at..]) {
        let start = at + found;
        let name = if text[start..].starts_with("\\boxed") { "\\boxed" } else { "\\fbox" };
        at = start + name.len();
        let open = text.len() - text[at..].trim_start().len();
        let Ok(pair) = braces.binary_search_by_key(&open, |(open, _)| *open) else { continue };
        let end = braces[pair].1 + 1;
        // What is in the box belongs to it.
        at = end;
        run = match run {
            Some((first, last, _)) if is_separator(&text[last..start]) => Some((first, end, first)),
            _ => Some((start, end, open + 1)),
        };
    }
    let (start, end, inside) = run?;
    let body = if inside > start { &text[inside..end - 1] } else { &text[start..end] };
    Some(body.trim()).filter(|body| !body.is_empty())
}

/// Where the next box begins.
fn next_box(text: &str) -> Option<usize> {
    text.match_indices("\\")
        .map(|(at, _)| at)
        .find(|at| ["\\boxed", "\\fbox"].iter().any(|name| text[*at..].starts_with(name)))
}

/// Where each brace opens that is closed, in order, and where that is: in one pass, since a text may open many.
fn braces(text: &str) -> Vec<(usize, usize)> {
    let (mut open, mut pairs, mut escaped) = (Vec::new(), Vec::new(), false);
    for (at, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => open.push(at),
            b'}' => pairs.extend(open.pop().map(|start| (start, at))),
            _ => {}
        }
    }
    pairs.sort_unstable();
    pairs
}

/// Whether text between two boxes only joins them.
fn is_separator(between: &str) -> bool {
    let mut rest =
        between.replace("\\text", " ").replace("\\quad", " ").replace("\\)", " ").replace("\\(", " ");
    rest = rest.replace(['{', '}', '$', ',', ';', '\n', '\r', '\t'], " ").to_lowercase();
    between.len() < 40 && rest.split(' ').all(|word| ["", "and", "or"].contains(&word))
}

/// The rest of the line after the last `####`.
fn hashes(text: &str) -> Option<&str> {
    let (_, after) = text.rsplit_once("####")?;
    after.lines().next().map(str::trim).filter(|line| !line.is_empty())
}

/// What follows the last "answer is", "answer:" or "answer =", or else a line's "A:".
fn said(text: &str) -> Option<&str> {
    // Lower-casing ASCII only keeps the places.
    let lower = text.to_ascii_lowercase();
    let mut found = None;
    for (at, word) in lower.match_indices("answer") {
        let after = &lower[at + word.len()..];
        let skipped = after.trim_start_matches(|c: char| c.is_whitespace() || c == '*');
        let mark = ["is:", "is", ":", "="].into_iter().find(|mark| skipped.starts_with(mark));
        if let Some(mark) = mark {
            found = Some(at + word.len() + (after.len() - skipped.len()) + mark.len());
        }
    }
    if found.is_none() {
        let lines = text.match_indices("A:").filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
        found = lines.last().map(|(at, mark)| at + mark.len());
    }
    let rest = text[found?..].trim_start_matches(|c: char| c.is_whitespace() || c == '*' || c == ':');
    let closed = |open: &str, close: &str| -> Option<&str> {
        let inner = rest.strip_prefix(open)?;
        inner.find(close).map(|end| inner[..end].trim())
    };
    let display = closed("\\[", "\\]").or_else(|| closed("$$", "$$"));
    let said = display.unwrap_or_else(|| sentence(rest.lines().next().unwrap_or("")));
    Some(trimmed(said)).filter(|said| !said.is_empty())
}

/// A line up to the end of its first sentence.
fn sentence(line: &str) -> &str {
    let end = line.match_indices(". ").map(|(at, _)| at).next();
    end.map_or(line, |at| &line[..at])
}

/// Without what markdown and punctuation put around it.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || "*`\"".contains(c))
        .trim_end_matches(|c: char| c.is_whitespace() || ".,;*".contains(c))
}

/// The last formula or number.
pub(super) fn last(text: &str) -> Option<&str> {
    let formula = formulas(text);
    let number = spans(text).last().map(|(start, end)| {
        // A fraction or a percent sign belongs to it.
        let before =
            text[..start].strip_suffix('/').map(|rest| rest.trim_end_matches(|c: char| c.is_ascii_digit()));
        let first = before.filter(|rest| rest.len() + 1 < start).map_or(start, str::len);
        let signed = usize::from(first < start && text[..first].ends_with('-'));
        let after = usize::from(text[end..].starts_with('%'));
        (first - signed, end + after)
    });
    let (start, end) = match (formula, number) {
        (Some(formula), Some(number)) if number.1 > formula.1 => number,
        (Some(formula), _) => formula,
        (None, number) => number?,
    };
    Some(text[start..end].trim()).filter(|found| !found.is_empty())
}

/// Where the last `$...$`, `\(...\)` or `\[...\]` is, with its marks.
fn formulas(text: &str) -> Option<(usize, usize)> {
    let between = |open: &str, close: &str| {
        let end = text.rfind(close)?;
        let start = text[..end].rfind(open)?;
        (start + open.len() < end).then_some((start, end + close.len()))
    };
    let dollars = {
        let places: Vec<usize> =
            text.match_indices('$').map(|(at, _)| at).filter(|at| !text[..*at].ends_with('\\')).collect();
        // An odd dollar sign is money.
        let pair = places.len() / 2 * 2;
        (pair >= 2 && places.len() == pair).then(|| (places[pair - 2], places[pair - 1] + 1))
    };
    let found =
        [between("\\(", "\\)"), between("\\[", "\\]"), dollars.filter(|(start, end)| end - start > 2)];
    found.into_iter().flatten().max_by_key(|(_, end)| *end)
}
