//! Compiled kernels, kept from one process to the next.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::support::{Place, Run};

/// Runs a command that compiles kernels, with a cache directory of its own.
fn bench(place: &Place) -> String {
    let mut command = place.command("bench --preset nano --steps 1 --json");
    command.env("XDG_CACHE_HOME", place.path("cache"));
    let run = Run::from(command.output().expect("the command starts"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let result: serde_json::Value = serde_json::from_str(&run.stdout).expect("one object");
    result["losses"].to_string()
}

/// The file of compiled kernels; `None` where the adapter keeps none.
fn file(place: &Place) -> Option<PathBuf> {
    let files: Vec<_> = fs::read_dir(place.path("cache").join("tbrm")).ok()?.collect();
    let [file] = files.as_slice() else { panic!("one file of compiled kernels: {files:?}") };
    Some(file.as_ref().expect("readable").path())
}

/// Replacing a file gives it a new number, so the number tells whether a process found the file good.
#[test]
fn the_next_process_uses_what_was_compiled_and_ignores_what_is_damaged() {
    let place = Place::new();
    let losses = bench(&place);
    let Some(path) = file(&place) else {
        let adapters = place.json("devices")["adapters"].take();
        let unlocks = adapters.as_array().expect("a list").iter().filter(|a| a["chosen"] == true);
        assert!(unlocks.into_iter().all(|a| a["pipeline_cache"] == false), "nothing was kept");
        return;
    };
    let look = || (fs::read(&path).expect("readable"), fs::metadata(&path).expect("there").ino());
    let (kept, number) = look();
    assert_eq!(bench(&place), losses);
    let (again, next_number) = look();
    // There are drivers that give other bytes each time.
    assert!(again != kept || next_number == number, "nothing new, and yet it was replaced");

    let damaged = &kept[..kept.len() - 1];
    fs::write(&path, damaged).expect("writable");
    assert_eq!(bench(&place), losses);
    assert_ne!(fs::read(&path).expect("readable"), damaged, "what is damaged is replaced");
}
