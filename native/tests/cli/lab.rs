//! `tbrm compare`, `sweep` and `pilot` as processes.

use serde_json::{Value, json};

use crate::support::{Place, Run};

const COMPARE: &str = "compare --objectives tbrm,sft --seeds 2 --task sort-1 --steps 2 --batch 8 --evaluations 1 --eval-samples 1 \
                       --problems 20 --held-out 4 --warm-steps 2 --out c --quiet";

#[test]
fn objectives_are_compared_and_a_second_run_has_nothing_to_do() {
    let place = Place::new();
    let compared = place.json(COMPARE);
    let names: Vec<_> =
        compared["arms"].as_array().unwrap().iter().map(|arm| arm["arm"]["name"].clone()).collect();
    assert_eq!(names, [json!("tbrm"), json!("sft")]);
    assert_eq!(compared["arms"][0]["each"].as_array().unwrap().len(), 2);
    for name in ["config.json", "report.html", "results.json", "runs", "starts"] {
        assert!(place.path("c").join(name).exists(), "{name}");
    }
    let results = place.read("c/results.json");
    assert_eq!(place.json(COMPARE), compared);
    assert!(place.read("c/results.json") == results);
    let table = place.done(COMPARE);
    assert!(table.contains("tbrm") && table.contains("report in c/report.html"), "{table}");
    let other = COMPARE.replace("--steps 2", "--steps 3");
    assert!(place.refused(1, &other).contains("steps is 2 in the experiment"));
    place.done(&format!("{other} --overwrite"));
    assert!(place.read("c/results.json") != results);
    assert!(place.refused(1, &COMPARE.replace("tbrm,sft", "tbrm,best")).contains("best"));
    assert!(place.refused(1, &COMPARE.replace("tbrm,sft", "tbrm:n=3")).contains("tbrm:n=3 draws 3"));
}

#[test]
fn a_task_with_few_problems_is_compared_on_what_it_has() {
    let place = Place::new();
    let line = COMPARE.replace("sort-1", "countdown-1").replace("--problems 20 --held-out 4 ", "");
    let start = place.json(&line)["config"]["start"]["task"].clone();
    let count = |key: &str| start[key].as_u64().unwrap();
    assert!(0 < count("held_out") && count("held_out") < 256, "{start}");
    assert!(0 < count("problems") && count("problems") < 2000, "{start}");
    assert!(
        place
            .refused(1, &format!("{line} --overwrite --problems 2000"))
            .contains("countdown of this level has")
    );
}

#[test]
fn settings_are_swept_and_logs_are_judged() {
    let place = Place::new();
    place.done("task sort-1 --count 60 --demonstrations 2 --out logs.jsonl");
    place.done("init --preset nano --tokenizer bytes --max-positions 32 --out m");
    let swept = place.json(
        "sweep --beta 0.1,0.5 --calibrate v-ref --model m --data logs.jsonl --steps 2 --batch 8 --out s --quiet",
    );
    assert_eq!(swept["cells"].as_array().unwrap().len(), 2);
    assert!(swept["recommended"].is_number() && swept["why"].is_string(), "{swept}");
    assert!(place.read("s/report.html").len() > 1000);
    let line = "pilot logs.jsonl --model m --beta 0.1 --steps 2 --batch 8 --out p --quiet";
    let judged = place.json(line);
    let decision = judged["advice"]["decision"].as_str().unwrap();
    assert!(["train-on", "collect-more", "stop"].contains(&decision), "{judged}");
    let page = place.read("p/report.html");
    assert_eq!(place.json(line), judged);
    assert!(
        place.read("p/report.html") == page && String::from_utf8(page).unwrap().contains("Recommendation")
    );
    assert!(place.done(line).starts_with("recommendation: "));
    assert!(place.refused(1, &line.replace("--steps 2", "--steps 3")).contains("in the experiment"));
}

#[test]
fn objectives_race_on_a_tree() {
    let place = Place::new();
    // An argument without spaces: lines are split at them.
    let small =
        "{\"objectives\":[\"tbrm\",\"rloo\"],\"actions\":2,\"horizon\":2,\"steps\":4,\"look_every\":2}";
    let line = format!("theory --race {small} --seed 3 --quiet");
    let raced = place.json(&line);
    assert_eq!((&raced["race"]["seed"], &raced["race"]["beta"]), (&json!(3), &json!(0.2)));
    let standings = raced["standings"].as_array().unwrap();
    let names: Vec<_> = standings.iter().map(|standing| standing["objective"].clone()).collect();
    assert_eq!(names, [json!("tbrm"), json!("rloo")]);
    let looks: Vec<_> = raced["looks"].as_array().unwrap().iter().map(|look| look["step"].clone()).collect();
    assert_eq!(looks, [0, 0, 2, 2, 4, 4].map(|step| json!(step)));
    assert!(place.done(&line).contains("4 sequences, beta 0.2: log Z"));
    assert!(place.refused(1, &line.replace("rloo", "sft")).contains("another optimum"));
    assert!(place.refused(1, &line.replace("look_every", "look")).contains("--race: unknown field"));
    assert!(place.refused(2, &format!("{line} --only bandit")).contains("--only"));
}

#[cfg(unix)]
#[test]
fn contenders_are_judged_by_a_program_and_more() {
    let place = Place::new();
    place.done("task sort-1 --count 30 --out prompts.jsonl");
    place.done("init --preset nano --tokenizer bytes --max-positions 32 --out m");
    place.write("judge.sh", "while read -r line; do echo 3; done");
    let line = "compare --objectives tbrm --seeds 1 --steps 1 --batch 4 --evaluations 1 --eval-samples 1 --model m \
                --prompts prompts.jsonl --max-new-tokens 4 --out c --quiet --json --reward contains:ZZZZZZ";
    let run = |weights: [&str; 2]| {
        let mut command = place.command(line);
        command.args(["--reward", "command:sh judge.sh"]);
        command.args(["--reward-weight", weights[0], "--reward-weight", weights[1]]);
        Run::from(command.output().expect("it starts"))
    };
    let done = run(["1", "0.5"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let compared: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(compared["start"]["mean"], json!(1.5));
    assert!(run(["1", "2"]).refusal(1).contains("in the experiment"), "other weights are another experiment");
}
