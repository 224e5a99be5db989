//! The page's benchmark: the work and the figures of `tbrm bench --json`.

use serde::Serialize;
use tbrm_core::model::{ModelConfig, PRESETS, Preset};
use tbrm_core::objective::Objective;
use tbrm_core::train::bench::{Bench, Weights};
use tbrm_core::{Error, ErrorKind};
use wasm_bindgen::prelude::*;

use crate::fault::{Fault, Result};
use crate::gpu::Gpu;
use crate::macrotask::Macrotasks;
use crate::object::to_js;
use crate::owned::guarded;

#[derive(Serialize)]
pub(crate) struct PresetInfo {
    name: &'static str,
    params: u64,
    vocab_size: usize,
    num_hidden_layers: usize,
    hidden_size: usize,
    tokens: usize,
    sequences: usize,
}

/// The named model sizes, the smallest first.
#[wasm_bindgen(unchecked_return_type = "PresetInfo[]")]
pub fn presets() -> Result<JsValue> {
    Ok(to_js(&preset_infos()?))
}

pub(crate) fn preset_infos() -> tbrm_core::Result<Vec<PresetInfo>> {
    let info = |preset: Preset| {
        let config = ModelConfig::preset(preset.name)?;
        Ok(PresetInfo {
            name: preset.name,
            params: config.param_count(),
            vocab_size: config.vocab_size,
            num_hidden_layers: config.num_hidden_layers,
            hidden_size: config.hidden_size,
            tokens: preset.tokens,
            sequences: preset.sequences,
        })
    };
    PRESETS.into_iter().map(info).collect()
}

/// Measures `steps` optimizer steps of `preset` between two that warm up and two more; `onstep` hears of each, measured or not.
/// With weights `hash` and the objective `sft` it is the exact work of the programs that this one is measured against.
#[wasm_bindgen(unchecked_return_type = "BenchReport")]
pub async fn bench(
    gpu: &Gpu,
    preset: &str,
    steps: u32,
    #[wasm_bindgen(unchecked_param_type = "Objective")] objective: &str,
    #[wasm_bindgen(unchecked_param_type = "(done: number, total: number) => void")] onstep: js_sys::Function,
    #[wasm_bindgen(unchecked_optional_param_type = "\"random\" | \"hash\"")] weights: Option<String>,
) -> Result<JsValue> {
    let preset = Preset::find(preset)?;
    let (objective, weights) = (find_objective(objective)?, find_weights(weights.as_deref())?);
    guarded(gpu.inner(), async {
        let macrotasks = Macrotasks::new()?;
        let mut bench = Bench::new(gpu.inner(), &preset, objective, weights, u64::from(steps))?;
        let total = bench.steps();
        while let Some(metrics) = bench.next().await? {
            onstep.call2(&JsValue::NULL, &(metrics.step as f64).into(), &(total as f64).into())?;
            macrotasks.next().await?;
        }
        Ok(to_js(&bench.report()?))
    })
    .await
}

fn find_objective(name: &str) -> Result<Objective> {
    Objective::ALL.into_iter().find(|objective| objective.name() == name).ok_or_else(|| {
        let names = Objective::ALL.map(Objective::name).join(", ");
        unknown(format!("no objective is called `{name}`"), format!("use one of {names}"))
    })
}

fn find_weights(name: Option<&str>) -> Result<Weights> {
    match name {
        None | Some("random") => Ok(Weights::Random(0)),
        Some("hash") => Ok(Weights::Hash),
        Some(name) => Err(unknown(format!("no weights are called `{name}`"), "use random or hash".into())),
    }
}

fn unknown(what: String, help: String) -> Fault {
    Error::new(ErrorKind::Config, what, help).into()
}
