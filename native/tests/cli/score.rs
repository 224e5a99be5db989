//! `tbrm score`.

use serde_json::{Value, json};

use crate::support::Place;

const LOGS: &str = r#"{"id": "right", "prompt": "2+2=", "completion": "4", "reward": 1}
{"id": "wrong", "prompt": "2+2=", "completion": "22", "reward": 0}

{"prompt": "5-3=", "completion": "2"}
{"id": 9, "prompt": "1+1=", "completion": "", "reward": 0.5}
{"id": "cut", "prompt": "count: ", "completion": "1 2 3", "reward": 0, "truncated": true}
"#;

/// Two byte models of one shape, and the logs.
fn place() -> Place {
    let place = Place::new();
    place.write("logs.jsonl", LOGS);
    place.done("init --preset nano --tokenizer bytes --out old --seed 1");
    place.done("init --preset nano --tokenizer bytes --out new --seed 2");
    place
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn assert_close(got: &Value, want: f64, tolerance: f64) {
    let got = number(got);
    assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "{got}, not {want}");
}

#[test]
fn a_model_of_zeros_gives_every_token_the_same_probability() {
    let place = place();
    let mut config: Value = serde_json::from_slice(&place.read("old/config.json")).expect("JSON");
    config["initializer_range"] = json!(0.0);
    place.write("zeros.json", &config.to_string());
    place.done("init --config zeros.json --tokenizer bytes --out zeros");
    let summary = place.json("score --model zeros --data logs.jsonl --beta 0.5 --out scores.jsonl");
    let (scores, log_vocab) = (place.lines("scores.jsonl"), 257f64.ln());
    let lengths = [2.0, 3.0, 2.0, 1.0, 5.0];
    assert_eq!(scores.len(), lengths.len());
    for (score, length) in scores.iter().zip(lengths) {
        assert_eq!(number(&score["num_tokens"]), length, "{score}");
        assert_close(&score["logp"], -length * log_vocab, 1e-6);
        assert_close(&score["v1"], log_vocab, 1e-6);
    }
    // delta = 0 + ln 257 - R / beta.
    assert_close(&scores[0]["residual"], log_vocab - 2.0, 1e-6);
    assert_close(&summary["residual"], log_vocab - 2.0 * 1.5 / 4.0, 1e-6);
    assert_eq!(
        (&summary["records"], &summary["rewarded"], &summary["num_tokens"]),
        (&json!(5), &json!(4), &json!(13))
    );
}

#[test]
fn scores_stand_in_file_order_and_compare_with_the_reference() {
    let place = place();
    let beta = 0.25;
    let line = "score --model new --data logs.jsonl --beta 0.25";
    let alone = place.json(&format!("{line} --out alone.jsonl"));
    place.done("score --model old --data logs.jsonl --beta 0.25 --out old.jsonl");
    let summary = place.json(&format!("{line} --reference old --out scores.jsonl"));
    let (alone_scores, old, scores) =
        (place.lines("alone.jsonl"), place.lines("old.jsonl"), place.lines("scores.jsonl"));

    let ids: Vec<_> = scores.iter().map(|score| &score["id"]).collect();
    // A record without an id is called by its line; blank lines count.
    assert_eq!(ids, [&json!("right"), &json!("wrong"), &json!(4), &json!(9), &json!("cut")]);
    let rewards = [Some(1.0), Some(0.0), None, Some(0.5), Some(0.0)];
    for (i, score) in scores.iter().enumerate() {
        assert_eq!((&score["logp"], &score["v1"]), (&alone_scores[i]["logp"], &alone_scores[i]["v1"]));
        assert_close(&score["ref_logp"], number(&old[i]["logp"]), 1e-12);
        let rho = number(&score["logp"]) - number(&score["ref_logp"]);
        assert!(rho.abs() > 1e-3, "two models agree: {score}");
        assert_close(&score["implicit_reward"], beta * rho, 1e-12);
        match rewards[i] {
            Some(reward) => {
                assert_close(&score["residual"], rho + number(&score["v1"]) - reward / beta, 1e-12)
            }
            None => assert_eq!(score["residual"], Value::Null),
        }
        assert_eq!(
            (number(&alone_scores[i]["implicit_reward"]), &alone_scores[i]["ref_logp"]),
            (0.0, &alone_scores[i]["logp"])
        );
    }
    // Nothing to tell the records apart by: all ties.
    assert_eq!((&alone["auc"], &alone["auc_within_prompt"]), (&json!(0.5), &json!(0.5)));
    let right_is_above = number(&scores[0]["implicit_reward"]) > number(&scores[1]["implicit_reward"]);
    assert_eq!(summary["auc_within_prompt"], json!(f64::from(u8::from(right_is_above))));
    let mean = scores.iter().map(|score| number(&score["implicit_reward"])).sum::<f64>() / 5.0;
    assert_close(&summary["implicit_reward"], mean, 1e-12);

    place.done(&format!("{line} --reference old --calibrate v-ref --out calibrated.jsonl"));
    let calibrated = place.lines("calibrated.jsonl");
    assert_close(&calibrated[0]["residual"], number(&scores[0]["residual"]) - number(&old[0]["v1"]), 1e-12);
}

#[test]
fn neither_batches_nor_neighbours_change_a_score() {
    let place = place();
    let reversed: Vec<&str> = LOGS.lines().filter(|line| !line.is_empty()).rev().collect();
    place.write("reversed.jsonl", &reversed.join("\n"));
    place.done("score --model new --data logs.jsonl --beta 1 --out a.jsonl");
    place.done("score --model new --data reversed.jsonl --beta 1 --micro-batch-tokens 12 --out b.jsonl");
    for (a, b) in place.lines("a.jsonl").iter().zip(place.lines("b.jsonl").iter().rev()) {
        assert_close(&b["logp"], number(&a["logp"]), 1e-6);
        assert_close(&b["v1"], number(&a["v1"]), 1e-6);
    }
}

#[test]
fn biases_of_zero_change_nothing() {
    let place = place();
    let mut config: Value = serde_json::from_slice(&place.read("old/config.json")).expect("JSON");
    (config["attention_bias"], config["mlp_bias"]) = (json!(true), json!(true));
    place.write("biases.json", &config.to_string());
    place.done("init --config biases.json --tokenizer bytes --out biases --seed 1");
    place.done("score --model old --data logs.jsonl --beta 1 --out a.jsonl");
    place.done("score --model biases --data logs.jsonl --beta 1 --out b.jsonl");
    for (a, b) in place.lines("a.jsonl").iter().zip(&place.lines("b.jsonl")) {
        assert_close(&b["logp"], number(&a["logp"]), 1e-6);
    }
}

#[test]
fn bad_lines_can_be_left_out_and_are_counted() {
    let place = place();
    place.done("init --preset nano --tokenizer bytes --max-positions 6 --out short --seed 1");
    place.write("bad.jsonl", &format!("{LOGS}{{\n"));
    let line = "score --data bad.jsonl --beta 1 --skip-invalid --json --out scores.jsonl";
    // Line 2 and those after the third are too long for six positions: the reference's limit counts too.
    for models in ["--model short", "--model new --reference short", "--model short --reference new"] {
        let run = place.run(&format!("{line} {models}"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let summary: Value = serde_json::from_str(&run.stdout).expect("one object");
        assert_eq!((&summary["records"], &summary["rejected"]), (&json!(3), &json!(3)), "{models}");
        assert!(run.stderr.contains("3 invalid lines were left out"), "{}", run.stderr);
        let ids: Vec<Value> = place.lines("scores.jsonl").iter().map(|score| score["id"].clone()).collect();
        assert_eq!(ids, [json!("right"), json!(4), json!(9)], "{models}");
    }
    let said = place.refused(1, "score --model new --data bad.jsonl --beta 1");
    assert!(said.contains("bad.jsonl:7: malformed JSON"), "{said}");
}

#[test]
fn what_cannot_be_scored_is_refused_before_anything_is_written() {
    let place = place();
    place.done("init --preset nano --tokenizer bytes --max-positions 6 --out short");
    place.write("corpus.txt", "2+2= 2+2= 2+2=\n2+2=\n");
    place.done("init --preset nano --tokenizer train:corpus.txt --vocab-size 258 --out other");
    place.write("bad.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\", \"reward\": Infinity}\n");
    place.write("empty.jsonl", "");
    let before = place.names();
    for (line, want) in [
        ("--model short --data logs.jsonl", "logs.jsonl:2: the record has 7 tokens, above the limit of 6"),
        ("--model new --reference short --data logs.jsonl", "the reference: logs.jsonl:2: "),
        (
            "--model new --reference other --data logs.jsonl",
            "logs.jsonl:1: the model and the reference tokenize",
        ),
        ("--model new --data bad.jsonl", "bad.jsonl:1: field \"reward\": is Infinity"),
        ("--model new --data empty.jsonl", "empty.jsonl is empty"),
        ("--model new --data none.jsonl", "none.jsonl"),
        ("--model none --data logs.jsonl", "none: no such directory"),
        ("--model new --data logs.jsonl --micro-batch-tokens 4", "does not fit a micro-batch of 4"),
    ] {
        let said = place.refused(1, &format!("score {line} --beta 1 --out scores.jsonl"));
        assert!(said.contains(want), "{line}: {said}");
        assert_eq!(place.names(), before, "{line}");
    }
    assert!(place.refused(2, "score --model new --data logs.jsonl").contains("--beta"));
}
