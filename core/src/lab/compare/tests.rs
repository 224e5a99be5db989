//! Comparisons in memory. A missing adapter fails those that train.

use std::cell::RefCell;

use tbrm_testing::{block_on, gpu_test};

use super::runs::{parts, whole};
use super::summary::accuracy_at;
use super::*;
use crate::gpu::GpuOptions;
use crate::lab::{LabEvent, keep};
use crate::run::MemoryStore;

fn config(arms: &[&str], rates: &[f64]) -> CompareConfig {
    let start = TaskStart { warm_steps: 2, ..TaskStart::at_most("sort-1", 40, 4, 4).unwrap() };
    CompareConfig {
        start: Start::Task(start),
        arms: arms.iter().map(|name| Arm::parse(name).unwrap()).collect(),
        seed: 3,
        seeds: 2,
        steps: 2,
        batch: 8,
        evaluations: 2,
        samples: 2,
        learning_rates: rates.to_vec(),
        tuning_seeds: 1,
    }
}

fn outcome(points: &[(u64, f64)], seconds: f64) -> Outcome {
    let point =
        |&(tokens, accuracy): &(u64, f64)| Point { step: tokens, tokens, accuracy, standard_error: None };
    let points: Vec<Point> = points.iter().map(point).collect();
    Outcome { points, seconds, rollout_seconds: seconds / 4.0, peak_bytes: 7, ..Outcome::default() }
}

#[test]
fn objectives_are_compared_at_the_tokens_that_all_of_them_reached() {
    let config = config(&["tbrm", "grpo"], &[]);
    let mut outcomes = Outcomes::new();
    for (seed, lift) in [(3, 0.0), (4, 0.1)] {
        outcomes.insert(start_key(seed), outcome(&[(0, 0.1 + lift)], 0.0));
        outcomes.insert(run_key(&config.arms[0], seed), outcome(&[(50, 0.3 + lift), (100, 0.5 + lift)], 4.0));
        // Its completions are twice as long.
        outcomes
            .insert(run_key(&config.arms[1], seed), outcome(&[(100, 0.2 + lift), (200, 0.8 + lift)], 8.0));
    }
    let comparison = Comparison::new(&config, config.arms.clone(), &outcomes);
    assert_eq!(comparison.common_tokens, 100.0);
    assert!((comparison.start.mean - 0.15).abs() < 1e-12);
    let [tbrm, grpo] = &comparison.arms[..] else { panic!("two") };
    assert!((tbrm.at_common_tokens.mean - 0.55).abs() < 1e-12 && tbrm.difference.is_none());
    assert!((grpo.at_common_tokens.mean - 0.25).abs() < 1e-12 && (grpo.accuracy.mean - 0.85).abs() < 1e-12);
    // The seeds differ by 0.1 in both: the difference does not.
    let difference = grpo.difference.unwrap();
    assert!(
        (difference.mean + 0.3).abs() < 1e-12 && (difference.high.unwrap() + 0.3).abs() < 1e-9,
        "{difference:?}"
    );
    assert_eq!((tbrm.seconds.mean, tbrm.rollout_share, tbrm.peak_bytes), (4.0, 0.25, 7));
    let tokens: Vec<f64> = tbrm.curve.iter().map(|point| point.tokens).collect();
    assert_eq!(tokens, [0.0, 50.0, 100.0]);
}

#[test]
fn what_is_done_of_a_comparison_can_be_looked_at() {
    let config = config(&["tbrm", "grpo"], &[]);
    let mut outcomes = Outcomes::new();
    outcomes.insert(start_key(3), outcome(&[(0, 0.1)], 0.0));
    assert_eq!(SoFar::new(&config, &outcomes).comparison, None);
    outcomes.insert(run_key(&config.arms[0], 3), outcome(&[(50, 0.3), (100, 0.5)], 4.0));
    let store = MemoryStore::default();
    assert_eq!(block_on(so_far(&store)).unwrap(), None);
    block_on(async {
        let settings = serde_json::json!({"lab": "compare", "settings": config});
        store.write("config.json", settings.to_string().as_bytes()).await.unwrap();
        keep(&store, RESULTS, &outcomes).await.unwrap();
    });
    let found = block_on(so_far(&store)).unwrap().unwrap();
    assert_eq!((found.config, found.done, found.runs), (config, 1, 4));
    let [tbrm, grpo] = &found.comparison.as_ref().unwrap().arms[..] else { panic!("two") };
    assert_eq!((tbrm.accuracy.mean, tbrm.curve.len()), (0.5, 3));
    // Nothing is known of it yet.
    assert!(grpo.accuracy.mean.is_nan() && grpo.curve.is_empty() && grpo.each.is_empty());
    block_on(store.write("config.json", b"{\"lab\": \"sweep\", \"settings\": {}}")).unwrap();
    assert_eq!(block_on(so_far(&store)).unwrap_err().kind, ErrorKind::Checkpoint);
}

#[test]
fn a_rate_is_judged_by_all_seeds_that_it_is_tried_with() {
    let config = CompareConfig { tuning_seeds: 2, ..config(&["tbrm"], &[1e-3, 3e-3]) };
    let [tbrm] = &config.arms[..] else { panic!("one") };
    let mut outcomes = Outcomes::new();
    outcomes.insert(tune_key(tbrm, 5), outcome(&[(50, 0.9), (100, 0.2)], 1.0));
    assert_eq!(config.validation(tbrm, &outcomes), None);
    outcomes.insert(tune_key(tbrm, 6), outcome(&[(100, 0.6)], 1.0));
    assert!((config.validation(tbrm, &outcomes).unwrap() - 0.4).abs() < 1e-12);
    // The seeds of the results say nothing.
    outcomes.insert(tune_key(tbrm, 4), outcome(&[(100, 1.0)], 1.0));
    assert!((config.validation(tbrm, &outcomes).unwrap() - 0.4).abs() < 1e-12);
}

#[test]
fn between_measurements_accuracy_is_on_the_line() {
    let curve = outcome(&[(0, 0.0), (10, 0.5), (20, 0.6)], 1.0).points;
    for (tokens, want) in [(0.0, 0.0), (5.0, 0.25), (10.0, 0.5), (15.0, 0.55), (99.0, 0.6)] {
        assert!((accuracy_at(&curve, tokens) - want).abs() < 1e-12, "{tokens}");
    }
    assert!(accuracy_at(&[], 1.0).is_nan());
}

#[test]
fn a_file_of_prompts_falls_into_parts_that_share_no_prompt() {
    let lines: Vec<String> =
        (0..400).map(|i| format!("{{\"prompt\": \"p{}\", \"answer\": {i}}}", i % 200)).collect();
    let file = ("f".to_owned(), lines.join("\n").into_bytes());
    let places = |(_, bytes): &File| -> Vec<usize> {
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        lines.filter(|(_, line)| !line.is_empty()).map(|(i, _)| i).collect()
    };
    let [train, validation, held_out] = parts(&file, None);
    let all: Vec<Vec<usize>> = [&train, &validation, &held_out].map(places).into();
    assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 400);
    assert!(all.iter().all(|part| part.len() > 20 && part.iter().all(|i| part.contains(&((i + 200) % 400)))));
    let eval = ("e".to_owned(), b"{}".to_vec());
    let [more, same, given] = parts(&file, Some(&eval));
    assert_eq!((places(&same), given), (places(&validation), eval));
    assert_eq!(places(&more).len(), 400 - places(&same).len());
}

#[test]
fn prompts_are_cut_to_whole_steps() {
    let cut = |text: &str, batch| String::from_utf8(whole(&("f".into(), text.into()), batch).1).unwrap();
    assert_eq!(cut("a\n\nb\nc\n", 2), "a\n\nb");
    assert_eq!(cut("a\nb", 1), "a\nb");
    assert_eq!(cut("a\nb", 3), "");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let what = |config: CompareConfig| check(&config).unwrap_err().what;
    assert!(what(config(&["tbrm", "tbrm"], &[])).contains("twice"));
    assert!(what(config(&["grpo:n=3"], &[])).contains("grpo:n=3 draws 3"));
    assert!(what(config(&[], &[])).contains("`objectives` is 0"));
    assert!(what(CompareConfig { seeds: 0, ..config(&["tbrm"], &[]) }).contains("`seeds` is 0"));
}

gpu_test!(a_comparison_goes_on_where_it_was_stopped);
fn a_comparison_goes_on_where_it_was_stopped() {
    let gpu = block_on(Gpu::open(&GpuOptions::default())).expect("this test needs an adapter");
    let arms = ["tbrm", "grpo", "sft:lr=1e-3", "tbrm:logs:lr=1e-3"];
    let config = CompareConfig { tuning_seeds: 2, ..config(&arms, &[1e-3, 3e-3]) };
    let store = Rc::new(MemoryStore::default());
    let mut tuned = Tuned::default();
    // Of the runs that began: the accuracies that were told on the way, and where the comparison stood then.
    let (measured, stood) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let mut go = |store: &Rc<MemoryStore>, config: &CompareConfig, most: usize| {
        let mut ended = 0;
        let mut tell = |event: LabEvent| {
            match event {
                LabEvent::Ended { .. } => ended += 1,
                LabEvent::Measured { arm, seed, accuracy, .. } => {
                    measured.borrow_mut().push((arm, seed, accuracy))
                }
                LabEvent::Compared(so_far) => stood.borrow_mut().push(so_far.done),
                _ => {}
            }
            ended < most
        };
        let done = block_on(compare(&gpu, store.clone(), config, None, &mut tuned, &mut tell));
        done.map(|done| (done, ended))
    };
    // Eight runs of tuning, of two arms at two rates with two seeds, then the start and the arms of two seeds: stopped within the third run, then in the eleventh.
    let (stopped, ended) = go(&store, &config, 2).unwrap();
    assert!(stopped.is_none() && ended == 2);
    let before: Outcomes = block_on(kept(&*store, RESULTS)).unwrap();
    assert_eq!(before.len(), 2);
    let (stopped, ended) = go(&store, &config, 8).unwrap();
    assert!(stopped.is_none() && ended == 8, "{ended}");
    let (done, ended) = go(&store, &config, usize::MAX).unwrap();
    assert_eq!(ended, 8 + 2 * 5 - 2 - 8);
    let done = done.expect("complete");
    let after: Outcomes = block_on(kept(&*store, RESULTS)).unwrap();
    assert!(before.iter().all(|(key, outcome)| after[key] == *outcome), "what was done is kept");
    for summary in &done.arms {
        assert_eq!(
            (summary.each.len(), summary.tuning.len(), summary.failed),
            (2, if summary.arm.fixed { 0 } else { 2 }, 0),
            "{}",
            summary.arm.name
        );
        assert_eq!(summary.curve.len(), 3);
        assert!(summary.peak_bytes > 0 && summary.seconds.mean > 0.0);
        if !summary.arm.fixed {
            let rates = [1e-3, 3e-3].map(|rate| summary.arm.at(rate));
            let judged = rates.each_ref().map(|arm| [5, 6].map(|seed| after[&tune_key(arm, seed)].last()));
            let best = if judged[1].iter().sum::<f64>() > judged[0].iter().sum() { 3e-3 } else { 1e-3 };
            assert_eq!(summary.arm.learning_rate, best, "{judged:?}");
        }
        for seed in [3, 4] {
            assert_eq!(after[&run_key(&summary.arm, seed)].completions, 16, "{}", summary.arm.name);
        }
    }
    let report = String::from_utf8(block_on(store.read(REPORT)).unwrap().unwrap()).unwrap();
    assert!(report.contains("tbrm:logs") && report.contains("<svg") && !report.contains("NaN"), "{report}");
    let of_last = |(arm, seed, _): &&(String, u64, f64)| arm == "grpo" && *seed == 4;
    let told: Vec<f64> = measured.borrow().iter().filter(of_last).map(|(.., accuracy)| *accuracy).collect();
    // Of a run that was stopped the first measurement may have been told before.
    let whole: Vec<f64> =
        after[&run_key(&config.arms[1], 4)].points.iter().map(|point| point.accuracy).collect();
    assert!(whole.len() == 2 && told.ends_with(&whole), "{whole:?} of {told:?}");
    assert_eq!(*stood.borrow(), [1, 2, 3, 4, 4, 5, 6, 7, 8]);
    // Done: nothing runs again, and other settings are refused.
    let (again, ended) = go(&store, &config, usize::MAX).unwrap();
    assert_eq!((again, ended), (Some(done), 0));
    let found = block_on(so_far(&*store)).unwrap().unwrap();
    assert_eq!((found.done, found.runs), (8, 8));
    for (other, said) in [
        (CompareConfig { steps: 3, ..config.clone() }, "steps is 2 in the experiment"),
        (CompareConfig { tuning_seeds: 1, ..config.clone() }, "tuning_seeds is 2 in the experiment"),
    ] {
        let error = go(&store, &other, usize::MAX).unwrap_err();
        assert!(error.what.contains(said), "{error}");
    }
}
