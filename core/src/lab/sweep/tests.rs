//! Sweeps in memory. A missing adapter fails those that train.

use tbrm_testing::{block_on, gpu_test};

use super::*;
use crate::gpu::GpuOptions;
use crate::run::MemoryStore;

fn cell(beta: f64, accuracy: Option<Interval>) -> Cell {
    let setting = Setting { beta, logit_scale: 1.0, calibrate: Calibrate::None, learning_rate: 1e-3 };
    Cell { setting, figures: None, accuracy, failed: None }
}

/// With a standard error of `error`.
fn about(mean: f64, error: f64) -> Option<Interval> {
    Some(Interval { mean, low: Some(mean - 1.96 * error), high: Some(mean + 1.96 * error) })
}

#[test]
fn of_settings_as_good_as_the_best_the_largest_beta_is_taken() {
    let cells = [cell(0.02, about(0.80, 0.02)), cell(0.1, about(0.79, 0.02)), cell(0.5, about(0.70, 0.02))];
    let (best, taken, why) = recommend(&cells);
    assert_eq!((best, taken), (Some(0), Some(1)));
    assert!(why.contains("largest beta") && why.contains("0.790"), "{why}");
    let clear = [cell(0.02, about(0.80, 0.02)), cell(0.1, about(0.77, 0.02))];
    let (best, taken, why) = recommend(&clear);
    assert_eq!((best, taken), (Some(0), Some(0)));
    assert!(why.contains("highest score"), "{why}");
    // What failed or ranks nothing is not recommended.
    let nan = Interval { mean: f64::NAN, low: None, high: None };
    assert_eq!(recommend(&[cell(0.1, None), cell(0.2, Some(nan))]).1, None);
    assert_eq!(recommend(&[cell(0.9, None), cell(0.2, about(0.1, 0.1))]).1, Some(1));
}

fn config() -> SweepConfig {
    let start = TaskStart { warm_steps: 2, ..TaskStart::at_most("sort-1", 40, 12, 12).unwrap() };
    SweepConfig {
        logs: Logs::Task(start),
        betas: vec![0.1, 0.5],
        logit_scales: vec![1.0, 2.0],
        calibrations: vec![Calibrate::VRef],
        learning_rates: vec![1e-3],
        steps: 2,
        batch: 8,
        seed: 0,
        skip_invalid: false,
    }
}

#[test]
fn a_grid_has_every_combination_once() {
    let settings = grid(&config()).unwrap();
    assert_eq!(settings.len(), 4);
    assert_eq!((settings[0].beta, settings[1].beta, settings[2].logit_scale), (0.1, 0.5, 2.0));
    assert!(grid(&SweepConfig { betas: vec![0.1, 0.1], ..config() }).unwrap_err().what.contains("twice"));
    assert!(grid(&SweepConfig { betas: vec![], ..config() }).is_err());
}

gpu_test!(a_sweep_goes_on_where_it_was_stopped);
fn a_sweep_goes_on_where_it_was_stopped() {
    let gpu = block_on(Gpu::open(&GpuOptions::default())).expect("this test needs an adapter");
    let store = Rc::new(MemoryStore::default());
    let mut tuned = Tuned::default();
    let mut go =
        |config: &SweepConfig, inputs: Option<&SweepInputs>, store: &Rc<MemoryStore>, most: usize| {
            let mut ended = 0;
            let mut tell = |event: LabEvent| {
                ended += usize::from(matches!(event, LabEvent::Ended { .. }));
                ended < most
            };
            let done = block_on(sweep(&gpu, store.clone(), config, inputs, &mut tuned, &mut tell));
            done.map(|done| (done, ended))
        };
    let config = config();
    let (stopped, _) = go(&config, None, &store, 2).unwrap();
    assert!(stopped.is_none());
    let before: BTreeMap<String, Cell> = block_on(kept(&*store, RESULTS)).unwrap();
    let (done, ended) = go(&config, None, &store, usize::MAX).unwrap();
    let done = done.expect("complete");
    assert_eq!((before.len(), ended, done.cells.len()), (2, 2, 4));
    assert!(before.values().all(|cell| done.cells.contains(cell)), "what was done is kept");
    assert!(done.recommended.is_some() && done.held_out.is_some() && done.start.is_some());
    let held_out = done.held_out.clone().unwrap();
    assert_eq!(held_out.figures.unwrap().records, 48);
    let report = String::from_utf8(block_on(store.read(REPORT)).unwrap().unwrap()).unwrap();
    assert!(report.contains("class=\"heat\"") && report.contains("marked") && !report.contains("NaN"));
    assert_eq!(go(&config, None, &store, usize::MAX).unwrap(), (Some(done), 0));

    // On records of one's own there is no verifier.
    let place = Within::new(store.clone(), "starts/warm/model");
    let model = block_on(async {
        let mut files = Vec::new();
        for name in place.list("").await.unwrap() {
            files.push((name.clone(), place.read(&name).await.unwrap().unwrap()));
        }
        files
    });
    let line = |i: usize| {
        format!("{{\"prompt\": \"{}>\", \"completion\": \"{}\", \"reward\": {}}}\n", i / 2, i % 7, i % 2)
    };
    let inputs =
        SweepInputs { model, data: ("mine".into(), (0..120).map(line).collect::<String>().into_bytes()) };
    let own = SweepConfig { logs: inputs.logs("m"), logit_scales: vec![1.0], ..config };
    let other = Rc::new(MemoryStore::default());
    let done = go(&own, Some(&inputs), &other, usize::MAX).unwrap().0.expect("complete");
    assert!(
        done.cells.iter().all(|cell| cell.accuracy.is_none() && cell.figures.is_some()),
        "{:?}",
        done.cells
    );
    assert!(done.chosen_by.starts_with("AUC"), "{}", done.chosen_by);
    assert!(go(&own, None, &Rc::new(MemoryStore::default()), 1).is_err());
}

use crate::run::within::Within;
