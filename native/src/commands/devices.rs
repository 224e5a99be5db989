//! `tbrm devices`: the adapters, and what they can do.

use serde_json::json;
use tbrm_core::gpu::{AdapterReport, GpuOptions, survey};

use crate::args::Common;
use crate::exit::{Failure, Outcome};

pub(super) fn run(common: &Common) -> Result<Outcome, Failure> {
    let options = GpuOptions { adapter: common.adapter.clone(), ..GpuOptions::default() };
    let adapters = pollster::block_on(survey(&options))?;
    let text = if common.json {
        format!("{}\n", json!({ "adapters": adapters }))
    } else {
        adapters.iter().map(describe).collect::<Vec<_>>().join("\n")
    };
    super::print(&text)?;
    Ok(Outcome::Done)
}

fn describe(adapter: &AdapterReport) -> String {
    let AdapterReport { name, backend, kind, driver, caps, workgroup_memory, workgroup_invocations, .. } =
        adapter;
    let chosen = if adapter.chosen { " (chosen)" } else { "" };
    let speed = if caps.software { ": it runs on the processor" } else { "" };
    let mut text = format!(
        "{name}{chosen}\n  {backend}, {kind}{speed}\n  driver {driver}\n  \
         buffers up to {} MiB; a tensor above {} MiB is split\n  \
         workgroups of up to {workgroup_invocations} invocations with {} KiB of memory\n",
        caps.max_buffer >> 20,
        caps.max_binding >> 20,
        workgroup_memory >> 10,
    );
    for unlock in &adapter.unlocks {
        let size = match (unlock.feature, caps.subgroup_size, adapter.max_subgroup_size) {
            ("subgroups", least, most) if least == most => format!(" ({least})"),
            ("subgroups", least, most) => format!(" ({least} to {most})"),
            _ => String::new(),
        };
        let has = if unlock.available { format!("yes{size}") } else { "no".into() };
        text += &format!("  {:<15} {has:<15} {}\n", unlock.feature, unlock.means);
    }
    text
}
