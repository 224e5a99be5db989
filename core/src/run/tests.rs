//! Whole runs in memory. A missing adapter fails them.

use std::cell::RefCell;
use std::rc::Rc;

use pollster::block_on;
use serde_json::{Value, json};

use super::*;
use crate::data::tokenizer::Tokenizer;
use crate::error::{ErrorKind, Result};
use crate::gpu::{Gpu, GpuOptions};
use crate::model::init::init_param;
use crate::model::{ModelConfig, weights};
use crate::train::tune::Tuned;

/// A store that keeps what a kill would leave at each of its changes: a half where halves are possible.
#[derive(Clone, Default)]
struct Watched {
    files: MemoryStore,
    left: Rc<RefCell<Vec<MemoryStore>>>,
}

impl Watched {
    /// What a kill leaves now; to be changed by half of what comes.
    fn kill(&self) -> MemoryStore {
        let left = self.files.copy();
        self.left.borrow_mut().push(left.clone());
        left
    }
}

impl Store for Watched {
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.files.read(path).await
    }

    async fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.kill();
        self.files.write(path, bytes).await
    }

    async fn append(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.kill().append(path, &bytes[..bytes.len() / 2]).await?;
        self.files.append(path, bytes).await
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>> {
        self.files.list(dir).await
    }

    async fn remove(&self, path: &str) -> Result<()> {
        // A folder's first files are gone.
        if let Some(name) = self.files.list(path).await?.first() {
            self.kill().remove(&format!("{path}/{name}")).await?;
        }
        self.files.remove(path).await
    }
}

pub(super) fn gpu() -> Gpu {
    block_on(Gpu::open(&GpuOptions::default())).expect("these tests need an adapter")
}

/// A byte model of one layer.
pub(super) fn byte_model() -> (ModelConfig, Tokenizer) {
    let tokenizer = Tokenizer::bytes().unwrap();
    let mut config = ModelConfig::preset("nano").unwrap();
    (config.hidden_size, config.intermediate_size, config.num_hidden_layers) = (16, 32, 1);
    (config.num_attention_heads, config.num_key_value_heads, config.head_dim) = (2, 1, 8);
    let mut config = config.fitted(&tokenizer, None).unwrap();
    config.max_position_embeddings = 16;
    (config, tokenizer)
}

/// It, and six records in two files.
fn given() -> Given {
    let (config, tokenizer) = byte_model();
    let specs = config.params();
    let params: Vec<Vec<f32>> = specs.iter().map(|spec| init_param(spec, 0.1, 7)).collect();
    let slices: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let bytes = weights::save(&specs, &slices).unwrap();
    let line =
        |i: usize| json!({"prompt": format!("{i}?"), "completion": "yes".repeat(i % 3), "reward": i % 2});
    let text = |lines: std::ops::Range<usize>| {
        lines.map(|i| format!("{}\n", line(i))).collect::<String>().into_bytes()
    };
    Given {
        name: "tiny".to_owned(),
        model: ModelFiles::fresh("tiny", config, tokenizer).with_weights(bytes),
        // Two files of one name: a browser may be given such.
        data: vec![("logs.jsonl".to_owned(), text(0..3)), ("logs.jsonl".to_owned(), text(3..6))],
        eval: vec![("held-out.jsonl".to_owned(), text(6..8))],
        ..Given::default()
    }
}

fn options(settings: &Value) -> Options {
    Options::parse(settings).unwrap()
}

fn short() -> Options {
    options(
        &json!({"steps": 4, "batch": 2, "checkpoint_every": 1, "keep": 1, "eval_every": 2, "reference_reset": 3}),
    )
}

async fn to_the_end(mut run: Run<impl Store>) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    while let Some(event) = run.next().await? {
        events.push(event);
    }
    Ok(events)
}

/// What a run leaves behind, without times.
fn left(store: &MemoryStore) -> (Vec<Option<Vec<u8>>>, Vec<Value>, Vec<String>) {
    block_on(async {
        let mut files = Vec::new();
        for path in ["model/model.safetensors", "model/tokenizer.json", "reference.safetensors"] {
            files.push(store.read(path).await.unwrap());
        }
        let steps = store.list("checkpoints").await.unwrap();
        for step in &steps {
            for name in ["optimizer.safetensors", "state.json", "reference.safetensors"] {
                files.push(store.read(&format!("checkpoints/{step}/{name}")).await.unwrap());
            }
        }
        let mut lines = lines::all(store).await.unwrap();
        for line in &mut lines {
            (line["step_time"], line["tokens_per_s"]) = (Value::Null, Value::Null);
        }
        (files, lines, steps)
    })
}

#[test]
fn a_run_that_is_killed_at_any_change_goes_on_to_the_same_bits() {
    let gpu = gpu();
    let whole = Watched::default();
    let run = block_on(Run::start(&gpu, whole.clone(), given(), &short(), &mut Tuned::default())).unwrap();
    block_on(to_the_end(run)).unwrap();
    let Watched { files: whole, left: kills } = whole;
    let want = left(&whole);
    assert!(want.0.iter().all(Option::is_some) && want.1.len() == 4, "{:?}", want.1);
    assert!(block_on(Run::resume(&gpu, whole, &mut Tuned::default())).unwrap().is_none());
    let kills = kills.take();
    for (change, files) in kills.iter().enumerate() {
        match block_on(Run::resume(&gpu, files.clone(), &mut Tuned::default())) {
            Ok(Some(run)) => {
                block_on(to_the_end(run)).unwrap();
            }
            // Only the report was left to write.
            Ok(None) => assert!(change + 1 == kills.len(), "{change} of {}", kills.len()),
            // Nothing but inputs: not yet a run.
            Err(error) => {
                assert!(error.what.contains("no run to resume"), "{change}: {error}");
                assert!(block_on(files.read("config.json")).unwrap().is_none());
                continue;
            }
        }
        assert!(left(files) == want, "killed at change {change} of {}", kills.len());
    }
}

#[test]
fn a_run_says_what_happens_after_it_is_written() {
    let gpu = gpu();
    let store = MemoryStore::default();
    let mut run =
        block_on(Run::start(&gpu, store.clone(), given(), &short(), &mut Tuned::default())).unwrap();
    let read = |path: &str| block_on(store.read(path)).unwrap();
    let (mut steps, mut last) = (0, None);
    while let Some(event) = block_on(run.next()).unwrap() {
        match &event {
            Event::Step { metrics } => {
                steps += 1;
                assert_eq!(metrics.step, steps);
            }
            Event::Samples { step, samples } => {
                let lines = read(&format!("completions/step_{step:06}.jsonl")).expect("written");
                assert_eq!(lines.split(|&b| b == b'\n').count(), samples.len() + 1);
                assert_eq!(samples[0].prompt, "6?");
            }
            Event::Checkpoint { step, path } => {
                assert!(read(&format!("{path}/state.json")).is_some());
                // Every step in it has its line, and its evaluation.
                let lines = block_on(lines::all(&store)).unwrap();
                assert_eq!(lines.len() as u64, *step);
                assert_eq!(lines[*step as usize - 1]["eval/loss"].is_number(), step % 2 == 0);
            }
            _ => {}
        }
        last = Some(event);
    }
    let last = serde_json::to_value(last.expect("events")).unwrap();
    assert_eq!(last, json!({"type": "finished", "step": 4, "complete": true}));
    let report = String::from_utf8(read("report.html").expect("written")).unwrap();
    assert!(report.contains("learning_rate") && report.contains("6?"));
    assert_eq!(run.last_metrics().expect("the last line")["step"], 4);
}

#[test]
fn a_run_that_is_stopped_is_saved() {
    let gpu = gpu();
    let store = MemoryStore::default();
    let options = options(&json!({"steps": 6, "batch": 2}));
    let mut run =
        block_on(Run::start(&gpu, store.clone(), given(), &options, &mut Tuned::default())).unwrap();
    while !matches!(block_on(run.next()).unwrap(), Some(Event::Step { .. })) {}
    run.stop();
    let events = block_on(to_the_end(run)).unwrap();
    let [.., Event::Checkpoint { step, .. }, Event::Finished { complete: false, .. }] = events[..] else {
        panic!("{events:?}")
    };
    let run = block_on(Run::resume(&gpu, store.clone(), &mut Tuned::default())).unwrap().expect("unfinished");
    assert_eq!((run.steps_done(), run.config().eval_every), (step, 1));
    block_on(to_the_end(run)).unwrap();
    assert_eq!(left(&store).1.len(), 6);
}

#[test]
fn a_loss_that_is_not_finite_names_file_and_line() {
    let gpu = gpu();
    let mut given = given();
    given.data[1] =
        ("more.jsonl".to_owned(), b"{\"prompt\": \"p\", \"completion\": \"b\", \"reward\": 1e38}".into());
    let options = options(&json!({"steps": 4, "batch": 1, "shuffle": false}));
    let store = MemoryStore::default();
    let error = block_on(async {
        to_the_end(Run::start(&gpu, store.clone(), given, &options, &mut Tuned::default()).await.unwrap())
            .await
            .unwrap_err()
    });
    assert_eq!(error.kind, ErrorKind::NotFinite);
    assert!(error.what.contains("more.jsonl:1"), "{error}");
    // The report shows how it came to that.
    assert!(block_on(store.read("report.html")).unwrap().is_some());
}

#[test]
fn what_was_given_is_checked_when_a_run_goes_on() {
    let gpu = gpu();
    let store = MemoryStore::default();
    block_on(Run::start(&gpu, store.clone(), given(), &short(), &mut Tuned::default())).unwrap();
    let resumed =
        || block_on(Run::resume(&gpu, store.clone(), &mut Tuned::default())).err().expect("refused");
    let data = block_on(store.read("inputs/data/1")).unwrap().expect("kept");
    block_on(store.write("inputs/data/1", &data[..data.len() / 2 + 1])).unwrap();
    assert!(resumed().what.starts_with("logs.jsonl:"), "{}", resumed());
    let first = data.split_inclusive(|&b| b == b'\n').next().expect("a line");
    block_on(store.write("inputs/data/1", first)).unwrap();
    assert!(resumed().what.starts_with("`data`: its contents"), "{}", resumed());
    block_on(store.remove("inputs/data/1")).unwrap();
    assert_eq!(resumed().what, "inputs/data/1 is missing");
}
