//! What this machine's adapters offer, without opening any of them.

use serde::Serialize;

use super::caps::Caps;
use super::device::{GpuOptions, pick, ranked};
use crate::error::Result;

/// An adapter as it describes itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterReport {
    /// Its name; a part of it chooses it.
    pub name: String,
    /// `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: &'static str,
    /// `discrete GPU`, `integrated GPU`, `virtual GPU`, `software` or `other`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The driver and its version, as far as it tells.
    pub driver: String,
    /// Whether the options that the survey was made with choose it.
    pub chosen: bool,
    /// What it can do once opened.
    #[serde(flatten)]
    pub caps: Caps,
    /// Invocations in a subgroup at most; [`Caps::subgroup_size`] is the least.
    pub max_subgroup_size: u32,
    /// Workgroup memory, in bytes.
    pub workgroup_memory: u32,
    /// Invocations in a workgroup at most.
    pub workgroup_invocations: u32,
    /// What its features are good for here.
    pub unlocks: Vec<Unlock>,
}

/// A feature, and what it is good for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Unlock {
    /// `subgroups`, `f16`, `int64`, `timestamps` or `pipeline cache`.
    pub feature: &'static str,
    /// Whether the adapter has it.
    pub available: bool,
    /// What having it, or not having it, means.
    pub means: &'static str,
}

/// Every adapter, in the order in which they are preferred; one of them is the one that `options` choose.
///
/// # Errors
/// [`crate::ErrorKind::Adapter`] when there is none, or not the one that `options` ask for.
pub async fn survey(options: &GpuOptions) -> Result<Vec<AdapterReport>> {
    let adapters = ranked().await?;
    let chosen = pick(&adapters, options)?;
    let report = |(i, adapter): (usize, &wgpu::Adapter)| {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let caps = Caps::new(&info, adapter.features(), &limits);
        AdapterReport {
            backend: info.backend.to_str(),
            kind: kind(info.device_type),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            chosen: i == chosen,
            unlocks: unlocks(&caps),
            caps,
            max_subgroup_size: info.subgroup_max_size,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            name: info.name,
        }
    };
    Ok(adapters.iter().enumerate().map(report).collect())
}

fn kind(device: wgpu::DeviceType) -> &'static str {
    match device {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

fn unlocks(caps: &Caps) -> Vec<Unlock> {
    let unlock = |feature, available, means| Unlock { feature, available, means };
    let subgroups = match (caps.software, caps.subgroups, caps.subgroup_size) {
        _ if caps.lavapipe() => "matmul and attention share loads across the 8 lanes of a register",
        (true, true, 4) => "matmul shares loads across the 4 lanes of a register",
        (true, ..) => {
            "unused: the software kernels that share loads are written for subgroups of 4, and of 8 with int64"
        }
        (false, ..) => "unused: the kernels for GPUs share loads through workgroup memory",
    };
    let int64 = if caps.lavapipe() {
        "matmul, attention and the cache load 64 bits at a time"
    } else {
        "unused: the kernels that load 64 bits at a time are for lavapipe"
    };
    let timestamps = if caps.timestamps {
        "--profile tells the GPU time of each kernel"
    } else {
        "--profile is not possible"
    };
    let pipeline_cache = match (caps.pipeline_cache, caps.software) {
        (true, false) => "what the driver compiles is kept in the user's cache directory",
        (true, true) => "kept in the user's cache directory, but software drivers give nothing to keep",
        (false, _) => "the driver alone may keep what it compiles",
    };
    vec![
        unlock("subgroups", caps.subgroups, subgroups),
        unlock("f16", caps.f16, "unused: all kernels compute in f32"),
        unlock("int64", caps.int64, int64),
        unlock("timestamps", caps.timestamps, timestamps),
        unlock("pipeline cache", caps.pipeline_cache, pipeline_cache),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_adapter_is_chosen_and_it_is_the_one_that_opens() {
        let reports = pollster::block_on(survey(&GpuOptions::default())).unwrap();
        let chosen: Vec<_> = reports.iter().filter(|r| r.chosen).collect();
        assert_eq!(chosen.len(), 1);
        let gpu = pollster::block_on(crate::Gpu::open(&GpuOptions::default())).unwrap();
        assert_eq!((&chosen[0].name, &chosen[0].caps), (&gpu.info().name, gpu.caps()));
    }

    #[test]
    fn an_adapter_that_is_not_there_is_an_error_that_names_those_that_are() {
        let reports = pollster::block_on(survey(&GpuOptions::default())).unwrap();
        let options = GpuOptions { adapter: Some("no such adapter".into()), ..GpuOptions::default() };
        let error = pollster::block_on(survey(&options)).unwrap_err();
        assert!(error.help.contains(&reports[0].name), "{}", error.help);
    }

    #[test]
    fn subgroups_of_another_size_are_not_praised() {
        let reports = pollster::block_on(survey(&GpuOptions::default())).unwrap();
        let said = |software, subgroups, subgroup_size, int64| {
            let caps = Caps { software, subgroups, subgroup_size, int64, ..reports[0].caps.clone() };
            unlocks(&caps)[0].means
        };
        assert!(said(true, true, 8, true).starts_with("matmul and attention"));
        assert!(said(true, true, 4, false).starts_with("matmul shares"));
        for (software, subgroups, size, int64) in [
            (true, true, 16, true),
            (true, true, 8, false),
            (true, false, 8, true),
            (true, false, 4, true),
            (false, true, 32, true),
        ] {
            let means = said(software, subgroups, size, int64);
            assert!(means.starts_with("unused"), "{software} {subgroups} {size} {int64}");
        }
    }
}
