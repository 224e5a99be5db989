//! Logs of other tools as records: `tbrm logs convert`.

use serde_json::{Map, Value, json};

use super::record::{Needs, Record, Rejection, lines, object};
use crate::{Error, ErrorKind, Result};

/// What a file is converted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GSM8K's `example_model_solutions.jsonl`: a question, the ground truth, and a solution by each of several models,
    /// marked right or wrong. Each solution becomes a record with reward 1 or 0; a question's solutions are a group.
    Gsm8kSolutions,
    /// GSM8K's `train.jsonl` and `test.jsonl`: question and worked answer. Right by construction, so reward 1.
    Gsm8k,
    /// OpenAI's fine-tuning files: `messages`, whose last message, the assistant's, is the completion; a `reward` is kept
    /// where there is one, none is made up. Or preferences: `input.messages`, `preferred_output`, `non_preferred_output`.
    OpenaiChat,
    /// TRL's data sets, text or conversations: prompt and completion; with a `label` (reward 1 or 0); `chosen` and
    /// `rejected` with or without a prompt (rewards 1 and 0; without, the prompt is what both begin with).
    Trl,
}

impl Kind {
    /// The kind that `--from` names.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "gsm8k-solutions" => Ok(Kind::Gsm8kSolutions),
            "gsm8k" => Ok(Kind::Gsm8k),
            "openai-chat" => Ok(Kind::OpenaiChat),
            "trl" => Ok(Kind::Trl),
            other => Err(Error::new(
                ErrorKind::Config,
                format!("cannot convert logs from `{other}`"),
                "use gsm8k-solutions, gsm8k, openai-chat or trl",
            )),
        }
    }
}

/// Converts a file line by line; `sink` gets each record's line of JSONL, without its line end. Returns how many.
///
/// Every record is checked as `tbrm train --objective sft` would check it. The first line that cannot be converted is
/// an error that names it, and whatever `sink` returns stops the conversion.
pub fn convert(
    kind: Kind,
    file: &str,
    bytes: &[u8],
    mut sink: impl FnMut(&str) -> Result<()>,
) -> Result<usize> {
    let mut count = 0;
    for (line, raw) in lines(bytes) {
        let bad = |field: Option<String>, reason: String| {
            let raw = String::from_utf8_lossy(raw).into_owned();
            let mut error = Rejection { file: file.to_owned(), line, field, reason, raw }.error();
            error.help = "correct or remove the line, and check --from".into();
            error
        };
        let fields = object(raw).map_err(|(field, reason)| bad(field, reason))?;
        let records = match kind {
            Kind::Gsm8kSolutions => gsm8k_solutions(fields, line),
            Kind::Gsm8k => gsm8k(fields, line),
            Kind::OpenaiChat => openai_chat(fields, line),
            Kind::Trl => trl(fields, line),
        };
        for record in records.map_err(|reason| bad(None, reason))? {
            let text = record.to_string();
            Record::parse(line, &text, Needs::Completion).map_err(|(field, reason)| bad(field, reason))?;
            sink(&text)?;
            count += 1;
        }
    }
    if count == 0 {
        return Err(Error::new(
            ErrorKind::Data,
            format!("{file} is empty"),
            "give a file with one JSON object a line",
        ));
    }
    Ok(count)
}

type Records = Result<Vec<Value>, String>;

/// Question and solution are separate lines of one text.
fn question(fields: &mut Map<String, Value>) -> Result<String, String> {
    Ok(format!("{}\n", text(fields, "question")?))
}

fn gsm8k_solutions(mut fields: Map<String, Value>, line: usize) -> Records {
    let prompt = question(&mut fields)?;
    let truth = text(&mut fields, "ground_truth")?;
    let answer = truth.rsplit_once("A:").map_or(truth.as_str(), |(_, a)| a).trim();
    let record = |(model, solution): (String, Value)| {
        let right = solution.get("is_correct").and_then(Value::as_bool);
        let Some((right, completion)) = right.zip(solution.get("solution").and_then(Value::as_str)) else {
            return Err(format!("{model} is no solution with is_correct and solution"));
        };
        Ok(json!({
            "id": format!("{line}/{model}"), "prompt": prompt, "completion": completion,
            "reward": u8::from(right), "group": line.to_string(), "answer": answer, "model": model,
        }))
    };
    let records = fields.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
    if records.is_empty() { Err("has no model's solution".into()) } else { Ok(records) }
}

fn gsm8k(mut fields: Map<String, Value>, line: usize) -> Records {
    let prompt = question(&mut fields)?;
    let worked = text(&mut fields, "answer")?;
    let (_, answer) = worked.rsplit_once("####").ok_or("answer has no `####` before its result")?;
    let answer = answer.trim();
    Ok(vec![json!({"id": line, "prompt": prompt, "completion": worked, "reward": 1, "answer": answer})])
}

fn openai_chat(mut fields: Map<String, Value>, line: usize) -> Records {
    if let Some(mut input) = fields.shift_remove("input") {
        let prompt = input.get_mut("messages").map(Value::take).ok_or("input has no messages")?;
        let [chosen, rejected] = ["preferred_output", "non_preferred_output"].map(|k| fields.shift_remove(k));
        let (chosen, rejected) =
            chosen.zip(rejected).ok_or("preferred_output or non_preferred_output is missing")?;
        return Ok(pair(fields, line, prompt, chosen, rejected));
    }
    let Some(Value::Array(mut messages)) = fields.shift_remove("messages") else {
        return Err("messages is missing or no list".into());
    };
    match messages.pop() {
        Some(last) if last.get("role").is_some_and(|r| r == "assistant") => {
            Ok(vec![with(fields, [("prompt", json!(messages)), ("completion", json!([last]))])])
        }
        _ => Err("messages does not end with the assistant's".into()),
    }
}

fn trl(mut fields: Map<String, Value>, line: usize) -> Records {
    if fields.contains_key("messages") {
        return openai_chat(fields, line);
    }
    let [prompt, completion, chosen, rejected] =
        ["prompt", "completion", "chosen", "rejected"].map(|k| fields.shift_remove(k));
    match (prompt, completion, chosen.zip(rejected)) {
        (Some(prompt), Some(completion), None) => {
            match fields.shift_remove("label") {
                None => {}
                Some(Value::Bool(right)) => drop(fields.insert("reward".into(), json!(u8::from(right)))),
                Some(other) => return Err(format!("label must be true or false, not {other}")),
            }
            Ok(vec![with(fields, [("prompt", prompt), ("completion", completion)])])
        }
        (Some(prompt), None, Some((chosen, rejected))) => Ok(pair(fields, line, prompt, chosen, rejected)),
        (None, None, Some((chosen, rejected))) => {
            let (prompt, chosen, rejected) = common_prompt(chosen, rejected)?;
            Ok(pair(fields, line, prompt, chosen, rejected))
        }
        _ => Err("has neither prompt and completion, nor chosen and rejected, nor messages".into()),
    }
}

/// The better and the worse completion of a prompt, with rewards 1 and 0.
fn pair(
    fields: Map<String, Value>,
    line: usize,
    prompt: Value,
    chosen: Value,
    rejected: Value,
) -> Vec<Value> {
    let one = |name: &str, completion: Value, reward: u8| {
        with(
            fields.clone(),
            [
                ("id", json!(format!("{line}/{name}"))),
                ("prompt", prompt.clone()),
                ("completion", completion),
                ("reward", json!(reward)),
                ("group", json!(line.to_string())),
            ],
        )
    };
    vec![one("chosen", chosen, 1), one("rejected", rejected, 0)]
}

/// Splits a pair without a prompt where its two parts begin to differ: between messages, or in text after the last
/// word that both have.
fn common_prompt(chosen: Value, rejected: Value) -> Result<(Value, Value, Value), String> {
    match (chosen, rejected) {
        (Value::Array(mut a), Value::Array(mut b)) => {
            let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
            // Equal conversations still have a last message that answers.
            let same = same.min(a.len().saturating_sub(1)).min(b.len().saturating_sub(1));
            let (chosen, rejected) = (a.split_off(same), b.split_off(same));
            Ok((json!(a), json!(chosen), json!(rejected)))
        }
        (Value::String(a), Value::String(b)) => {
            let same: usize =
                a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(c, _)| c.len_utf8()).sum();
            // A word cut in two would be tokenized as no model writes it.
            let cut = a[..same].rfind(char::is_whitespace).unwrap_or(0);
            Ok((json!(a[..cut]), json!(a[cut..]), json!(b[cut..])))
        }
        _ => Err("chosen and rejected must both be text or both be messages".into()),
    }
}

/// A record of the fields that have a meaning, then those that are only carried along.
fn with<const N: usize>(rest: Map<String, Value>, first: [(&str, Value); N]) -> Value {
    let mut record: Map<String, Value> = first.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    for (key, value) in rest {
        record.entry(key).or_insert(value);
    }
    Value::Object(record)
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<String, String> {
    match fields.shift_remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(format!("{name} is missing or no text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: &str, input: &str) -> Result<Vec<Value>> {
        let mut out = Vec::new();
        let count = convert(Kind::parse(kind)?, "f", input.as_bytes(), |line| {
            out.push(serde_json::from_str(line).unwrap());
            Ok(())
        })?;
        assert_eq!(count, out.len());
        Ok(out)
    }

    #[test]
    fn gsm8k_solutions_become_rewarded_completions() {
        let out = run("gsm8k-solutions", include_str!("../../tests/fixtures/gsm8k_solutions.jsonl")).unwrap();
        assert_eq!(out.len(), 4);
        assert_eq!(
            out[0],
            json!({"id": "1/6b_finetuning", "prompt": "Ann has 2 pears and buys 3. How many has she?\n",
            "completion": "2 + 3 = <<2+3=5>>5\nA: 5", "reward": 1, "group": "1", "answer": "5", "model": "6b_finetuning"})
        );
        assert_eq!((&out[1]["reward"], &out[1]["group"]), (&json!(0), &json!("1")));
        assert_eq!((&out[2]["id"], &out[2]["answer"]), (&json!("2/6b_finetuning"), &json!("1,200")));
    }

    #[test]
    fn gsm8k_answers_are_demonstrations() {
        let out = run("gsm8k", r#"{"question": "Q?", "answer": "1+1=2.\n#### 2"}"#).unwrap();
        assert_eq!(
            out,
            [json!({"id": 1, "prompt": "Q?\n", "completion": "1+1=2.\n#### 2", "reward": 1, "answer": "2"})]
        );
    }

    #[test]
    fn chats_end_with_their_completion() {
        let (user, bot) =
            (json!({"role": "user", "content": "a"}), json!({"role": "assistant", "content": "b"}));
        let chat = json!({"messages": [user, bot], "reward": 0.5}).to_string();
        let want = json!({"prompt": [user], "completion": [bot], "reward": 0.5});
        assert_eq!(run("openai-chat", &chat).unwrap(), std::slice::from_ref(&want));
        assert_eq!(run("trl", &chat).unwrap(), [want]);
        let preference =
            json!({"input": {"messages": [user]}, "preferred_output": [bot], "non_preferred_output": [bot]});
        let out = run("openai-chat", &preference.to_string()).unwrap();
        assert_eq!(
            (&out[0]["reward"], &out[1]["reward"], &out[1]["prompt"]),
            (&json!(1), &json!(0), &json!([user]))
        );
        assert!(
            run("openai-chat", &json!({"messages": [user]}).to_string())
                .unwrap_err()
                .what
                .contains("f:1: messages does not end")
        );
    }

    #[test]
    fn trl_data_sets_convert_in_all_their_forms() {
        let cases = [
            (
                r#"{"prompt": "p", "completion": "c", "extra": 1}"#,
                json!([{"prompt": "p", "completion": "c", "extra": 1}]),
            ),
            (
                r#"{"prompt": "p", "completion": "c", "label": false}"#,
                json!([{"prompt": "p", "completion": "c", "reward": 0}]),
            ),
            (
                r#"{"prompt": "p", "chosen": "c", "rejected": "r"}"#,
                json!([
                {"id": "1/chosen", "prompt": "p", "completion": "c", "reward": 1, "group": "1"},
                {"id": "1/rejected", "prompt": "p", "completion": "r", "reward": 0, "group": "1"}]),
            ),
            (
                r#"{"chosen": "The sky is blue.", "rejected": "The sky is black."}"#,
                json!([
                {"id": "1/chosen", "prompt": "The sky is", "completion": " blue.", "reward": 1, "group": "1"},
                {"id": "1/rejected", "prompt": "The sky is", "completion": " black.", "reward": 0, "group": "1"}]),
            ),
        ];
        for (line, want) in cases {
            assert_eq!(json!(run("trl", line).unwrap()), want, "{line}");
        }
        let (u, a, b) = (
            json!({"role": "user", "content": "u"}),
            json!({"role": "assistant", "content": "a"}),
            json!({"role": "assistant", "content": "b"}),
        );
        let out = run("trl", &json!({"chosen": [u, a], "rejected": [u, b]}).to_string()).unwrap();
        assert_eq!(
            (&out[0]["prompt"], &out[0]["completion"], &out[1]["completion"]),
            (&json!([u]), &json!([a]), &json!([b]))
        );
    }

    #[test]
    fn lines_that_do_not_fit_are_errors_with_their_line() {
        for (kind, input, want) in [
            ("gsm8k", "{\"question\": \"q\", \"answer\": \"no mark\"}", "f:1: answer has no"),
            ("gsm8k", "\n{\"question\": 1}", "f:2: question is missing"),
            (
                "gsm8k-solutions",
                "{\"question\": \"q\", \"ground_truth\": \"A: 1\", \"m\": 3}",
                "f:1: m is no solution",
            ),
            ("trl", "{\"text\": \"t\"}", "f:1: has neither"),
            ("trl", "{\"prompt\": \"\", \"completion\": \"c\"}", "f:1: field \"prompt\": is empty"),
            ("trl", "{", "f:1: malformed JSON"),
            ("trl", "", "f is empty"),
        ] {
            let got = run(kind, input).unwrap_err().what;
            assert!(got.contains(want), "{kind} {input}: {got}");
        }
        assert!(run("csv", "").is_err());
    }
}
