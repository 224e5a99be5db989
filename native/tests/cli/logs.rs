//! `tbrm logs check` and `tbrm logs convert`.

use std::process::Stdio;

use serde_json::json;

use crate::support::{Place, Run, fixture};

#[test]
fn a_check_lists_every_bad_line_and_fails() {
    let (place, file) = (Place::new(), fixture("log.jsonl"));
    let run = place.run(&format!("logs check {file}"));
    assert!(run.refusal(1).ends_with("4 of 11 lines rejected"), "{}", run.stderr);
    for line in [8, 9, 10, 12] {
        assert!(run.stdout.contains(&format!("log.jsonl:{line}: field ")), "{line}: {}", run.stdout);
    }
    let run = place.run(&format!("logs check {file} --json"));
    run.refusal(1);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("one object");
    let lines: Vec<_> = report["rejections"].as_array().expect("a list").iter().map(|r| &r["line"]).collect();
    assert_eq!(lines, [8, 9, 10, 12]);
    assert_eq!((&report["records"], &report["rejected"]), (&json!(7), &json!(4)));
}

#[test]
fn a_good_file_passes_with_rewards_in_all_records_or_in_none() {
    let place = Place::new();
    let rewarded = "{\"prompt\": \"1+1=\", \"completion\": \"2\", \"reward\": 0.5}\n";
    let demonstration = "{\"prompt\": \"1+1=\", \"completion\": \"2\"}\n";
    place.write("rewarded.jsonl", &rewarded.repeat(2));
    place.write("demonstrations.jsonl", demonstration);
    place.write("mixed.jsonl", &format!("{rewarded}{demonstration}"));
    place.write("empty.jsonl", "\n");
    assert_eq!(place.json("logs check rewarded.jsonl")["duplicates"], 1);
    assert!(place.done("logs check demonstrations.jsonl").contains("--objective sft"));
    assert!(place.refused(1, "logs check mixed.jsonl").contains("1 of 2 lines rejected"));
    assert_eq!(place.refused(1, "logs check empty.jsonl"), "empty.jsonl is empty");
    assert!(place.refused(1, "logs check none.jsonl").contains("none.jsonl"));
}

#[test]
fn with_a_model_lengths_are_tokens_and_its_limits_count() {
    let place = Place::new();
    place.done("init --preset nano --tokenizer bytes --max-positions 9 --out m");
    let line = |completion: &str| {
        format!("{{\"prompt\": \"é=\", \"completion\": \"{completion}\", \"reward\": 1}}\n")
    };
    place.write("fits.jsonl", &line("12345"));
    place.write("long.jsonl", &(line("12345") + &line("123456")));
    let report = place.json("logs check fits.jsonl --model m");
    // Two bytes of é; the end token counts.
    assert_eq!(
        (&report["prompt_tokens"]["max"], &report["completion_tokens"]["max"]),
        (&json!(3), &json!(6))
    );
    let run = place.run("logs check long.jsonl --model m");
    run.refusal(1);
    assert!(
        run.stdout.contains("long.jsonl:2: the record has 10 tokens, above the limit of 9"),
        "{}",
        run.stdout
    );
    assert!(place.refused(1, "logs check fits.jsonl --model m --max-length 10").contains("--max-length 10"));
}

#[test]
fn solutions_become_records_that_pass_the_check() {
    let (place, file) = (Place::new(), fixture("gsm8k_solutions.jsonl"));
    let convert = format!("logs convert --from gsm8k-solutions {file}");
    assert_eq!(
        place.json(&format!("{convert} --out logs.jsonl")),
        json!({"records": 4, "out": "logs.jsonl"})
    );
    assert_eq!(place.done(&convert).into_bytes(), place.read("logs.jsonl"));
    let report = place.json("logs check logs.jsonl");
    assert_eq!((&report["records"], &report["prompts_with_contrast"]), (&json!(4), &json!(2)));
    assert!(place.refused(2, &format!("{convert} --json")).contains("--json"));
}

#[test]
fn a_line_that_cannot_be_converted_leaves_no_file() {
    let place = Place::new();
    place.write("answers.jsonl", "{\"question\": \"q\", \"answer\": \"#### 1\"}\n{\"question\": \"q\"}\n");
    for out in ["", " --out records.jsonl"] {
        let run = place.run(&format!("logs convert --from gsm8k answers.jsonl{out}"));
        assert!(run.refusal(1).starts_with("answers.jsonl:2: "), "{}", run.stderr);
        assert_eq!(run.stdout, "");
        assert_eq!(place.names(), ["answers.jsonl"]);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    // More than a pipe holds.
    place.write("answers.jsonl", &"{\"question\": \"q\", \"answer\": \"#### 1\"}\n".repeat(20_000));
    let mut command = place.command("logs convert --from gsm8k answers.jsonl");
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    drop(child.stdout.take());
    let run = Run::from(child.wait_with_output().expect("it ends"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}
