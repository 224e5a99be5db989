//! Bad input and faults: an error that names the place, a help line, and nothing half-written.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::setup::{Bench, done, refused, write_model};

/// Fails with an error that contains all of `parts`, before anything is written.
#[track_caller]
fn refused_before_writing(bench: &Bench, command: &mut Command, parts: &[&str]) {
    let before = bench.names("");
    let (error, help) = refused(command);
    for part in parts {
        assert!(error.contains(part), "{part:?} in {error:?}");
    }
    assert!(!help.is_empty());
    assert_eq!(bench.names(""), before);
}

#[test]
fn no_adapter() {
    let bench = Bench::new();
    let mut command = bench.train("run", &[]);
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_FILENAMES"] {
        command.env(variable, "/nonexistent");
    }
    command.env("LIBGL_DRIVERS_PATH", "/nonexistent");
    refused_before_writing(&bench, &mut command, &["no GPU adapter found"]);
}

#[test]
fn an_adapter_that_is_not_there() {
    let bench = Bench::new();
    let mut command = bench.train("run", &["--adapter", "abacus"]);
    refused_before_writing(&bench, &mut command, &["abacus"]);
}

#[test]
fn weights_that_are_missing_cut_or_misshapen() {
    let bench = Bench::new();
    let weights = bench.path("model/model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::remove_file(&weights).unwrap();
    refused_before_writing(&bench, &mut bench.train("run", &[]), &["has neither model.safetensors"]);
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    refused_before_writing(&bench, &mut bench.train("run", &[]), &["model", "truncated or damaged"]);
    fs::write(&weights, &whole).unwrap();
    bench.edit_config("intermediate_size", json!(48));
    refused_before_writing(&bench, &mut bench.train("run", &[]), &["gate_proj.weight has shape [32, 16]"]);
}

#[test]
fn a_weight_that_is_nan_spares_the_run_that_would_be_replaced() {
    let bench = Bench::new();
    done(&mut bench.train("run", &["--steps", "1"]));
    let before = bench.names("run");
    write_model(&bench.path("model"), |name, values| {
        if name == "layers.1.down.weight" {
            values[5] = f32::NAN;
        }
    });
    let (error, _) = refused(&mut bench.train("run", &["--overwrite"]));
    assert!(error.contains("model.layers.1.mlp.down_proj.weight has NaN"), "{error}");
    assert_eq!(bench.names("run"), before);
}

#[test]
fn an_unknown_architecture() {
    let bench = Bench::new();
    bench.edit_config("architectures", json!(["MambaForCausalLM"]));
    refused_before_writing(&bench, &mut bench.train("run", &[]), &["config.json", "MambaForCausalLM"]);
}

#[test]
fn a_tokenizer_of_another_model() {
    let bench = Bench::new();
    bench.edit_config("vocab_size", json!(200));
    bench.edit_config("eos_token_id", json!(10));
    refused_before_writing(&bench, &mut bench.train("run", &[]), &["257 tokens", "200"]);
    fs::remove_file(bench.path("model/tokenizer.json")).unwrap();
    refused_before_writing(&bench, &mut bench.train("run", &[]), &["no tokenizer.json"]);
}

#[test]
fn a_bad_line_names_file_line_and_field() {
    let bench = Bench::new();
    let good = r#"{"prompt": "p", "completion": "a", "reward": 1}"#;
    let long = json!({"prompt": "p", "completion": "x".repeat(40), "reward": 1}).to_string();
    for (line, said) in [
        (r#"{"prompt": "p", "completion": "#, "malformed JSON"),
        (r#"{"prompt": "p", "completion": "a"}"#, "field \"reward\": is missing"),
        (r#"{"prompt": "p", "completion": "a", "reward": NaN}"#, "field \"reward\": is NaN"),
        (r#"{"prompt": "p", "completion": "a", "reward": 1e999}"#, "field \"reward\""),
        (r#"{"prompt": "", "completion": "a", "reward": 1}"#, "field \"prompt\": is empty"),
        (long.as_str(), "42 tokens, above the limit of 32"),
    ] {
        bench.lines("bad.jsonl", [good, line]);
        let mut command = bench.train_on("bad.jsonl", "run", &[]);
        refused_before_writing(&bench, &mut command, &["bad.jsonl:2: ", said]);
    }
}

#[test]
fn files_without_records() {
    let bench = Bench::new();
    for content in ["", "\n\n"] {
        fs::write(bench.path("empty.jsonl"), content).unwrap();
        let mut command = bench.train_on("empty.jsonl", "run", &[]);
        refused_before_writing(&bench, &mut command, &["empty.jsonl is empty"]);
    }
    let mut command = bench.train_on("nowhere.jsonl", "run", &[]);
    refused_before_writing(&bench, &mut command, &["nowhere.jsonl"]);
}

#[test]
fn an_output_directory_that_is_taken() {
    let bench = Bench::new();
    done(&mut bench.train("run", &["--steps", "1"]));
    let before = bench.bytes("run/metrics.jsonl");
    let (error, help) = refused(&mut bench.train("run", &["--steps", "1"]));
    assert!(error.starts_with("run: holds a run"), "{error}");
    assert!(help.contains("--resume") && help.contains("--overwrite"), "{help}");
    assert_eq!(bench.bytes("run/metrics.jsonl"), before);

    fs::write(bench.path("run/notes.txt"), "mine").unwrap();
    done(&mut bench.train("run", &["--steps", "2", "--overwrite"]));
    assert_eq!(bench.untimed("run/metrics.jsonl").len(), 2);
    assert_eq!(bench.bytes("run/notes.txt"), b"mine");

    fs::create_dir(bench.path("somebody's")).unwrap();
    fs::write(bench.path("somebody's/thesis.txt"), "mine").unwrap();
    for how in ["--resume", "--overwrite"] {
        let (error, _) = refused(&mut bench.train("somebody's", &[how]));
        assert!(error.contains("no run wrote"), "{error}");
    }
    assert_eq!(bench.names("somebody's"), ["thesis.txt"]);
}

/// The system's own refusal in the middle of a checkpoint: a limit on the size of files stands for a full disk.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_keeps_the_last_good_checkpoint() {
    let bench = Bench::new();
    let args = ["--steps", "4", "--checkpoint-every", "1", "--keep", "9"];
    done(&mut bench.train("run", &args));
    fs::remove_dir_all(bench.path("run/model")).unwrap();
    for step in [2, 3, 4] {
        fs::remove_dir_all(bench.path(&format!("run/checkpoints/step_{step:06}"))).unwrap();
    }
    let train = bench.train("run", &[&args[..], &["--resume"]].concat());
    let words: Vec<String> = std::iter::once(train.get_program())
        .chain(train.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    // Blocks of 1,024 bytes: above a model's 40 KB file, below the optimizer's two moments.
    let size = fs::metadata(bench.path("model/model.safetensors")).unwrap().len();
    let limit = size * 3 / 2 / 1024;
    let mut limited = Command::new("bash");
    limited.current_dir(bench.path(""));
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {limit}; exec {}", words.join(" "))]);
    let (error, _) = refused(&mut limited);
    assert!(error.contains("run/checkpoints/step_000002/optimizer.safetensors"), "{error}");
    assert_eq!(bench.names("run/checkpoints"), ["step_000001"]);
    assert!(!bench.path("run/model").exists());
    done(bench.train("run", &args).arg("--resume"));
    assert_eq!(bench.untimed("run/metrics.jsonl").len(), 4);
}

#[test]
fn a_model_that_is_too_large() {
    let bench = Bench::new();
    for (key, size) in [("hidden_size", 1 << 15), ("intermediate_size", 1 << 16), ("num_hidden_layers", 5000)]
    {
        bench.edit_config(key, json!(size));
    }
    refused_before_writing(&bench, &mut bench.train("run", &[]), &["bytes"]);
}

#[test]
fn a_record_above_the_micro_batch() {
    let bench = Bench::new();
    let mut command = bench.train("run", &["--micro-batch-tokens", "4"]);
    refused_before_writing(&bench, &mut command, &["--micro-batch-tokens 4"]);
}

#[test]
fn a_loss_that_is_not_finite_keeps_the_last_checkpoint() {
    let bench = Bench::new();
    let good = r#"{"prompt": "p", "completion": "a", "reward": 1}"#;
    let bad = r#"{"prompt": "p", "completion": "b", "reward": 1e30}"#;
    bench.lines("some.jsonl", [good, good, good]);
    bench.lines("more.jsonl", [bad]);
    let args = ["--steps", "4", "--batch", "1", "--no-shuffle", "--checkpoint-every", "1"];
    let mut command = bench.command("train");
    command.args(["--model", "model", "--data", "some.jsonl", "more.jsonl", "--out", "run"]).args(args);
    let (error, help) = refused(&mut command);
    assert!(error.contains("step 4") && error.contains("more.jsonl:1"), "{error}");
    assert!(help.contains("--lr"), "{help}");
    assert_eq!(bench.names("run/checkpoints"), ["step_000002", "step_000003"]);
    assert_eq!(bench.untimed("run/metrics.jsonl").len(), 3);
    assert!(!bench.path("run/model").exists() && bench.path("run/report.html").exists());
}

#[test]
fn a_template_that_is_missing() {
    let bench = Bench::new();
    let chat = r#"{"prompt": [{"role": "user", "content": "p"}], "completion": "a", "reward": 1}"#;
    bench.lines("chat.jsonl", [chat]);
    let mut command = bench.train_on("chat.jsonl", "run", &[]);
    refused_before_writing(&bench, &mut command, &["chat.jsonl:1: ", "no chat template"]);
}
