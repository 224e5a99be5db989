//! Embedded tasks: prompts with answers that need no file.

use serde::Serialize;
use tbrm_core::task::{LEVELS, NAMES, TaskFiles};
use wasm_bindgen::prelude::*;

use crate::fault::Result;
use crate::object::to_js;

/// Their names, with their levels: `sort-1`.
#[wasm_bindgen]
pub fn tasks() -> Vec<String> {
    NAMES.iter().flat_map(|name| LEVELS.map(move |level| format!("{name}-{level}"))).collect()
}

#[derive(Serialize)]
pub(crate) struct TaskInfo {
    pub(crate) description: String,
    pub(crate) prompts: String,
    pub(crate) held_out: String,
    pub(crate) demonstrations: String,
    pub(crate) max_new_tokens: usize,
}

/// One as files of records.
#[wasm_bindgen(unchecked_return_type = "TaskInfo")]
pub fn task(name: &str) -> Result<JsValue> {
    let TaskFiles { description, prompts, held_out, demonstrations, max_new_tokens } =
        TaskFiles::new(name, 0)?;
    Ok(to_js(&TaskInfo { description, prompts, held_out, demonstrations, max_new_tokens }))
}
