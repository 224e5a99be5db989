//! `tbrm devices`.

use crate::support::{Place, Run};

#[test]
fn one_adapter_is_chosen_and_its_limits_are_told() {
    let place = Place::new();
    let adapters = place.json("devices")["adapters"].take();
    let adapters = adapters.as_array().expect("a list");
    let chosen: Vec<_> = adapters.iter().filter(|adapter| adapter["chosen"] == true).collect();
    assert_eq!(chosen.len(), 1);
    // WebGPU guarantees as much everywhere.
    for (limit, least) in
        [("max_binding", 128 << 20), ("workgroup_memory", 16 << 10), ("workgroup_invocations", 256)]
    {
        assert!(chosen[0][limit].as_u64() >= Some(least), "{limit}: {}", chosen[0][limit]);
    }
    let name = chosen[0]["name"].as_str().expect("text");
    let shown = place.done("devices");
    assert!(shown.contains(&format!("{name} (chosen)")), "{shown}");
    for unlock in chosen[0]["unlocks"].as_array().expect("a list") {
        assert!(shown.contains(unlock["means"].as_str().expect("text")), "{unlock}");
    }
}

#[test]
fn an_adapter_that_is_not_there_is_refused() {
    let run = Place::new().run("devices --adapter nonesuch");
    assert_eq!(run.refusal(1), "no adapter's name contains `nonesuch`");
    assert!(run.stderr.contains("choose one of: "), "{}", run.stderr);
}

/// The Vulkan loader finds no driver where it is told to look.
#[cfg(target_os = "linux")]
#[test]
fn no_adapter_at_all_is_an_error_that_says_what_to_install() {
    let place = Place::new();
    for line in ["devices", "devices --json", "bench --preset nano"] {
        let none = [("VK_DRIVER_FILES", "none.json"), ("VK_ICD_FILENAMES", "none.json")];
        let run = Run::from(place.command(line).envs(none).output().expect("the command starts"));
        assert_eq!(run.refusal(1), "no GPU adapter found", "{line}");
        assert!(
            run.stderr.contains("mesa-vulkan-drivers") && run.stdout.is_empty(),
            "{line}: {}",
            run.stderr
        );
    }
}
