//! Chat templates by a module of their own, which the page fetches when one is first compiled: in this one the engine would be
//! a tenth of what every visitor downloads, for models that few bring.

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// Set by whoever loads the wasm, and answered by `chat_template` of web/template: compiles `template` and, given `values` (an
    /// object as JSON), renders it. Throws an `Error` with the engine's words.
    #[wasm_bindgen(catch)]
    fn tbrm_chat_template(template: &str, values: Option<&str>) -> Result<String, JsValue>;
}

/// A template that compiles.
#[derive(Clone, Debug)]
pub(crate) struct Template(String);

impl Template {
    /// Compiles `text`; an error is the engine's words.
    pub(crate) fn new(text: &str) -> Result<Template, String> {
        tbrm_chat_template(text, None).map_err(|error| told(&error))?;
        Ok(Template(text.to_owned()))
    }

    /// The text that the template makes of `values`, an object.
    pub(crate) fn render(&self, values: &serde_json::Value) -> Result<String, String> {
        tbrm_chat_template(&self.0, Some(&values.to_string())).map_err(|error| told(&error))
    }
}

fn told(error: &JsValue) -> String {
    let message = js_sys::Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| format!(": {error:?}"))
}
