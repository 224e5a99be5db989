//! `tbrm demo`, shortened: what it prints and leaves behind. How well the model learns is the core's test.

use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use serde_json::{Value, json};

use crate::support::Place;

#[test]
fn the_story_leaves_a_run_and_a_table_behind() {
    let place = Place::new();
    let stdout = place.done("demo --short --out run --seed 3");
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].contains("held-out accuracy") && lines[1].contains("warm start"), "{stdout}");
    assert!(lines[2].contains("TBRM") && lines[2].contains('±'), "{stdout}");
    assert!(lines[3].contains("online") && lines[3].contains('±'), "{stdout}");

    let steps: Vec<Value> =
        place.lines("run/metrics.jsonl").iter().map(|line| line["step"].clone()).collect();
    assert_eq!(steps, [1, 2, 3, 4]);
    for line in place.lines("run/metrics.jsonl") {
        let evaluated = line["step"].as_u64().is_some_and(|step| step.is_multiple_of(2));
        for key in ["eval/accuracy", "eval/loss"] {
            assert_eq!(line[key].is_number(), evaluated, "{key}: {line}");
        }
    }
    let logs = place.lines("run/logs.jsonl");
    assert_eq!(logs.len(), 240);
    assert!(logs.iter().any(|log| log["reward"] == 1.0) && logs.iter().any(|log| log["reward"] == 0.0));
    let samples = place.lines("run/completions/step_000004.jsonl");
    assert!(
        samples.iter().all(|sample| sample["tokens"].as_array().is_some_and(|t| t.len() == 6)),
        "{samples:?}"
    );
    let report = String::from_utf8(place.read("run/report.html")).expect("UTF-8");
    assert!(report.contains("held-out problems") && report.contains("warm start"));
    assert!(report.contains("TBRM online"), "the report tells of all stages");
    // The last stage is a run of its own.
    for line in place.lines("run/online/metrics.jsonl") {
        assert!(line["kl_sampled"].is_number() && line["rewards/exact/mean"].is_number(), "{line}");
        assert_eq!(line["eval/reward"].is_number(), line["step"].as_u64().unwrap() % 2 == 0, "{line}");
    }
    let config: Value = serde_json::from_slice(&place.read("run/config.json")).expect("JSON");
    assert_eq!((&config["demo"]["seed"], &config["objective"]), (&json!(3), &json!("tbrm")));
    // What the story ends with, and what it went through, are models like any other, and the logs records.
    let score = "score --model run/model --reference run/warm-start --data run/logs.jsonl --beta 0.1";
    let score = place.json(score);
    assert_eq!(score["rewarded"], json!(240));
    assert_ne!(score["implicit_reward"], json!(0.0));
}

#[test]
fn json_is_one_object_and_the_seed_decides_it() {
    let place = Place::new();
    let mut told = ["a", "b", "c"].map(|run| {
        let seed = if run == "c" { 1 } else { 0 };
        place.json(&format!("demo --short --out {run} --seed {seed}"))
    });
    for result in &mut told {
        let stages = result["stages"].as_array_mut().expect("a list");
        let names: Vec<&Value> = stages.iter().map(|stage| &stage["name"]).collect();
        assert_eq!(names, ["warm start", "tbrm", "online"]);
        for stage in stages {
            assert!(stage["accuracy"].is_number() && stage["stderr"].is_number(), "{stage}");
            assert!(stage["seconds"].take().as_f64().is_some_and(|s| s > 0.0), "{stage}");
        }
        result["run"].take();
    }
    assert_eq!(told[0], told[1]);
    assert_eq!((&told[0]["seed"], &told[2]["seed"]), (&json!(0), &json!(1)));
    assert_eq!(place.read("a/model/model.safetensors"), place.read("b/model/model.safetensors"));
    assert_ne!(place.read("a/logs.jsonl"), place.read("c/logs.jsonl"));
}

#[test]
fn a_run_is_replaced_only_when_asked() {
    let place = Place::new();
    place.done("demo --short --out run");
    let before = place.read("run/metrics.jsonl");
    assert!(place.refused(1, "demo --short --out run").contains("holds a run already"));
    assert_eq!(place.read("run/metrics.jsonl"), before);
    place.done("demo --short --out run --overwrite");
    assert_ne!(place.read("run/metrics.jsonl"), before);
}

/// The lines of `metrics.jsonl`, without times.
fn untimed(place: &Place, run: &str) -> Vec<Value> {
    let mut lines = place.lines(&format!("{run}/metrics.jsonl"));
    for line in &mut lines {
        (line["step_time"], line["tokens_per_s"]) = (Value::Null, Value::Null);
    }
    lines
}

/// Interrupts a demo in `run` once the file `sign` is there; what it says.
#[cfg(unix)]
fn interrupted(place: &Place, sign: &str) -> String {
    // On a busy machine the short story may be over before the signal arrives.
    for _ in 0..50 {
        let _ = fs::remove_dir_all(place.path("run"));
        let mut command = place.command("demo --short --out run");
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the command starts");
        while !place.path("run").join(sign).exists() {
            assert!(child.try_wait().expect("a child").is_none(), "it ended before {sign}");
            thread::sleep(Duration::from_millis(1));
        }
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
        let said = child.wait_with_output().expect("its end");
        let stderr = String::from_utf8(said.stderr).expect("UTF-8");
        match said.status.code() {
            Some(0) => continue,
            code => assert_eq!(code, Some(130), "{stderr}"),
        }
        return stderr;
    }
    panic!("it was never interrupted");
}

#[cfg(unix)]
#[test]
fn an_interrupted_story_says_how_to_go_on_and_ends_the_same() {
    let place = Place::new();
    place.done("demo --short --out whole");
    let want = (untimed(&place, "whole"), place.read("whole/online/model/model.safetensors"));
    // In the warm start, in TBRM, and online.
    for sign in ["config.json", "metrics.jsonl", "online/metrics.jsonl"] {
        let stderr = interrupted(&place, sign);
        let last = stderr.lines().last().expect("a line");
        assert!(last.contains("saved in run") && last.ends_with("demo --short --out run --resume"), "{last}");

        let stdout = place.done("demo --short --out run --resume");
        assert!(stdout.contains("warm start") && stdout.contains("TBRM"), "{stdout}");
        assert_eq!(
            (untimed(&place, "run"), place.read("run/online/model/model.safetensors")),
            want,
            "{sign}"
        );
        assert_eq!(place.lines("run/logs.jsonl"), place.lines("whole/logs.jsonl"));
    }
    // A story that was told is only told again.
    let before = place.read("run/metrics.jsonl");
    let stages = place.json("demo --short --out run --resume")["stages"].clone();
    assert_eq!(stages.as_array().map(Vec::len), Some(3));
    assert_eq!(place.read("run/metrics.jsonl"), before);
    let said = place.refused(1, "demo --short --out run --resume --seed 4");
    assert_eq!(said, "--seed is 0 in the run to resume, and 4 now");
}
