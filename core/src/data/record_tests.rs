use super::*;

fn reason(line: &str) -> String {
    let rejection = records("f", line.as_bytes(), Needs::Reward).next().unwrap().expect_err(line);
    rejection.error().what
}

#[test]
fn a_full_record_is_read_field_by_field() {
    let line = r#"{"id": 7, "prompt": "2+2=", "completion": "4", "reward": 1, "weight": 0.5, "group": 3, "logps": [-0.5],
        "truncated": true, "answer": "4", "topic": "sums"}"#.replace('\n', "");
    let r = Record::parse(9, &line, Needs::Reward).unwrap();
    assert_eq!((r.line, r.id, r.reward, r.weight), (9, Some(7.into()), Some(1.0), 0.5));
    assert_eq!((r.group.as_deref(), r.truncated, r.logps), (Some("3"), true, Some(vec![-0.5])));
    assert_eq!((r.prompt, r.completion), (Text::Plain("2+2=".into()), Some(Text::Plain("4".into()))));
    assert_eq!(r.extra["topic"], "sums");
    assert_eq!(r.extra.len(), 1);
}

#[test]
fn messages_keep_their_further_fields() {
    let line = r#"{"prompt": [{"role": "user", "content": "hi", "name": "Ann"}], "completion": [{"role": "assistant", "content": "ho"}]}"#;
    let r = Record::parse(1, line, Needs::Completion).unwrap();
    let Text::Messages(prompt) = &r.prompt else { panic!("{:?}", r.prompt) };
    assert_eq!((prompt[0].role.as_str(), prompt[0].extra["name"].as_str()), ("user", Some("Ann")));
    assert_eq!(r.completion.unwrap().plain(), "ho");
}

#[test]
fn every_bad_line_names_its_field() {
    let cases = [
        (r#"{"prompt": "a", "completion": "b"}"#, "f:1: field \"reward\": is missing"),
        (r#"{"prompt": "a", "completion": "b", "reward": null}"#, "field \"reward\": is missing"),
        (
            r#"{"prompt": "a", "completion": "b", "reward": NaN}"#,
            "field \"reward\": is NaN, not a finite number (column 46)",
        ),
        (r#"{"prompt": "a", "reward":-Infinity, "completion": "b"}"#, "field \"reward\": is -Infinity"),
        (
            r#"{"prompt": "a", "completion": "b", "reward": 1e999}"#,
            "field \"reward\": is not a finite number",
        ),
        (
            r#"{"prompt": "a", "completion": "b", "reward": "1"}"#,
            "field \"reward\": must be a number, not text",
        ),
        (r#"{"prompt": "a", "completion": "b", "reward": 1, "logps": [1, NaN]}"#, "field \"logps\": is NaN"),
        (
            r#"{"prompt": "a", "completion": "b", "reward": 1, "weight": -1}"#,
            "field \"weight\": is -1, below 0",
        ),
        (r#"{"prompt": "", "completion": "b", "reward": 1}"#, "field \"prompt\": is empty"),
        (r#"{"prompt": [], "completion": "b", "reward": 1}"#, "field \"prompt\": is empty"),
        (r#"{"completion": "b", "reward": 1}"#, "field \"prompt\": is missing"),
        (
            r#"{"prompt": 3, "completion": "b", "reward": 1}"#,
            "field \"prompt\": must be text or a list of messages, not a number",
        ),
        (
            r#"{"prompt": [{"role": "user"}], "completion": "b", "reward": 1}"#,
            "field \"prompt\": has a message whose content",
        ),
        (
            r#"{"prompt": "a", "completion": [{"role": "u", "content": "c"}], "reward": 1}"#,
            "field \"completion\": is messages, but",
        ),
        (r#"{"prompt": "a", "reward": 1}"#, "field \"completion\": is missing"),
        (r#"{"prompt": "a", "chosen": "b", "rejected": "c", "reward": 1}"#, "logs convert --from trl"),
        (r#"{"prompt": "a", "completion": "b", "reward": 1, "chosen": "c"}"#, "field \"chosen\""),
        (r#"{"prompt": "a", "completion": "", "reward": 1, "truncated": true}"#, "field \"truncated\""),
        (r#"{"prompt": "a", "completion": "b", "reward": 1, "truncated": "no"}"#, "field \"truncated\""),
        (r#"{"prompt": "a", "completion": "b", "reward": 1"#, "malformed JSON at column 46"),
        (r#"{"prompt": "a" "completion": "b"}"#, "field \"prompt\": malformed JSON at column 16"),
        (r#"["prompt"]"#, "f:1: not a JSON object"),
    ];
    for (line, want) in cases {
        let got = reason(line);
        assert!(got.contains(want), "{line}\n{got}\n{want}");
    }
}

#[test]
fn a_completion_of_no_text_is_a_record() {
    let line = r#"{"prompt": "a", "completion": "", "reward": 0}"#;
    assert!(Record::parse(1, line, Needs::Reward).unwrap().completion.unwrap().is_empty());
}

#[test]
fn needs_decide_what_may_be_missing() {
    let line = r#"{"prompt": "a", "answer": 4}"#;
    assert_eq!(Record::parse(1, line, Needs::Prompt).unwrap().answer_text().as_deref(), Some("4"));
    assert!(Record::parse(1, line, Needs::Completion).is_err());
    let line = r#"{"prompt": "a", "completion": "b"}"#;
    assert!(Record::parse(1, line, Needs::Completion).is_ok());
    assert!(Record::parse(1, line, Needs::Reward).is_err());
}

#[test]
fn marks_line_ends_and_blank_lines_are_accepted_and_counted() {
    let file = b"\xef\xbb\xbf{\"prompt\": \"a\"}\r\n\r\n  \n{\"prompt\": \"b\"}\r\n{\"prompt\": \"\xff\"}";
    let got: Vec<_> = records("f", file, Needs::Prompt).collect();
    assert_eq!(got.len(), 3);
    assert_eq!(got[0].as_ref().unwrap().line, 1);
    assert_eq!(got[1].as_ref().unwrap().line, 4);
    let bad = got[2].as_ref().unwrap_err();
    assert_eq!((bad.line, bad.reason.as_str()), (5, "not UTF-8 at byte 13 of the line"));
}

#[test]
fn bad_lines_stop_a_run_or_are_set_aside() {
    let file = b"{\"prompt\": \"a\"}\n{\"prompt\": 1}\n{\"prompt\": \"c\"}\n";
    assert_eq!(
        read_all("f", file, Needs::Prompt, false).unwrap_err().what,
        "f:2: field \"prompt\": must be text or a list of messages, not a number"
    );
    let (good, bad) = read_all("f", file, Needs::Prompt, true).unwrap();
    assert_eq!((good.len(), bad.len(), bad[0].raw.as_str()), (2, 1, "{\"prompt\": 1}"));
    assert_eq!(read_all("f", b"\n", Needs::Prompt, true).unwrap_err().what, "f is empty");
    assert!(read_all("f", b"{}", Needs::Prompt, true).unwrap_err().what.contains("no valid record (1 are"));
}
