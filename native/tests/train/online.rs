//! `tbrm rl` as a process.

use serde_json::{Value, json};

use crate::setup::{Bench, done, refused};

const SHORT: [&str; 12] = [
    "--steps",
    "4",
    "--prompts-per-batch",
    "4",
    "--rollouts",
    "2",
    "--max-new-tokens",
    "6",
    "--checkpoint-every",
    "2",
    "--reward",
    "regex:^[a-z]",
];

fn prompts(bench: &Bench, name: &str, count: usize) {
    bench.lines(name, (0..count).map(|i| json!({"prompt": format!("{i}?"), "answer": i}).to_string()));
}

fn rl(bench: &Bench, out: &str, args: &[&str]) -> std::process::Command {
    let mut command = bench.command("rl");
    command.args(["--model", "model", "--prompts", "prompts.jsonl", "--out", out]).args(SHORT).args(args);
    command
}

#[test]
fn an_online_run_leaves_what_is_promised_and_goes_on_to_the_same_bits() {
    let bench = Bench::new();
    prompts(&bench, "prompts.jsonl", 6);
    prompts(&bench, "held-out.jsonl", 3);
    let args =
        ["--eval-prompts", "held-out.jsonl", "--eval-every", "2", "--replay", "1", "--steps-per-batch", "1"];
    let (stdout, stderr) = done(rl(&bench, "run", &args).arg("--json"));
    let result: Value = serde_json::from_str(&stdout).expect("one JSON object on stdout");
    assert_eq!(result["steps"], 4);
    assert!(stderr.contains("6 (3 held out), 2 completions each"), "{stderr}");
    let metrics = bench.untimed("run/metrics.jsonl");
    assert_eq!(metrics.len(), 4);
    for line in &metrics {
        for key in ["loss", "reward", "kl_sampled", "rewards/regex/mean", "completions/clipped_ratio"] {
            assert!(line[key].as_f64().is_some_and(f64::is_finite), "{key} in {line}");
        }
        assert_eq!(line["eval/reward"].is_number(), line["step"].as_u64().unwrap() % 2 == 0, "{line}");
    }
    let sample: Value =
        serde_json::from_str(bench.text("run/completions/step_000004.jsonl").lines().next().unwrap())
            .unwrap();
    assert!(sample["prompt"].as_str().unwrap().ends_with('?') && sample["reward"].is_number(), "{sample}");
    let last = bench.names("run/checkpoints/step_000004");
    assert!(last.contains(&"rollouts.safetensors".to_owned()), "{last:?}");
    let config = bench.json("run/config.json");
    assert_eq!((&config["rollouts"], &config["replay"], &config["batch"]), (&json!(2), &json!(1), &json!(8)));

    // As after a kill behind the first checkpoint.
    let model = bench.bytes("run/model/model.safetensors");
    for gone in ["model", "checkpoints/step_000004"] {
        std::fs::remove_dir_all(bench.path("run").join(gone)).unwrap();
    }
    done(rl(&bench, "run", &args).arg("--resume"));
    assert_eq!(bench.untimed("run/metrics.jsonl"), metrics);
    assert!(bench.bytes("run/model/model.safetensors") == model, "other bits");
    let (stdout, _) = done(rl(&bench, "run", &args).arg("--resume"));
    assert!(stdout.contains("finished already"), "{stdout}");
    let (error, _) = refused(rl(&bench, "run", &["--resume", "--replay", "0"]).args(&args[..4]));
    assert!(error.contains("--replay is 1 in the run to resume, and 0 now"), "{error}");
}

#[test]
fn what_is_missing_is_said_before_anything_is_written() {
    let bench = Bench::new();
    prompts(&bench, "prompts.jsonl", 6);
    let (error, help) = refused(&mut rl(&bench, "run", &["--objective", "dpo"]));
    assert!(error.contains("dpo is trained on pairs") && help.contains("tbrm train"), "{error}; {help}");
    let (error, _) = refused(&mut bench.train("run", &["--objective", "rloo"]));
    assert!(error.contains("logs.jsonl:1: the record has no `group`, which rloo needs"), "{error}");
    let (error, _) = refused(&mut bench.train("run", &["--objective", "grpo"]));
    assert!(error.contains("logs.jsonl:1: the record has no `logps`, which grpo needs"), "{error}");
    let (error, help) = refused(&mut bench.train("run", &["--objective", "ppo"]));
    assert!(error.contains("ppo is trained on the model's own rollouts"), "{error}");
    assert!(help.contains("tbrm rl") && help.contains("--objective tbrm"), "{help}");
    let (error, _) = refused(&mut bench.train("run", &["--objective", "dpo"]));
    assert!(error.contains("logs.jsonl:1: field \"chosen\": is missing"), "{error}");
    assert!(!bench.path("run").exists());
}

#[test]
fn groups_and_pairs_are_trained_on_from_files() {
    let bench = Bench::new();
    let grouped = (0..12).map(|i| {
        let text = if i % 2 == 0 { "no" } else { "yes" };
        json!({"prompt": format!("{}?", i / 4), "completion": text, "reward": i % 2, "group": i / 4,
            "logps": vec![-5.0; text.len() + 1]})
    });
    bench.lines("groups.jsonl", grouped.map(|line| line.to_string()));
    let args = ["--steps", "3", "--batch", "8"];
    for objective in ["reinforce", "rloo", "grpo", "a2po", "tba", "hybrid"] {
        let mut command = bench.train_on("groups.jsonl", objective, &args);
        done(command.args(["--objective", objective]));
        let metrics = bench.untimed(&format!("{objective}/metrics.jsonl"));
        assert_eq!(metrics.len(), 3, "{objective}");
        assert!(metrics.iter().all(|line| line["loss"].is_number()), "{metrics:?}");
        assert_eq!(metrics[0]["frac_reward_zero_std"].is_number(), objective != "reinforce", "{metrics:?}");
    }
    let pair = |i| json!({"prompt": format!("{i}?"), "chosen": "yes", "rejected": "no!"}).to_string();
    bench.lines("pairs.jsonl", (0..6).map(pair));
    let args = ["--objective", "dpo", "--epochs", "4", "--batch", "4", "--lr", "3e-3"];
    done(&mut bench.train_on("pairs.jsonl", "dpo", &args));
    let metrics = bench.untimed("dpo/metrics.jsonl");
    assert_eq!(metrics.len(), 12, "two pairs a step");
    let (first, last) = (&metrics[0], &metrics[11]);
    // Before the first step the model is the reference: no margin, and the loss is that of a coin.
    assert!((first["loss"].as_f64().unwrap() - 2f64.ln()).abs() < 1e-5, "{first}");
    assert!(last["rewards/margins"].as_f64().unwrap() > 0.01, "{last}");
    assert_eq!(last["rewards/accuracies"], 1.0, "{last}");
}

#[test]
fn a_program_judges_rollouts_that_end_at_a_stop_text() {
    let bench = Bench::new();
    prompts(&bench, "prompts.jsonl", 6);
    // Fails on an odd number of characters, and sees no stop text.
    bench.lines(
        "judge.py",
        [
            "import json, sys",
            "for line in sys.stdin:",
            "    it = json.loads(line)",
            "    text = it['completion']",
            "    assert 'e' not in text",
            "    print('odd' if len(text) % 2 else len(text) / 10 + it['answer'], flush=True)",
        ]
        .map(str::to_owned),
    );
    let judged = |out: &str, args: &[&str]| {
        let mut command = bench.command("rl");
        command
            .args(["--model", "model", "--prompts", "prompts.jsonl", "--out", out])
            .args(SHORT[..10].iter());
        command.args([
            "--reward",
            "command:python3 judge.py",
            "--reward",
            "length:0-4",
            "--reward-weight",
            "1",
        ]);
        command.args(["--reward-weight", "0.5", "--stop", "e", "--stop", "t"]).args(args);
        command
    };
    let (error, _) = refused(&mut judged("strict", &[]));
    assert!(error.contains("prompts.jsonl: line ") && error.contains("wrote \"odd\""), "{error}");
    done(&mut judged("run", &["--set-aside-failures"]));
    let metrics = bench.untimed("run/metrics.jsonl");
    assert_eq!(metrics.len(), 4);
    let aside = bench.text("run/set-aside/round_000000.jsonl");
    assert_eq!(metrics[0]["completions/set_aside"], json!(aside.lines().count() as f64));
    let first: Value = serde_json::from_str(aside.lines().next().expect("one")).expect("an object");
    assert!(first["reason"].as_str().expect("why").contains("wrote \"odd\""), "{first}");
    assert!(first["completion"].as_str().expect("a text").chars().count() % 2 == 1, "{first}");
    for line in &metrics {
        let (judge, length) = (&line["rewards/command/mean"], &line["rewards/length/mean"]);
        assert!(judge.is_number() && length.is_number(), "{line}");
    }
    assert_eq!(bench.json("run/config.json")["stop"], json!(["e", "t"]));
}
