//! Published benchmarks as they are: GSM8K, AIME 2024, AMC 2023, Minerva Math and OlympiadBench call their fields
//! differently.

use serde_json::{Map, Value, json};

use crate::reward::gold;

/// Makes a line that has no `prompt` a record's, where it is a benchmark's: `question` or `problem` is the prompt (a
/// `context` stands before it), and `answer`, the list `final_answer`, or else the worked `solution` is the answer, of
/// which only the final one is kept. OlympiadBench's `error` is the answer's tolerance. Other lines stay as they are.
pub(super) fn adopt(fields: &mut Map<String, Value>) {
    if fields.contains_key("prompt") {
        return;
    }
    let text =
        |fields: &Map<String, Value>, name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(question) = text(fields, "question").or_else(|| text(fields, "problem")) else { return };
    let prompt = match text(fields, "context") {
        Some(context) => format!("{context}\n{question}"),
        None => question,
    };
    let several = |value: &Value| {
        let parts: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
        parts.map(|parts| parts.join(", "))
    };
    let answer = match fields.get("answer").filter(|answer| !answer.is_null()) {
        Some(Value::String(worked)) => Some(json!(gold(worked))),
        Some(other) => Some(other.clone()),
        None => fields
            .get("final_answer")
            .and_then(several)
            .or_else(|| text(fields, "solution").map(|worked| gold(&worked).to_owned()))
            .map(Value::String),
    };
    fields.insert("prompt".into(), Value::String(prompt));
    if let Some(answer) = answer {
        fields.insert("answer".into(), answer);
    }
    if let Some(error) = text(fields, "error") {
        fields.insert("tolerance".into(), Value::String(error));
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Needs, Record};

    fn read(line: &str) -> (String, Option<String>) {
        let record = Record::parse(1, line, Needs::Prompt).unwrap();
        (record.prompt.plain(), record.answer_text())
    }

    #[test]
    fn every_benchmark_has_its_question_and_final_answer() {
        for (line, prompt, answer) in [
            (r#"{"question": "Q?", "answer": "1 + 1 = 2\n#### 2"}"#, "Q?", "2"),
            (
                r#"{"id": 60, "problem": "P?", "question": "Q?", "answer": "025", "solution": "\\boxed{7}"}"#,
                "Q?",
                "025",
            ),
            (r#"{"id": 0, "problem": "P?", "answer": 27.0}"#, "P?", "27.0"),
            (r#"{"problem": "P?", "solution": "so \\boxed{1.6} cm", "idx": 0}"#, "P?", "1.6"),
            (
                r#"{"question": "Q?", "context": "C.", "solution": ["s"], "final_answer": ["$69$", "$84$"]}"#,
                "C.\nQ?",
                "$69$, $84$",
            ),
            (r#"{"prompt": "p", "question": "Q?", "answer": "a #### b"}"#, "p", "a #### b"),
        ] {
            assert_eq!(read(line), (prompt.to_owned(), Some(answer.to_owned())), "{line}");
        }
        let record = Record::parse(
            1,
            r#"{"question": "Q?", "final_answer": ["4.2"], "error": "1e-1"}"#,
            Needs::Prompt,
        );
        assert_eq!(record.unwrap().extra["tolerance"], "1e-1");
        assert!(Record::parse(1, r#"{"text": "Q?"}"#, Needs::Prompt).is_err());
        assert!(Record::parse(1, r#"{"question": "Q?", "completion": "c"}"#, Needs::Completion).is_err());
    }
}
