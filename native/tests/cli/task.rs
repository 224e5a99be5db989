//! `tbrm task`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::Place;

#[test]
fn problems_and_demonstrations_are_records() {
    let place = Place::new();
    let summary = place.json("task countdown-2 --count 30 --out problems.jsonl");
    assert_eq!(summary, json!({"task": "countdown-2", "records": 30, "out": "problems.jsonl"}));
    let prompts = |name: &str| -> HashSet<String> {
        place.lines(name).iter().map(|line| line["prompt"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(prompts("problems.jsonl").len(), 30);
    assert!(place.lines("problems.jsonl").iter().all(|line| line["answer"].is_string()));

    place.done("task countdown-2 --count 30 --held-out --seed 1 --out test.jsonl");
    assert!(prompts("test.jsonl").is_disjoint(&prompts("problems.jsonl")));
    place.done("task countdown-2 --count 30 --seed 1 --out other.jsonl");
    assert_ne!(prompts("other.jsonl"), prompts("problems.jsonl"));

    place.done("task story-1 --count 10 --demonstrations 4 --wrong 0.5 --out logs.jsonl");
    let logs = place.lines("logs.jsonl");
    let right = logs.iter().filter(|line| line["reward"] == 1.0).count();
    assert!(logs.len() == 40 && right > 0 && right < 40, "{right} of {}", logs.len());
    place.done("logs check logs.jsonl");
    let shown = place.done("task sort-1 --count 2");
    assert!(shown.lines().count() == 2 && shown.lines().all(|line| line.parse::<Value>().is_ok()), "{shown}");
}

#[test]
fn what_cannot_be_made_is_refused() {
    let place = Place::new();
    assert!(place.refused(1, "task chess --count 3").contains("chess"));
    assert!(
        place
            .refused(1, "task sort-1 --count 100000")
            .contains("problems to train on, where 100000 were asked for")
    );
    assert!(place.refused(1, "task sort-1 --count 3 --demonstrations 2 --wrong 1.5").contains("--wrong"));
    assert!(place.refused(2, "task sort-1").contains("--count"));
    assert!(place.refused(2, "task sort-1 --count 3 --json").contains("--json"));
}
