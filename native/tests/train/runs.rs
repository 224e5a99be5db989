//! What a run that goes well leaves behind.

use std::fs;

use serde_json::{Value, json};

use crate::setup::{Bench, done};

const SHORT: [&str; 6] = ["--steps", "4", "--batch", "4", "--checkpoint-every", "2"];

#[test]
fn a_run_leaves_what_is_promised() {
    let bench = Bench::new();
    fs::write(bench.path("model/generation_config.json"), "{}").unwrap();
    bench.records("held-out.jsonl", 5);
    let evaluation = ["--eval-data", "held-out.jsonl", "--eval-every", "2", "--tensorboard", "--json"];
    let (stdout, stderr) =
        done(bench.train("run", &[&SHORT[..], &evaluation].concat()).args(["--seed", "3"]));
    let result: Value = serde_json::from_str(&stdout).expect("one JSON object on stdout");
    assert_eq!(result["steps"], 4);
    assert!(stderr.contains("MiB") && stderr.contains("learning rate"), "{stderr}");

    let metrics = bench.untimed("run/metrics.jsonl");
    let steps: Vec<_> = metrics.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 2, 3, 4]);
    for line in &metrics {
        for key in ["loss", "residual", "residual_rms", "rho", "v1", "reward", "kl", "entropy", "grad_norm"] {
            assert!(line[key].as_f64().is_some_and(f64::is_finite), "{key} in {line}");
        }
        assert_eq!(line.get("eval/loss").is_some(), line["step"].as_u64().unwrap() % 2 == 0, "{line}");
    }

    let config = bench.json("run/config.json");
    assert_eq!((&config["seed"], &config["beta"], &config["steps"]), (&json!(3), &json!(0.05), &json!(4)));
    for key in ["adapter", "driver", "version", "model_sha256", "data_sha256", "learning_rate", "batch"] {
        assert!(!config[key].is_null(), "{key}");
    }
    let model = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
    assert_eq!(bench.names("run/model"), model);
    assert_eq!(bench.bytes("run/model/tokenizer.json"), bench.bytes("model/tokenizer.json"));
    assert_ne!(bench.bytes("run/model/model.safetensors"), bench.bytes("model/model.safetensors"));
    assert_eq!(bench.names("run/checkpoints"), ["step_000002", "step_000004"]);
    let last = "run/checkpoints/step_000004";
    assert_eq!(
        bench.names(last),
        [&model[..3], &["optimizer.safetensors", "state.json"], &model[3..]].concat()
    );
    assert_eq!(bench.bytes(&format!("{last}/model.safetensors")), bench.bytes("run/model/model.safetensors"));
    assert!(bench.names("run").iter().any(|name| name.starts_with("events.out.tfevents.")));

    let samples = bench.text("run/completions/step_000004.jsonl");
    let sample: Value = serde_json::from_str(samples.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&sample["prompt"], &sample["completion"]), (&json!("1?"), &json!("yesyes")));
    assert_eq!(sample["tokens"].as_array().unwrap().len(), 7, "a token a byte, and the end");
    let total: f64 =
        sample["tokens"].as_array().unwrap().iter().map(|t| t["advantage"].as_f64().unwrap()).sum();
    assert!(total != 0.0 && sample["residual"].as_f64().is_some_and(f64::is_finite));
    let report = bench.text("run/report.html");
    assert!(report.contains("<svg") && report.contains("learning_rate"));
    assert!(report.contains("<span class=\"prompt\">1?</span>"), "completions are shown");
}

#[test]
fn the_model_of_a_run_can_be_trained_on() {
    let bench = Bench::new();
    let args = ["--steps", "2", "--objective", "sft"];
    done(&mut bench.train("first", &args));
    assert!(!bench.path("first/reference.safetensors").exists(), "sft has no reference");
    let second = ["--model", "first/model", "--data", "logs.jsonl", "--out", "second", "--steps", "1"];
    done(bench.command("train").args(second));
    let (first, second) = (bench.untimed("first/metrics.jsonl"), bench.untimed("second/metrics.jsonl"));
    assert!(first[1]["loss"].as_f64() < first[0]["loss"].as_f64(), "{first:?}");
    assert_eq!(second[0]["rho"], 0.0, "the model as given is the reference");
}

#[test]
fn sharded_weights_are_the_same_weights() {
    let bench = Bench::new();
    done(&mut bench.train("single", &["--steps", "1"]));
    let name = "model-00001-of-00001.safetensors";
    fs::rename(bench.path("model/model.safetensors"), bench.path("model").join(name)).unwrap();
    let bytes = bench.bytes(&format!("model/{name}"));
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let tensors: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let names = tensors.as_object().unwrap().keys().filter(|key| *key != "__metadata__");
    let map: serde_json::Map<String, Value> = names.map(|key| (key.clone(), json!(name))).collect();
    fs::write(bench.path("model/model.safetensors.index.json"), json!({"weight_map": map}).to_string())
        .unwrap();
    done(&mut bench.train("sharded", &["--steps", "1"]));
    assert_eq!(bench.untimed("single/metrics.jsonl"), bench.untimed("sharded/metrics.jsonl"));
}

#[test]
fn bad_lines_are_set_aside_and_counted() {
    let bench = Bench::new();
    let long = json!({"prompt": "p", "completion": "x".repeat(40), "reward": 1}).to_string();
    let good = r#"{"prompt": "p", "completion": "a", "reward": 1}"#;
    bench.lines("mixed.jsonl", [good, "{", r#"{"prompt": "p", "completion": "b"}"#, long.as_str(), good]);
    done(&mut bench.train_on("mixed.jsonl", "run", &["--steps", "1", "--skip-invalid"]));
    let config = bench.json("run/config.json");
    assert_eq!((&config["records"], &config["rejected"]), (&json!(2), &json!(3)));
    let rejected: Vec<Value> =
        bench.text("run/rejected.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<_> = rejected.iter().map(|r| r["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3, 4]);
    assert_eq!(rejected[1]["field"], "reward");
    assert_eq!(rejected[2]["raw"], long);
}

#[test]
fn the_last_checkpoints_and_the_best_are_kept() {
    let bench = Bench::new();
    bench.records("held-out.jsonl", 3);
    let args = ["--steps", "5", "--checkpoint-every", "1", "--keep", "2", "--lr", "0.5"];
    let evaluation = ["--eval-data", "held-out.jsonl", "--eval-every", "1"];
    done(&mut bench.train("run", &[&args[..], &evaluation].concat()));
    let metrics = bench.untimed("run/metrics.jsonl");
    let loss = |i: &usize| metrics[*i]["eval/loss"].as_f64().unwrap();
    let best = (0..5).min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap() + 1;
    let mut want = vec![best, 4, 5];
    want.sort_unstable();
    want.dedup();
    let want: Vec<String> = want.iter().map(|step| format!("step_{step:06}")).collect();
    assert_eq!(bench.names("run/checkpoints"), want);
}

#[test]
fn a_dry_run_writes_nothing() {
    let bench = Bench::new();
    let before = bench.names("");
    let (stdout, _) = done(&mut bench.train("run", &["--dry-run", "--json"]));
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    assert!(plan["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{plan}");
    assert!(plan["estimate"]["total_bytes"].as_u64() > plan["estimate"]["weight_bytes"].as_u64());
    assert_eq!(bench.names(""), before);
}

#[test]
fn a_profile_names_kernels() {
    let bench = Bench::new();
    let (_, stderr) = done(&mut bench.train("run", &["--steps", "2", "--profile"]));
    assert!(stderr.contains("matmul"), "{stderr}");
    assert!(!bench.json("run/trace.json")["traceEvents"].as_array().unwrap().is_empty());
}
