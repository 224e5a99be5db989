//! Plain JavaScript objects from what serde can write.

use serde::Serialize;
use wasm_bindgen::JsValue;

/// `value` as a plain object; a number that JSON does not know (NaN, infinity) becomes `null`.
///
/// # Panics
/// Never for the types here: their keys are text.
pub(crate) fn to_js(value: &impl Serialize) -> JsValue {
    let text = serde_json::to_string(value).expect("text for keys");
    js_sys::JSON::parse(&text).expect("serde_json writes JSON")
}
