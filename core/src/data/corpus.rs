//! The text that a tokenizer is trained on.

use serde_json::Value;

use super::record::{Rejection, Text, lines, object, text_of};
use crate::{Error, ErrorKind, Result};

/// The fields of a JSONL corpus that hold text; all others are numbers, names and the like.
const FIELDS: [&str; 7] = ["prompt", "completion", "chosen", "rejected", "question", "answer", "text"];

/// The texts of a corpus. A file whose name ends in `.jsonl` gives those of its prompts, completions and other
/// fields that hold text, messages included; any other is plain text and gives its lines, line ends included.
///
/// # Errors
/// [`ErrorKind::Data`] names the line that is not UTF-8, not JSON, or has none of the fields.
pub fn texts(file: &str, bytes: &[u8]) -> Result<Vec<String>> {
    if file.ends_with(".jsonl") {
        let texts = lines(bytes).map(|(line, raw)| {
            line_texts(raw).map_err(|(field, reason)| {
                let mut error =
                    Rejection { file: file.to_owned(), line, field, reason, raw: String::new() }.error();
                error.help = "correct or remove the line, or give the corpus as plain text".into();
                error
            })
        });
        return Ok(texts.collect::<Result<Vec<_>>>()?.concat());
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        Error::new(ErrorKind::Data, format!("{file}:{line}: not UTF-8"), "give the corpus as UTF-8 text")
    })?;
    Ok(text.split_inclusive('\n').map(str::to_owned).collect())
}

fn line_texts(raw: &[u8]) -> Result<Vec<String>, (Option<String>, String)> {
    let mut map = object(raw)?;
    let mut texts = Vec::new();
    for field in FIELDS {
        // An `answer` may be a number: then it is no text to learn from.
        if map.get(field).is_some_and(|v| matches!(v, Value::String(_) | Value::Array(_))) {
            let value = map.shift_remove(field).unwrap_or_default();
            match text_of(field, value)? {
                Text::Plain(text) => texts.push(text),
                Text::Messages(messages) => texts.extend(messages.into_iter().map(|m| m.content)),
            }
        }
    }
    if texts.is_empty() { Err((None, format!("has none of {}", FIELDS.join(", ")))) } else { Ok(texts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_keeps_its_line_ends() {
        assert_eq!(texts("c.txt", b"a\nb\r\n\nc").unwrap(), ["a\n", "b\r\n", "\n", "c"]);
        assert!(texts("c.txt", b"").unwrap().is_empty());
        assert!(texts("c.txt", b"a\n\xff").unwrap_err().what.starts_with("c.txt:2: not UTF-8"));
    }

    #[test]
    fn jsonl_gives_the_texts_of_its_records() {
        let lines = concat!(
            "{\"id\": \"no\", \"prompt\": \"p\", \"completion\": \"c\", \"answer\": 4}\n\n",
            "{\"question\": \"q\", \"answer\": \"a\"}\n",
            "{\"prompt\": [{\"role\": \"user\", \"content\": \"m\"}], \"completion\": \"\"}\n",
        );
        assert_eq!(texts("c.jsonl", lines.as_bytes()).unwrap(), ["p", "c", "q", "a", "m", ""]);
        for (line, want) in [
            ("{\"reward\": 1}", "c.jsonl:1: has none of prompt"),
            ("{", "c.jsonl:1: malformed JSON"),
            ("{\"prompt\": [3]}", "c.jsonl:1: field \"prompt\": must hold messages"),
        ] {
            let what = texts("c.jsonl", line.as_bytes()).unwrap_err().what;
            assert!(what.contains(want), "{line}: {what}");
        }
    }
}
