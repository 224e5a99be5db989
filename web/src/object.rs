//! Plain JavaScript objects from what serde can write, and back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tbrm_core::{Error, ErrorKind, Result};
use wasm_bindgen::JsValue;

/// `value` as a plain object; a number that JSON does not know (NaN, infinity) becomes `null`.
///
/// # Panics
/// Never for the types here: their keys are text.
pub(crate) fn to_js(value: &impl Serialize) -> JsValue {
    let text = serde_json::to_string(value).expect("text for keys");
    js_sys::JSON::parse(&text).expect("serde_json writes JSON")
}

/// A plain object as JSON; nothing as an empty one.
pub(crate) fn from_js(value: &JsValue) -> Result<Value> {
    if value.is_undefined() || value.is_null() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let text = js_sys::JSON::stringify(value).ok().and_then(|text| text.as_string());
    text.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
        Error::new(ErrorKind::Config, "the settings are no plain object", "give an object of settings")
    })
}

/// Settings that the core reads by their names.
pub(crate) fn setting<T: DeserializeOwned>(value: &JsValue) -> Result<T> {
    serde_json::from_value(from_js(value)?).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            format!("the settings: {error}"),
            "correct the setting, or leave it out",
        )
    })
}
