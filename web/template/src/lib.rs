//! Chat templates in a module of their own: the trainer's wasm calls it through the page (`core/src/platform/wasm/template.rs`),
//! which fetches it when a model first brings a template.

use tbrm_template::Template;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

/// Compiles `template` and, given `values` (an object as JSON), renders it; without them the text is empty.
///
/// # Errors
/// The engine's words, with their place: ` (line 3): ...`.
#[wasm_bindgen]
pub fn chat_template(template: &str, values: Option<String>) -> Result<String, JsError> {
    let failed = |told: String| JsError::new(&told);
    let template = Template::new(template).map_err(failed)?;
    let Some(values) = values else { return Ok(String::new()) };
    let values = serde_json::from_str(&values).map_err(|error| failed(format!(": {error}")))?;
    template.render(&values).map_err(failed)
}
