//! `tbrm eval`.

use serde_json::{Value, json};

use crate::support::{Place, Run};

const PROBLEMS: &str = r#"{"id": "a", "prompt": "2+2=", "answer": "4"}

{"prompt": "5-3=", "answer": 2}
{"prompt": "1+1=", "answer": "2"}
"#;

fn place() -> Place {
    let place = Place::new();
    place.write("problems.jsonl", PROBLEMS);
    place.done("init --preset nano --tokenizer bytes --out model --seed 1 --max-positions 40");
    place
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

const EVAL: &str = "eval --model model --data problems.jsonl --max-new-tokens 12";

#[test]
fn the_summary_is_that_of_the_completions() {
    let place = place();
    // A byte model that knows nothing writes a given letter now and then.
    let line = format!("{EVAL} --reward regex:[a-e] --samples 6 --out out.jsonl");
    let summary = place.json(&line);
    let lines = place.lines("out.jsonl");
    assert_eq!(lines.len(), 18);
    let order: Vec<(&Value, &Value)> = lines.iter().map(|l| (&l["line"], &l["sample"])).collect();
    assert_eq!((order[0], order[7]), ((&json!(1), &json!(0)), (&json!(3), &json!(1))));
    assert_eq!((&lines[0]["id"], &lines[6]["id"]), (&json!("a"), &Value::Null));
    let right = |l: &Value| l["completion"].as_str().expect("a text").contains(['a', 'b', 'c', 'd', 'e']);
    let rewards: Vec<f64> = lines.iter().map(|l| number(&l["reward"])).collect();
    assert!(lines.iter().zip(&rewards).all(|(l, &r)| f64::from(u8::from(right(l))) == r));
    let mean = rewards.iter().sum::<f64>() / 18.0;
    assert!(mean > 0.0 && mean < 1.0, "nothing to test: {mean}");
    assert!((number(&summary["avg"]["mean"]) - mean).abs() <= 1e-12);
    assert_eq!((&summary["problems"], &summary["samples"]), (&json!(3), &json!(6)));
    let solved = rewards.chunks(6).filter(|of| of.contains(&1.0)).count() as f64 / 3.0;
    let pass = summary["pass"].as_array().expect("a list");
    let ks: Vec<&Value> = pass.iter().map(|p| &p["k"]).collect();
    assert_eq!(ks, [&json!(1), &json!(2), &json!(4), &json!(6)]);
    assert!((number(&pass[0]["mean"]) - mean).abs() <= 1e-12);
    assert!((number(&pass[3]["mean"]) - solved).abs() <= 1e-12);
    assert!(number(&summary["maj"]["standard_error"]) >= 0.0);

    // More samples do not change the first ones, and a seed changes them all.
    place.done(&format!("{EVAL} --reward exact --samples 2 --out two.jsonl"));
    let two = place.lines("two.jsonl");
    assert_eq!(
        (&two[0]["completion"], &two[3]["completion"]),
        (&lines[0]["completion"], &lines[7]["completion"])
    );
    place.done(&format!("{EVAL} --reward exact --samples 2 --seed 1 --out other.jsonl"));
    assert_ne!(place.lines("other.jsonl")[0]["completion"], lines[0]["completion"]);
}

#[test]
fn published_benchmarks_are_read_as_they_are() {
    let place = place();
    place.write(
        "published.jsonl",
        concat!(
            "{\"question\": \"1+1?\", \"answer\": \"1 + 1 = 2\\n#### 2\"}\n",
            "{\"id\": 60, \"problem\": \"Find x.\", \"question\": \"Find x.\", \"answer\": \"025\"}\n",
            "{\"problem\": \"How wide?\", \"solution\": \"It is \\\\boxed{1.6} cm\", \"idx\": 0}\n",
            "{\"question\": \"Which?\", \"context\": null, \"final_answer\": [\"$69$\", \"$84$\"], \"error\": null}\n",
        ),
    );
    place.done("eval --model model --data published.jsonl --reward math --max-new-tokens 8 --out out.jsonl");
    let answers: Vec<Value> = place.lines("out.jsonl").iter().map(|line| line["answer"].clone()).collect();
    assert_eq!(answers, [json!("2"), json!("025"), json!("1.6"), json!("$69$, $84$")]);
    let long =
        "eval --model model --data published.jsonl --reward math --max-new-tokens 8 --prompt-style qwen-math";
    // The style is longer than this model's positions.
    assert!(place.refused(1, long).contains("published.jsonl:1"));
}

#[test]
fn a_program_can_judge() {
    let place = place();
    place.write("judge.py", "import json, sys\nfor line in sys.stdin:\n    record = json.loads(line)\n    print(len(record['completion']) / 100 + int(record['answer']), flush=True)\n");
    place.done(&format!("{EVAL} --out out.jsonl --reward exact"));
    let lines = place.lines("out.jsonl");
    let run = place
        .command(EVAL)
        .args(["--out", "judged.jsonl", "--reward", "command:python3 judge.py"])
        .output()
        .expect("starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    for (plain, judged) in lines.iter().zip(place.lines("judged.jsonl")) {
        let text = plain["completion"].as_str().expect("text");
        let answer = plain["answer"]
            .as_str()
            .map_or_else(|| number(&plain["answer"]), |text| text.parse().expect("a number"));
        assert!((number(&judged["reward"]) - (text.chars().count() as f64 / 100.0 + answer)).abs() <= 1e-12);
    }
}

#[test]
fn the_table_has_a_line_for_each_figure() {
    let place = place();
    let text = place.done(&format!("{EVAL} --reward numeric --samples 2 --temperature 0"));
    for name in ["3 problems, 2 completions", "avg@2", "pass@1", "pass@2", "maj@2", " ± "] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[test]
fn problems_that_cannot_be_judged_are_refused() {
    let place = place();
    place.write("words.jsonl", "{\"prompt\": \"a\", \"answer\": \"none\"}\n");
    place.write("bare.jsonl", "{\"prompt\": \"a\"}\n");
    let long = json!({"prompt": "x".repeat(50), "answer": "1"});
    place.write("long.jsonl", &format!("{}{long}\n", PROBLEMS));
    for (data, reward, what) in [
        ("words.jsonl", "numeric", "words.jsonl: line 1"),
        ("bare.jsonl", "exact", "bare.jsonl: line 1"),
        ("long.jsonl", "exact", "long.jsonl:5: field \"prompt\": its 50 tokens and 12 new"),
        ("problems.jsonl", "best", "best"),
        ("nowhere.jsonl", "exact", "nowhere.jsonl"),
    ] {
        let line =
            format!("eval --model model --data {data} --reward {reward} --max-new-tokens 12 --out out.jsonl");
        let error = place.refused(1, &line);
        assert!(error.contains(what), "{error}");
    }
    assert!(!place.names().contains(&"out.jsonl".to_owned()));
}

#[test]
fn rewards_are_weighed_and_texts_end_before_a_stop() {
    let place = place();
    let line = format!(
        "{EVAL} --samples 4 --reward length:0-4 --reward regex:[a-e] --reward-weight 0.5 --reward-weight 2"
    );
    let summary = place.json(&format!("{line} --stop g --stop c --out out.jsonl"));
    place.done(&format!("{EVAL} --samples 4 --reward exact --out plain.jsonl"));
    let (lines, plain) = (place.lines("out.jsonl"), place.lines("plain.jsonl"));
    let mut stopped = 0;
    for (line, plain) in lines.iter().zip(&plain) {
        let (text, whole) =
            (line["completion"].as_str().expect("text"), plain["completion"].as_str().expect("text"));
        assert!(whole.starts_with(text) && !text.contains(['c', 'g']), "{text:?} of {whole:?}");
        if whole.contains(['c', 'g']) {
            stopped += 1;
            assert_eq!(
                (&line["finished"], whole[text.len()..].starts_with(['c', 'g'])),
                (&json!(true), true)
            );
            assert!(
                number(&line["num_tokens"]) < number(&plain["num_tokens"]) || whole.len() == text.len() + 1
            );
        }
        let each: Vec<f64> = line["rewards"].as_array().expect("both").iter().map(number).collect();
        assert!((number(&line["reward"]) - (0.5 * each[0] + 2.0 * each[1])).abs() <= 1e-12);
    }
    assert!(stopped > 0, "nothing to test");
    let mean = |name: &str| number(&summary["rewards"][name]["mean"]);
    assert!((number(&summary["avg"]["mean"]) - (0.5 * mean("length") + 2.0 * mean("regex"))).abs() <= 1e-12);
    assert!(
        place
            .refused(1, &format!("{EVAL} --reward exact --reward-weight 1 --reward-weight 2"))
            .contains("1 rewards and 2 weights")
    );
}

#[cfg(unix)]
#[test]
fn problems_whose_reward_fails_are_set_aside_on_demand() {
    let place = place();
    let script = r#"while read -r line; do case $line in *5-3*) echo none ;; *) echo 1 ;; esac; done"#;
    place.write("judge.sh", script);
    let run = |more: &[&str]| {
        let mut command = place.command(&format!("{EVAL} --samples 2 --out out.jsonl --json --quiet"));
        Run::from(command.args(["--reward", "command:sh judge.sh"]).args(more).output().expect("it starts"))
    };
    assert!(run(&[]).refusal(1).contains("line 3: reward command:sh judge.sh wrote \"none\""));
    let kept = run(&["--set-aside-failures"]);
    assert_eq!(kept.code, Some(0), "{}", kept.stderr);
    assert!(kept.stderr.contains("set aside: line 3"), "{}", kept.stderr);
    let summary: Value = serde_json::from_str(&kept.stdout).unwrap();
    assert_eq!((&summary["problems"], &summary["set_aside"]), (&json!(2), &json!(1)));
    assert_eq!(number(&summary["avg"]["mean"]), 1.0);
    let lines: Vec<Value> = place.lines("out.jsonl").iter().map(|line| line["line"].clone()).collect();
    assert_eq!(lines, [1, 1, 4, 4].map(Value::from), "each problem with its own completions");
    place.write("judge.sh", "while read -r line; do echo none; done");
    assert_eq!(run(&["--set-aside-failures"]).refusal(1), "no problem is left to judge");
}
