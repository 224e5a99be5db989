//! Whole online runs in memory, begun from bytes. A missing adapter fails them.

use pollster::block_on;
use serde_json::{Value, json};

use super::*;
use crate::data::Record;
use crate::reward::{AnyReward, Asked, BatchReward, Scores};
use crate::run::tests::{byte_model, gpu};
use crate::run::{Event, Given, MemoryStore, Run, Store};
use crate::train::tune::Tuned;

/// A byte model, eight prompts and two held out.
fn given() -> Given {
    let (config, tokenizer) = byte_model();
    let weights = config.fresh_weights(7).unwrap();
    let text = |lines: std::ops::Range<usize>| {
        lines.map(|i| format!("{}\n", json!({"prompt": format!("{i}?"), "answer": "a"}))).collect::<String>()
    };
    Given {
        name: "tiny".to_owned(),
        model: ModelFiles::fresh("tiny", config, tokenizer).with_weights(weights),
        prompts: Some(("prompts.jsonl".to_owned(), text(0..8).into_bytes())),
        eval_prompts: Some(("held-out.jsonl".to_owned(), text(8..10).into_bytes())),
        ..Given::default()
    }
}

/// The share of lower-case letters, given in its own time.
struct Letters;

impl BatchReward for Letters {
    fn name(&self) -> &str {
        "letters"
    }

    fn check(&self, _: &Record) -> Result<()> {
        Ok(())
    }

    fn score<'a>(&'a self, asked: &'a [Asked<'a>], _: bool) -> Scores<'a> {
        let share = |asked: &Asked<'_>| {
            let letters = asked.completion.chars().filter(char::is_ascii_lowercase).count();
            Ok(letters as f64 / asked.completion.chars().count().max(1) as f64)
        };
        Box::pin(async move { asked.iter().map(share).collect() })
    }
}

fn rewards(kinds: &[String], weights: &[f64]) -> Result<Rewards> {
    Rewards::parse_with(kinds, weights, |kind| match kind {
        "letters" => Ok(AnyReward::Batch(Box::new(Letters))),
        _ => crate::reward::parse(kind).map(AnyReward::Each),
    })
}

fn start(gpu: &Gpu, store: MemoryStore, settings: &Value) -> Result<Run<MemoryStore>> {
    let (options, online) = OnlineOptions::parse(settings)?;
    let rewards = rewards(&online.rewards, &online.reward_weights)?;
    let tuned = &mut Tuned::default();
    block_on(Run::start_online(gpu, store, given(), (options, &online), rewards, tuned))
}

/// Metrics without times, and the final model.
fn left(store: &MemoryStore) -> (Vec<Value>, Option<Vec<u8>>) {
    let bytes = block_on(store.read("metrics.jsonl")).unwrap().unwrap_or_default();
    let lines = String::from_utf8(bytes).unwrap();
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        (line["step_time"], line["tokens_per_s"]) = (Value::Null, Value::Null);
        line
    };
    (lines.lines().map(line).collect(), block_on(store.read("model/model.safetensors")).unwrap())
}

#[test]
fn an_online_run_from_bytes_goes_on_to_the_same_bits() {
    let gpu = gpu();
    let settings = json!({
        "rewards": ["letters", "length:1-3"], "reward_weights": [1.0, 0.25], "max_new_tokens": 4, "replay": 1,
        "steps": 6, "prompts_per_batch": 4, "checkpoint_every": 2, "keep": 1, "eval_every": 3, "reference_reset": 4,
    });
    let whole = MemoryStore::default();
    let mut run = start(&gpu, whole.clone(), &settings).unwrap();
    while block_on(run.next()).unwrap().is_some() {}
    let want = left(&whole);
    assert!(want.0.len() == 6 && want.1.is_some(), "{:?}", want.0);
    for key in ["rewards/letters/mean", "rewards/length/std", "kl_sampled", "reward"] {
        assert!(want.0.iter().all(|line| line[key].is_number()), "{key}");
    }
    assert!(want.0[2]["eval/reward"].is_number());
    let resume = |store: &MemoryStore| {
        block_on(Run::resume_online(&gpu, store.clone(), rewards, &mut Tuned::default()))
    };
    assert!(resume(&whole).unwrap().is_none());

    // Dropped in the middle of a round, and before its first checkpoint.
    for steps in [5, 1] {
        let store = MemoryStore::default();
        let mut run = start(&gpu, store.clone(), &settings).unwrap();
        let mut done = 0;
        while done < steps {
            done += usize::from(matches!(block_on(run.next()).unwrap(), Some(Event::Step { .. })));
        }
        drop(run);
        let mut run = resume(&store).unwrap().expect("unfinished");
        while block_on(run.next()).unwrap().is_some() {}
        assert!(left(&store) == want, "dropped after {steps} steps");
    }
    block_on(whole.remove("inputs/prompts")).unwrap();
    assert_eq!(resume(&whole).err().unwrap().what, "inputs/prompts is missing");
}

#[test]
fn what_the_objective_lacks_is_said_before_anything_is_written() {
    let gpu = gpu();
    for (settings, want) in [
        (json!({"objective": "grpo"}), "`rollouts` is 1, and grpo compares several rollouts"),
        (json!({"objective": "dpo"}), "dpo is trained on pairs, and rollouts are none"),
        (json!({"rewards": ["best"]}), "no reward is called `best`"),
        (json!({"rewards": []}), "there are 0 rewards"),
        (json!({"max_new_tokens": 40}), "exceed the model's 16 positions"),
    ] {
        let mut whole = json!({"rewards": ["exact"], "max_new_tokens": 4, "steps": 1});
        whole.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let store = MemoryStore::default();
        let error = start(&gpu, store.clone(), &whole).err().expect("refused");
        assert!(error.what.contains(want), "{error}");
        assert!(block_on(store.list("")).unwrap().is_empty());
    }
}
