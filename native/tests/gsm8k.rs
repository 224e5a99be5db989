//! `examples/gsm8k/run.py`, run whole on a few records in GSM8K's format that were written for this test.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder for the experiment, removed at the test's end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tbrm-gsm8k-{}", std::process::id()));
        // A process that had this id before may have been killed.
        let _ = fs::remove_dir_all(&path);
        Place(path)
    }

    fn run(&self, more: &[&str]) -> Output {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        Command::new("python3")
            .arg("-B") // leaves no __pycache__ in the source tree
            .arg(here.join("../examples/gsm8k/run.py"))
            .arg(here.join("tests/fixtures/gsm8k"))
            .args(["--quick", "--tbrm", env!("CARGO_BIN_EXE_tbrm"), "--out"])
            .arg(&self.0)
            .args(more)
            .output()
            .expect("python3 is installed; scripts/setup.sh installs it")
    }

    /// The summary of `tbrm score` on the held-out completions, with the warm start as reference.
    fn score(&self, model: &str, beta: &Value) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_tbrm"))
            .args(["score", "--json", "--beta", &beta.to_string(), "--model", model, "--reference"])
            .arg(self.0.join("warm/model"))
            .arg("--data")
            .arg(self.0.join("data/heldout.jsonl"))
            .output()
            .expect("the command starts");
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("one object")
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn records(&self, part: &str) -> Vec<Value> {
        let text = self.text(&format!("data/{part}.jsonl"));
        text.lines().map(|line| serde_json::from_str(line).expect("one record a line")).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_example_runs_whole() {
    let place = Place::new();
    let first = place.run(&[]);
    assert!(first.status.success(), "{}", stderr(&first));
    parts_share_no_problem(&place);
    demonstrations_end_as_the_logs_do(&place);
    figures_are_those_of_the_tool(&place);

    let result = place.text("results.json");
    let again = place.run(&[]);
    assert!(again.status.success(), "{}", stderr(&again));
    let commands = stderr(&again);
    assert!(!commands.contains(" train ") && !commands.contains(" score "), "{commands}");
    assert_eq!(place.text("results.json"), result);

    let other = place.run(&["--lr", "0.5"]);
    let message = stderr(&other);
    assert_eq!(other.status.code(), Some(1), "{message}");
    assert!(message.contains("error: ") && message.contains("with other settings\nhelp: "), "{message}");
}

fn parts_share_no_problem(place: &Place) {
    let mut seen = HashSet::new();
    for (part, problems) in [("heldout", 2), ("validation", 1), ("fit", 4)] {
        let records = place.records(part);
        let groups: HashSet<String> = records.iter().map(|r| r["group"].to_string()).collect();
        assert_eq!((records.len(), groups.len()), (4 * problems, problems), "{part}");
        for group in groups {
            assert!(seen.insert(group), "{part} has another part's problem");
        }
    }
    let right = place.records("fit_right");
    assert!(!right.is_empty() && right.iter().all(|record| record["reward"] == 1));
}

fn demonstrations_end_as_the_logs_do(place: &Place) {
    let warm = place.records("warm");
    assert_eq!(warm.len(), 8);
    for record in &warm {
        let last = record["completion"].as_str().and_then(|text| text.lines().last());
        let want = format!("A: {}", record["answer"].as_str().expect("GSM8K has answers"));
        assert_eq!(last, Some(want.as_str()));
    }
}

/// The script joins the scores of two models itself: what `tbrm score --reference` says of the same must agree.
fn figures_are_those_of_the_tool(place: &Place) {
    let result = place.json("results.json");
    for method in ["tbrm", "sft"] {
        let summary =
            place.score(result["tried"][method][0]["model"].as_str().expect("a path"), &result["beta"]);
        let agree = |ours: &Value, key: &str| {
            let (Some(ours), Some(tool)) = (ours.as_f64(), summary[key].as_f64()) else {
                panic!("{method} {key}: {ours}, {}", summary[key])
            };
            assert!((ours - tool).abs() <= 1e-9 * tool.abs(), "{method} {key}: {ours}, {tool}");
        };
        let rows = result["auc"].as_array().expect("one row a ranking");
        for (score, pooled, within) in [
            ("implicit_reward", "auc", "auc_within_prompt"),
            ("mean_logp", "auc_mean_logp", "auc_mean_logp_within_prompt"),
        ] {
            let row = rows.iter().find(|row| row["model"] == method && row["score"] == score);
            let row = row.unwrap_or_else(|| panic!("no {method} by {score}"));
            agree(&row["auc"][0][0], pooled);
            agree(&row["auc"][0][1], within);
        }
        for key in ["residual", "residual_rms", "v1", "implicit_reward"] {
            agree(&result["residual"][method][0][key], key);
        }
        assert!(summary["implicit_reward"] != 0.0, "{method} has learnt nothing");
    }
    assert_eq!(result["residual"]["warm start"][0]["implicit_reward"], 0.0);
    assert_eq!(place.text("results.md").matches("\n| --- |").count(), 4);
}
