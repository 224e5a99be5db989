//! A tiny model, a few records, and the command as a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tbrm_core::data::tokenizer::Tokenizer;
use tbrm_core::model::init::init_param;
use tbrm_core::model::{ModelConfig, weights};

/// Positions of the tiny model.
pub(crate) const POSITIONS: usize = 32;

/// A directory of one test with a model and records in it; removed at its end.
pub(crate) struct Bench {
    dir: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tbrm-train-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        // A process that had this id before may have been killed.
        let _ = fs::remove_dir_all(&dir);
        let bench = Bench { dir };
        write_model(&bench.path("model"), |_, _| {});
        bench.records("logs.jsonl", 12);
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes `count` records of different lengths and rewards.
    pub(crate) fn records(&self, name: &str, count: usize) {
        let lines: Vec<Value> = (0..count)
            .map(|i| {
                let answer = if i % 3 == 0 { "no".to_owned() } else { "yes".repeat(1 + i % 4) };
                json!({"prompt": format!("{i}?"), "completion": answer, "reward": (i % 3) as f64 / 2.0, "id": i})
            })
            .collect();
        self.lines(name, lines.iter().map(Value::to_string));
    }

    pub(crate) fn lines(&self, name: &str, lines: impl IntoIterator<Item = impl AsRef<str>>) {
        let text: String = lines.into_iter().map(|line| format!("{}\n", line.as_ref())).collect();
        fs::write(self.path(name), text).unwrap();
    }

    /// `tbrm train` on the model and the records, into `out`, with further `args`; not started yet.
    pub(crate) fn train(&self, out: &str, args: &[&str]) -> Command {
        self.train_on("logs.jsonl", out, args)
    }

    pub(crate) fn train_on(&self, data: &str, out: &str, args: &[&str]) -> Command {
        let mut command = self.command("train");
        command.args(["--model", "model", "--data", data, "--out", out]).args(args);
        command
    }

    /// A command of `tbrm` in this directory.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tbrm"));
        command.current_dir(&self.dir).arg(name);
        command
    }

    /// The lines of a JSONL file, without the keys that hold times.
    pub(crate) fn untimed(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).unwrap();
        let untimed = |line: &str| {
            let mut value: Value = serde_json::from_str(line).unwrap();
            for key in ["step_time", "tokens_per_s"] {
                value.as_object_mut().unwrap().remove(key);
            }
            value
        };
        text.lines().map(untimed).collect()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names in a directory, hidden ones too, in order; none where there is no such directory.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(name)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Changes the model's config.json.
    pub(crate) fn edit_config(&self, key: &str, value: Value) {
        let mut config = self.json("model/config.json");
        config[key] = value;
        fs::write(self.path("model/config.json"), config.to_string()).unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Two layers of 16 channels with the byte tokenizer; `edit` may change each parameter (name, values).
pub(crate) fn write_model(dir: &Path, edit: impl Fn(&str, &mut Vec<f32>)) {
    let mut config = ModelConfig::preset("nano").unwrap();
    (config.vocab_size, config.hidden_size, config.intermediate_size) = (257, 16, 32);
    (config.num_attention_heads, config.num_key_value_heads, config.head_dim) = (2, 1, 8);
    (config.max_position_embeddings, config.eos_token_id) = (POSITIONS, vec![256]);
    let specs = config.params();
    let params: Vec<Vec<f32>> = specs
        .iter()
        .map(|spec| {
            let mut values = init_param(spec, 0.1, 7);
            edit(&spec.name, &mut values);
            values
        })
        .collect();
    let slices: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("config.json"), config.to_json()).unwrap();
    fs::write(dir.join("tokenizer.json"), Tokenizer::bytes().unwrap().json()).unwrap();
    fs::write(dir.join("model.safetensors"), weights::save(&specs, &slices).unwrap()).unwrap();
}

/// Runs to the end, successfully, and returns what was said on stdout and stderr.
#[track_caller]
pub(crate) fn done(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let (stdout, stderr) = said(&output);
    assert!(output.status.success(), "{:?}\n{stderr}", output.status);
    (stdout, stderr)
}

/// Runs to the end and fails: exit code 1, one line of error and one of help, no panic. Returns both lines.
#[track_caller]
pub(crate) fn refused(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let (stdout, stderr) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stdout, "", "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    let helps: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix("help: ")).collect();
    assert_eq!((errors.len(), helps.len()), (1, 1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    (errors[0].to_owned(), helps[0].to_owned())
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Starts it in the background.
pub(crate) fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
