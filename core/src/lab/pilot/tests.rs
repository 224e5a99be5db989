//! Pilots in memory. A missing adapter fails them.

use serde_json::json;
use tbrm_testing::{block_on, gpu_test};

use super::*;
use crate::data::tokenizer::Tokenizer;
use crate::gpu::GpuOptions;
use crate::model::ModelConfig;
use crate::run::{MemoryStore, ModelFiles};

/// A byte model with random weights, and `lines`.
fn inputs(lines: &[String]) -> PilotInputs {
    let tokenizer = Tokenizer::bytes().unwrap();
    let mut shape = ModelConfig::preset("nano").unwrap().fitted(&tokenizer, None).unwrap();
    shape.max_position_embeddings = 32;
    let model =
        ModelFiles::fresh("m", shape.clone(), tokenizer).with_weights(shape.fresh_weights(1).unwrap());
    PilotInputs { model, logs: ("logs.jsonl".to_owned(), lines.join("\n").into_bytes()) }
}

fn config(inputs: &PilotInputs) -> PilotConfig {
    PilotConfig {
        model: "m".into(),
        logs: "logs.jsonl".into(),
        sha256: inputs.sha256(),
        betas: vec![0.1, 0.5],
        learning_rate: 3e-3,
        steps: Some(30),
        batch: 16,
        max_prompts: None,
        seed: 0,
    }
}

fn record(prompt: usize, completion: &str, reward: Option<f64>) -> String {
    let mut record = json!({"prompt": format!("{prompt}?"), "completion": completion});
    if let Some(reward) = reward {
        record["reward"] = json!(reward);
    }
    record.to_string()
}

gpu_test!(a_pilot_finds_what_there_is_and_says_the_same_again);
fn a_pilot_finds_what_there_is_and_says_the_same_again() {
    let gpu = block_on(Gpu::open(&GpuOptions::default())).expect("this test needs an adapter");
    let go = |inputs: &PilotInputs, store: &Rc<MemoryStore>| {
        let config = config(inputs);
        block_on(pilot(&gpu, store.clone(), &config, inputs, &mut Tuned::default(), &mut |_| true))
            .unwrap()
            .expect("complete")
    };
    // A good and a bad completion of each prompt, a line that is broken and two without a reward.
    let mut lines: Vec<String> =
        (0..200).flat_map(|i| [record(i, "good", Some(1.0)), record(i, "bad!", Some(0.0))]).collect();
    lines.extend(["{".to_owned(), record(7, "good", None), record(8, "else", None)]);
    let good = inputs(&lines);
    let store = Rc::new(MemoryStore::default());
    let found = go(&good, &store);
    assert_eq!((found.check.records, found.check.rejected, found.rejected.len()), (402, 1, 1));
    assert_eq!((found.records.iter().sum::<usize>(), found.records[3], found.candidates.len()), (402, 2, 2));
    let figures = found.figures.as_ref().expect("trained");
    assert!(figures.auc_within.unwrap().mean > 0.95 && figures.contrasts >= 20, "{figures:?}");
    assert_eq!(found.calibration.iter().map(|bin| bin.records).sum::<usize>(), found.records[2]);
    assert!(
        found.credited.len() == 8
            && found.credited[0].reward == Some(1.0)
            && found.credited[7].reward == Some(0.0)
    );
    let report =
        |store: &Rc<MemoryStore>| String::from_utf8(block_on(store.read(REPORT)).unwrap().unwrap()).unwrap();
    let page = report(&store);
    assert!(page.contains(found.advice.decision.name().trim_start_matches('t')) && page.contains("The rule"));
    assert!(!page.contains("NaN") && !page.contains("not finite"));
    // Again from nothing, and again from what is kept: the same to the byte.
    let other = Rc::new(MemoryStore::default());
    assert_eq!(go(&good, &other), found);
    assert_eq!((report(&other) == page, go(&good, &store) == found), (true, true));

    // Labels that hang on nothing are found to be just that.
    let coin = |i: usize| f64::from(u8::from(crate::rng::Stream::named(3, "coin").uniform(i as u64) < 0.5));
    let lines: Vec<String> =
        (0..400).map(|i| record(i / 2, if i % 2 == 0 { "good" } else { "bad!" }, Some(coin(i)))).collect();
    let noise = go(&inputs(&lines), &Rc::new(MemoryStore::default()));
    assert_ne!(noise.advice.decision, Decision::TrainOn, "{:?}", noise.advice);
    // What can be said without training is said at once.
    let lines: Vec<String> = (0..100).map(|i| record(i, "good", Some(1.0))).collect();
    let equal = go(&inputs(&lines), &Rc::new(MemoryStore::default()));
    assert_eq!((equal.advice.decision, equal.steps), (Decision::Stop, 0));
    let few = go(
        &inputs(&[record(1, "a", Some(1.0)), record(2, "b", Some(0.0))]),
        &Rc::new(MemoryStore::default()),
    );
    assert_eq!(few.advice.decision, Decision::CollectMore);
}
