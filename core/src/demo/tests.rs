use super::*;
use crate::gpu::GpuOptions;

#[test]
fn the_error_of_an_accuracy_is_that_of_a_mean_over_problems() {
    let accuracy = Accuracy::new(&[1.0, 0.0, 0.5, 0.5]);
    // Sample variance (0.25 + 0.25) / 3, over four problems.
    assert!((accuracy.mean - 0.5).abs() < 1e-12 && (accuracy.stderr - (0.5f64 / 12.0).sqrt()).abs() < 1e-12);
}

#[test]
fn the_logs_are_noisy_and_touch_no_held_out_problem() {
    let demo = Demo::new(DemoConfig::new(4)).unwrap();
    let config = &demo.config;
    assert_eq!(demo.logs.len(), config.problems * config.demonstrations);
    let wrong = demo.logs.iter().filter(|shown| shown.reward == 0.0).count() as f64 / demo.logs.len() as f64;
    assert!((wrong - config.wrong).abs() < 0.02, "{wrong}");
    let logged: std::collections::HashSet<&str> = demo.logs.iter().map(|l| l.prompt.as_str()).collect();
    assert!(demo.split.held_out.iter().all(|problem| !logged.contains(problem.prompt.as_str())));
    // Both stages see all of the logs, and the trajectories are the records of the log, line by line.
    assert_eq!(demo.data.len(), demo.logs.len());
    assert!(demo.data.iter().zip(&demo.logs).all(|(t, shown)| t.reward == Some(shown.reward)));
}

/// A smaller task, so that the story fits a test: three digits instead of five.
#[test]
fn tbrm_from_the_same_logs_is_much_better_than_the_warm_start() {
    let gpu = pollster::block_on(Gpu::open(&GpuOptions::default())).unwrap();
    let mut config = DemoConfig::new(0);
    (config.digits, config.problems, config.held_out, config.samples) = (3, 600, 60, 4);
    (config.warm_start.steps, config.tbrm.steps, config.tbrm.eval_every) = (150, 100, 0);
    let demo = Demo::new(config).unwrap();
    let mut accuracies = Vec::new();
    let told = demo.run(&gpu, |event| {
        if let DemoEvent::Done { stage, accuracy, .. } = event {
            accuracies.push((stage, accuracy));
        }
        Ok(())
    });
    pollster::block_on(told).unwrap();
    let [(Stage::WarmStart, before), (Stage::Tbrm, after)] = accuracies[..] else {
        panic!("the stages are {accuracies:?}")
    };
    // An imitator is right as often as the demonstrations are: half the time.
    assert!(before.mean < 0.65, "{before:?}");
    let error = before.stderr.hypot(after.stderr);
    assert!(after.mean - before.mean > 0.15 + 4.0 * error, "{before:?}, then {after:?}");
}
