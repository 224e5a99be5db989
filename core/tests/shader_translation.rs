//! Every kernel, in every variant, becomes SPIR-V, MSL and HLSL: what Vulkan, Metal and Direct3D 12 compile.

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use tbrm_core::gpu::kernel::KernelDesc;
use tbrm_core::gpu::kernels::ALL;

fn parse(desc: &KernelDesc) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(desc.source).map_err(|e| e.emit_to_string(desc.source))?;
    let mut capabilities = Capabilities::default();
    capabilities.set(Capabilities::SUBGROUP, desc.subgroups);
    capabilities.set(Capabilities::SHADER_FLOAT16, desc.f16);
    capabilities.set(Capabilities::SHADER_INT64, desc.int64);
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string(desc.source))?;
    Ok((module, info))
}

fn to_spirv(module: &Module, info: &ModuleInfo, entry: &str) -> Result<bool, String> {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.to_owned() };
    let words = spv::write_vec(module, info, &options, Some(&pipeline)).map_err(|e| e.to_string())?;
    Ok(words.len() > 5)
}

fn to_msl(module: &Module, info: &ModuleInfo, entry: &str) -> Result<bool, String> {
    let options = msl::Options { lang_version: (2, 4), ..Default::default() };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, entry.to_owned())),
        ..Default::default()
    };
    let (text, written) = msl::write_string(module, info, &options, &pipeline).map_err(|e| e.to_string())?;
    written.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    Ok(text.contains("kernel void"))
}

fn to_hlsl(module: &Module, info: &ModuleInfo, entry: &str) -> Result<bool, String> {
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, ..Default::default() };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_owned())) };
    let mut text = String::new();
    let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
    let written = writer.write(module, info, None).map_err(|e| e.to_string())?;
    written.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    Ok(text.contains("[numthreads("))
}

#[test]
fn every_kernel_translates() {
    assert!(!ALL.is_empty(), "no kernel was generated");
    let mut failures = Vec::new();
    for desc in ALL {
        let kernel = format!("{} ({})", desc.entry, desc.variant);
        let (module, info) = match parse(desc) {
            Ok(parsed) => parsed,
            Err(error) => {
                failures.push(format!("{kernel}: {error}"));
                continue;
            }
        };
        for (language, result) in [
            ("SPIR-V", to_spirv(&module, &info, desc.entry)),
            ("MSL", to_msl(&module, &info, desc.entry)),
            ("HLSL", to_hlsl(&module, &info, desc.entry)),
        ] {
            match result {
                Ok(true) => {}
                Ok(false) => failures.push(format!("{kernel}: the {language} holds no entry point")),
                Err(error) => failures.push(format!("{kernel}: {language}: {error}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
