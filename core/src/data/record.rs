//! Records: one JSON object a line, checked when read, so that training never meets a bad one.
//!
//! A byte order mark before the first line, `\r\n` line ends and blank lines are accepted; blank lines count in line
//! numbers. Numbers that JSON does not have (`NaN`, `Infinity`) or that overflow f64 (`1e999`) are errors.

use serde_json::{Map, Value};

use super::benchmark;
use crate::{Error, ErrorKind, Result};

/// A prompt or a completion: plain text, or messages for the model's chat template.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Text {
    /// Text as it is.
    Plain(String),
    /// A part of a conversation.
    Messages(Vec<Message>),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// The text.
    pub content: String,
    /// Further fields of the message, which the template may read.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A line of a data file.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its line, from 1.
    pub line: usize,
    /// The record's own name, as given.
    pub id: Option<Value>,
    /// What the model is given; never empty.
    pub prompt: Text,
    /// What was answered.
    pub completion: Option<Text>,
    /// How good that was; finite.
    pub reward: Option<f64>,
    /// Multiplies the record's loss; at least 0, and 1 where the line has none.
    pub weight: f64,
    /// Names the prompt that several rollouts share.
    pub group: Option<String>,
    /// The better completion of a pair.
    pub chosen: Option<Text>,
    /// The worse completion of a pair.
    pub rejected: Option<Text>,
    /// Log-probs of the completion's tokens under the policy that wrote it.
    pub logps: Option<Vec<f64>>,
    /// Whether the completion was cut off before its end token.
    pub truncated: bool,
    /// The right answer, for rewards.
    pub answer: Option<Value>,
    /// All further fields, for rewards.
    pub extra: Map<String, Value>,
}

/// Which fields a use of the records cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The prompt: rollouts and evaluation.
    Prompt,
    /// Prompt and completion: `sft`, `score`.
    Completion,
    /// Prompt, completion and reward: `tbrm`, `brm` and most others.
    Reward,
    /// Prompt and a pair of completions: `dpo`.
    Pair,
}

/// A line that is not a valid record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rejection {
    /// The file's name, as given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The field that is wrong, where it is known.
    pub field: Option<String>,
    /// What is wrong with it.
    pub reason: String,
    /// The line itself; bytes that are not UTF-8 replaced.
    pub raw: String,
}

impl Rejection {
    /// The rejection as the error that stops a run.
    pub fn error(&self) -> Error {
        let field = self.field.as_ref().map(|f| format!("field \"{f}\": ")).unwrap_or_default();
        Error::new(
            ErrorKind::Data,
            format!("{}:{}: {field}{}", self.file, self.line, self.reason),
            "correct the line, or set such lines aside with `skip_invalid`",
        )
    }
}

/// Why a line is no record: the field, where it is known, and the reason.
pub type Fault = (Option<String>, String);

/// Reads records from the bytes of a JSONL file, one at a time.
pub fn records<'a>(
    file: &'a str,
    bytes: &'a [u8],
    needs: Needs,
) -> impl Iterator<Item = Result<Record, Rejection>> + 'a {
    lines(bytes).map(move |(line, raw)| {
        object(raw).and_then(|map| Record::from_fields(line, map, needs)).map_err(|(field, reason)| {
            let raw = String::from_utf8_lossy(raw).into_owned();
            Rejection { file: file.to_owned(), line, field, reason, raw }
        })
    })
}

/// The lines of a JSONL file that are not blank, with their numbers from 1.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|&b| b == b'\n').enumerate().map(|(i, line)| (i + 1, line.trim_ascii()));
    lines.filter(|(_, line)| !line.is_empty())
}

/// The JSON object that a line is.
pub(super) fn object(line: &[u8]) -> Result<Map<String, Value>, Fault> {
    let text = std::str::from_utf8(line)
        .map_err(|e| (None, format!("not UTF-8 at byte {} of the line", e.valid_up_to() + 1)))?;
    match serde_json::from_str(text).map_err(|e| json_fault(text, &e))? {
        Value::Object(map) => Ok(map),
        _ => Err((None, "not a JSON object".into())),
    }
}

/// All records of a file. The first bad line is an error, unless `skip_invalid` sets such lines aside. A file without
/// a valid record is an error.
pub fn read_all(
    file: &str,
    bytes: &[u8],
    needs: Needs,
    skip_invalid: bool,
) -> Result<(Vec<Record>, Vec<Rejection>)> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for record in records(file, bytes, needs) {
        match record {
            Ok(record) => good.push(record),
            Err(rejection) if skip_invalid => bad.push(rejection),
            Err(rejection) => return Err(rejection.error()),
        }
    }
    if good.is_empty() {
        let what = if bad.is_empty() {
            "is empty".into()
        } else {
            format!("has no valid record ({} are invalid)", bad.len())
        };
        let help = "give a JSONL file with one record a line; `tbrm logs check` says what is in it";
        return Err(Error::new(ErrorKind::Data, format!("{file} {what}"), help));
    }
    Ok((good, bad))
}

impl Record {
    /// Reads line `line`. Errors name the field, where it is known, and the reason.
    pub fn parse(line: usize, text: &str, needs: Needs) -> Result<Record, Fault> {
        Record::from_fields(line, object(text.as_bytes())?, needs)
    }

    fn from_fields(line: usize, mut map: Map<String, Value>, needs: Needs) -> Result<Record, Fault> {
        if needs == Needs::Prompt {
            benchmark::adopt(&mut map);
        }
        let mut fields = Fields(map);
        let record = Record {
            line,
            id: fields.take("id"),
            prompt: fields.text("prompt")?.ok_or_else(|| fault("prompt", "is missing"))?,
            completion: fields.text("completion")?,
            reward: fields.number("reward")?,
            weight: fields.number("weight")?.unwrap_or(1.0),
            group: fields.name("group")?,
            chosen: fields.text("chosen")?,
            rejected: fields.text("rejected")?,
            logps: fields.numbers("logps")?,
            truncated: fields.flag("truncated")?,
            answer: fields.take("answer"),
            extra: fields.0,
        };
        record.check(needs)?;
        Ok(record)
    }

    fn check(&self, needs: Needs) -> Result<(), Fault> {
        if self.prompt.is_empty() {
            return Err(fault("prompt", "is empty"));
        }
        if self.weight < 0.0 {
            return Err(fault("weight", format!("is {}, below 0", self.weight)));
        }
        if self.truncated && self.completion.as_ref().is_some_and(Text::is_empty) {
            return Err(fault("truncated", "is true, but the completion has no tokens"));
        }
        if matches!(self.completion, Some(Text::Messages(_))) && matches!(self.prompt, Text::Plain(_)) {
            return Err(fault("completion", "is messages, but the prompt is text"));
        }
        if self.chosen.is_some() != self.rejected.is_some() {
            return Err(fault("chosen", "and rejected must stand together"));
        }
        if needs == Needs::Prompt {
            return Ok(());
        }
        if needs == Needs::Pair {
            let missing = "is missing: the objective compares pairs of `chosen` and `rejected` completions";
            return if self.chosen.is_some() { Ok(()) } else { Err(fault("chosen", missing)) };
        }
        if self.completion.is_none() {
            let pair =
                "is missing; `tbrm logs convert --from trl` turns chosen/rejected into rewarded completions";
            return Err(fault("completion", if self.chosen.is_some() { pair } else { "is missing" }));
        }
        if needs == Needs::Reward && self.reward.is_none() {
            return Err(fault("reward", "is missing"));
        }
        Ok(())
    }

    /// The answer as text, if it is text or a number.
    pub fn answer_text(&self) -> Option<String> {
        match self.answer.as_ref()? {
            Value::String(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            _ => None,
        }
    }
}

impl Text {
    /// The text that a JSON value is: a string, or a list of messages.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] names `field`.
    pub fn parse(field: &str, value: Value) -> Result<Text> {
        text_of(field, value).map_err(|(_, reason)| {
            let help = "give text, or messages like {\"role\": \"user\", \"content\": \"...\"}";
            Error::new(ErrorKind::Data, format!("{field} {reason}"), help)
        })
    }

    /// Whether there is nothing in it: no text, no messages, or messages without any text.
    pub fn is_empty(&self) -> bool {
        match self {
            Text::Plain(text) => text.is_empty(),
            Text::Messages(messages) => messages.iter().all(|m| m.content.is_empty() && m.extra.is_empty()),
        }
    }

    /// The text, or the messages' contents, line by line: for people to read and for lengths, not for the model.
    pub fn plain(&self) -> String {
        match self {
            Text::Plain(text) => text.clone(),
            Text::Messages(messages) => {
                messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

fn fault(field: &str, reason: impl Into<String>) -> Fault {
    (Some(field.to_owned()), reason.into())
}

/// The fields of a line, taken out one by one; a null field is one that is not there.
struct Fields(Map<String, Value>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|v| !v.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<Text>, Fault> {
        self.take(name).map(|value| text_of(name, value)).transpose()
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, Fault> {
        self.take(name).map(|v| finite(name, &v)).transpose()
    }

    fn numbers(&mut self, name: &str) -> Result<Option<Vec<f64>>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => {
                list.iter().map(|v| finite(name, v)).collect::<Result<_, _>>().map(Some)
            }
            Some(other) => Err(fault(name, format!("must be a list of numbers, not {}", kind(&other)))),
        }
    }

    fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(b)) => Ok(b),
            Some(other) => Err(fault(name, format!("must be true or false, not {}", kind(&other)))),
        }
    }

    fn name(&mut self, name: &str) -> Result<Option<String>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(Value::Number(n)) => Ok(Some(n.to_string())),
            Some(other) => Err(fault(name, format!("must be text or a number, not {}", kind(&other)))),
        }
    }
}

/// The text that a field's value is.
pub(super) fn text_of(field: &str, value: Value) -> Result<Text, Fault> {
    match value {
        Value::String(text) => Ok(Text::Plain(text)),
        Value::Array(list) => {
            list.into_iter().map(|m| message(field, m)).collect::<Result<_, _>>().map(Text::Messages)
        }
        other => Err(fault(field, format!("must be text or a list of messages, not {}", kind(&other)))),
    }
}

fn message(field: &str, value: Value) -> Result<Message, Fault> {
    let Value::Object(map) = value else {
        return Err(fault(field, format!("must hold messages {{role, content}}, not {}", kind(&value))));
    };
    let mut fields = Fields(map);
    let mut text = |name: &str| match fields.take(name) {
        Some(Value::String(s)) => Ok(s),
        _ => Err(fault(field, format!("has a message whose {name} is not text"))),
    };
    let (role, content) = (text("role")?, text("content")?);
    Ok(Message { role, content, extra: fields.0 })
}

fn finite(field: &str, value: &Value) -> Result<f64, Fault> {
    let number = value.as_f64().filter(|x| x.is_finite());
    number.ok_or_else(|| fault(field, format!("must be a number, not {}", kind(value))))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Says where a line stops being JSON: the column, and the field whose value it is, since logs written by Python
/// hold `NaN` and `Infinity` where a number is missing.
fn json_fault(text: &str, error: &serde_json::Error) -> Fault {
    let column = error.column();
    let mut what = error.to_string();
    if let Some(end) = what.rfind(" at line ") {
        what.truncate(end);
    }
    let at = column.saturating_sub(1).min(text.len());
    // The error may point into the middle of a literal.
    let start = text.as_bytes()[..at].iter().rposition(|b| b" :,[{".contains(b)).map_or(0, |i| i + 1);
    let literal = text.get(start..).unwrap_or("");
    let not_json =
        ["NaN", "nan", "Infinity", "-Infinity", "inf", "-inf"].iter().find(|n| literal.starts_with(**n));
    if let Some(literal) = not_json {
        return (
            last_key(&text.as_bytes()[..start]),
            format!("is {literal}, not a finite number (column {})", start + 1),
        );
    }
    if what.starts_with("number out of range") {
        return (last_key(&text.as_bytes()[..start]), format!("is not a finite number (column {column})"));
    }
    (last_key(&text.as_bytes()[..at]), format!("malformed JSON at column {column}: {what}"))
}

/// The last key of the outermost object that opens before the end of `json`.
fn last_key(json: &[u8]) -> Option<String> {
    let (mut depth, mut string, mut last, mut key) = (0usize, None, None, None);
    let mut i = 0;
    while i < json.len() {
        match (string, json[i]) {
            (Some(_), b'\\') => i += 1,
            (Some(start), b'"') => {
                last = Some((depth, start + 1..i));
                string = None;
            }
            (Some(_), _) => {}
            (None, b'"') => string = Some(i),
            (None, b'{' | b'[') => depth += 1,
            (None, b'}' | b']') => depth = depth.saturating_sub(1),
            (None, b':') => {
                if let Some((1, range)) = last.take() {
                    key = Some(range);
                }
            }
            (None, _) => {}
        }
        i += 1;
    }
    key.map(|range| String::from_utf8_lossy(&json[range]).into_owned())
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
