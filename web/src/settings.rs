//! What can be set, and what a run will take: for the form in which a person makes one.

use serde::Serialize;
use serde_json::Value;
use tbrm_core::data::logs;
use tbrm_core::demo::embedded_logs;
use tbrm_core::run::{Inputs, Kind, ONLINE_SETTINGS, Options, Plan, SETTINGS};
use wasm_bindgen::prelude::*;

use crate::fault::Result;
use crate::gpu::Gpu;
use crate::object::to_js;
use crate::online;
use crate::session::demo;
use crate::spec::RunSpec;

#[derive(Serialize)]
struct Setting {
    name: &'static str,
    default: Value,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    choices: Option<&'static [&'static str]>,
    help: &'static str,
    /// Whether only runs that draw their own completions have it.
    online: bool,
}

/// Every setting of a run.
#[wasm_bindgen(unchecked_return_type = "Setting[]")]
pub fn settings() -> JsValue {
    let all = SETTINGS.iter().map(|setting| described(setting, false));
    let online = ONLINE_SETTINGS.iter().map(|setting| described(setting, true));
    to_js(&all.chain(online).collect::<Vec<Setting>>())
}

fn described(setting: &tbrm_core::run::Setting, online: bool) -> Setting {
    let (kind, choices) = match setting.kind {
        Kind::Number => ("number", None),
        Kind::Count => ("integer", None),
        Kind::Flag => ("bool", None),
        Kind::Choice(names) => ("choice", Some(names)),
        Kind::Texts => ("texts", None),
        Kind::Numbers => ("numbers", None),
    };
    Setting { name: setting.name, default: setting.default(), kind, choices, help: setting.help, online }
}

/// What a run will take: memory, steps, tokens. Nothing is allocated for it.
///
/// Throws what [`Session::start`](crate::Session::start) would throw before it trains.
#[wasm_bindgen(unchecked_return_type = "Estimate")]
pub async fn estimate(gpu: &Gpu, spec: RunSpec) -> Result<JsValue> {
    let spec = spec.read()?;
    if spec.prompts.is_some() {
        return Ok(to_js(&online::plan(gpu, spec)?.estimate));
    }
    let Some(model) = spec.model.shape()? else {
        return Ok(to_js(&demo(&spec)?.estimate(gpu.inner())?));
    };
    let options = Options::parse(&spec.settings)?;
    let inputs = Inputs::read(model, &spec.data, &spec.eval, &options)?;
    Ok(to_js(&Plan::new(gpu.inner(), inputs, options, None)?.estimate))
}

/// What is in a file of records, and what is wrong with it: the report of `tbrm logs check`.
#[wasm_bindgen(unchecked_return_type = "LogsReport")]
pub fn check_logs(name: &str, bytes: &[u8]) -> JsValue {
    to_js(&logs::check(name, bytes, logs::needs(name, bytes), None, |_| {}))
}

/// Logs that need no file, as a file of records: `sort`, what the demo is trained on, and `sort-held-out`. Undefined for
/// any other name.
#[wasm_bindgen]
pub fn embedded(name: &str) -> Result<Option<String>> {
    Ok(embedded_logs(name)?)
}
