//! Runs that end early, and go on.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use crate::setup::{Bench, done, refused, start};

const LONG: [&str; 8] = ["--steps", "60", "--batch", "4", "--checkpoint-every", "6", "--seed", "1"];

/// An uninterrupted run in `whole`, to compare with.
fn with_whole_run() -> Bench {
    let bench = Bench::new();
    done(&mut bench.train("whole", &LONG));
    bench
}

#[track_caller]
fn same_as_whole(bench: &Bench, run: &str) {
    let model = "model/model.safetensors";
    assert!(
        bench.bytes(&format!("{run}/{model}")) == bench.bytes(&format!("whole/{model}")),
        "{run}: weights"
    );
    let metrics = "metrics.jsonl";
    assert_eq!(bench.untimed(&format!("{run}/{metrics}")), bench.untimed(&format!("whole/{metrics}")));
    let last = "checkpoints/step_000060";
    for file in ["optimizer.safetensors", "state.json"] {
        let of = |run: &str| bench.bytes(&format!("{run}/{last}/{file}"));
        assert!(of(run) == of("whole"), "{run}: {file}");
    }
}

/// Waits until the run has a checkpoint.
fn wait_for_checkpoint(bench: &Bench, run: &str) {
    let names = || bench.names(&format!("{run}/checkpoints"));
    wait_until(|| names().iter().any(|name| name.starts_with("step_")));
}

/// Waits far longer than a slow machine needs, so that a test that fails ends.
fn wait_until(come: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if come() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("it never came");
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let bench = with_whole_run();
    for wait in [0, 40, 90] {
        let run = format!("killed-{wait}");
        let mut child = start(&mut bench.train(&run, &LONG));
        wait_for_checkpoint(&bench, &run);
        thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        done(bench.train(&run, &LONG).arg("--resume"));
        same_as_whole(&bench, &run);
        let left: Vec<String> = bench
            .names(&format!("{run}/checkpoints"))
            .into_iter()
            .filter(|name| name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let bench = with_whole_run();
    let mut child = start(bench.train("run", &LONG).arg("--overwrite"));
    wait_until(|| fs::metadata(bench.path("run/metrics.jsonl")).is_ok_and(|file| file.len() > 0));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let said: Vec<String> =
        BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{said:?}");
    let last = said.last().unwrap();
    assert!(
        last.contains("saved in run") && last.ends_with("--resume") && !last.contains("--overwrite"),
        "{last}"
    );
    assert!(!bench.path("run/model").exists());
    let steps = bench.untimed("run/metrics.jsonl").len();
    assert!(steps < 60 && bench.path(&format!("run/checkpoints/step_{steps:06}")).exists(), "{steps}");

    done(bench.train("run", &LONG).arg("--resume"));
    same_as_whole(&bench, "run");
}

#[test]
fn a_resume_without_a_checkpoint_starts_from_the_beginning() {
    let bench = with_whole_run();
    done(bench.train("fresh", &LONG).arg("--resume"));
    same_as_whole(&bench, "fresh");
    // As after a kill before the first checkpoint.
    fs::remove_dir_all(bench.path("fresh/checkpoints")).unwrap();
    fs::remove_dir_all(bench.path("fresh/model")).unwrap();
    done(bench.train("fresh", &LONG).arg("--resume"));
    same_as_whole(&bench, "fresh");
}

#[test]
fn a_finished_run_is_finished() {
    let bench = with_whole_run();
    let before = bench.bytes("whole/metrics.jsonl");
    let (stdout, _) = done(bench.train("whole", &LONG).arg("--resume"));
    assert!(stdout.contains("finished already"), "{stdout}");
    assert_eq!(bench.bytes("whole/metrics.jsonl"), before);
    // As when a browser's page trained it, and a person downloaded it.
    fs::remove_file(bench.path("whole/.tbrm-run")).unwrap();
    let (stdout, _) = done(bench.train("whole", &LONG).arg("--resume"));
    assert!(stdout.contains("finished already"), "{stdout}");
    // As after a kill between the last checkpoint and the model.
    let model = bench.bytes("whole/model/model.safetensors");
    fs::remove_dir_all(bench.path("whole/model")).unwrap();
    done(bench.train("whole", &LONG).arg("--resume"));
    assert!(bench.bytes("whole/model/model.safetensors") == model);
    assert_eq!(bench.bytes("whole/metrics.jsonl"), before);
}

#[test]
fn other_settings_are_no_resume() {
    let bench = Bench::new();
    let args = ["--steps", "2"];
    done(&mut bench.train("run", &args));
    let (error, help) = refused(bench.train("run", &args).args(["--resume", "--beta", "0.1"]));
    assert!(error.contains("--beta is 0.05 in the run to resume, and 0.1 now"), "{error}");
    assert!(help.contains("--overwrite"), "{help}");
    bench.records("logs.jsonl", 11);
    let (error, _) = refused(bench.train("run", &args).arg("--resume"));
    assert!(error.starts_with("--data: its contents"), "{error}");
}

#[test]
fn a_reference_that_moved_is_resumed() {
    let bench = Bench::new();
    let args = [&LONG[..], &["--reference-reset", "4"]].concat();
    done(&mut bench.train("whole", &args));
    let mut child = start(&mut bench.train("run", &args));
    wait_for_checkpoint(&bench, "run");
    child.kill().unwrap();
    child.wait().unwrap();
    done(bench.train("run", &args).arg("--resume"));
    same_as_whole(&bench, "run");
}
