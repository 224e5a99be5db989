//! Chat templates in a module of their own: the trainer's wasm calls it through the page (`core/src/platform/wasm/template.rs`),
//! which fetches it when a model first brings a template.

use std::cell::RefCell;

use tbrm_template::Template;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

thread_local! {
    /// The template that was asked for last: a log has one, and asks for it at every record.
    static LAST: RefCell<Option<(String, Template)>> = const { RefCell::new(None) };
}

/// Compiles `template` and, given `values` (an object as JSON), renders it; without them the text is empty.
///
/// # Errors
/// The engine's words, with their place: ` (line 3): ...`.
#[wasm_bindgen]
pub fn chat_template(template: &str, values: Option<String>) -> Result<String, JsError> {
    answer(template, values.as_deref()).map_err(|told| JsError::new(&told))
}

fn answer(text: &str, values: Option<&str>) -> Result<String, String> {
    let template = compiled(text)?;
    let Some(values) = values else { return Ok(String::new()) };
    let values = serde_json::from_str(values).map_err(|error| format!(": {error}"))?;
    template.render(&values)
}

fn compiled(text: &str) -> Result<Template, String> {
    LAST.with_borrow_mut(|last| match last {
        Some((of, template)) if of == text => Ok(template.clone()),
        _ => {
            let template = Template::new(text)?;
            *last = Some((text.to_owned(), template.clone()));
            Ok(template)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn each_template_is_rendered_as_itself_however_they_alternate() {
        for _ in 0..2 {
            for (template, want) in [("a {{ x }}", "a 1"), ("b {{ x }}", "b 1")] {
                assert_eq!(answer(template, None).as_deref(), Ok(""));
                assert_eq!(answer(template, Some("{\"x\": 1}")).as_deref(), Ok(want));
                assert_eq!(answer(template, Some("{\"x\": 1}")).as_deref(), Ok(want));
            }
            assert!(answer("{% for %}", None).is_err_and(|told| told.starts_with(" (line 1)")));
            assert!(answer("{{ x }}", Some("{")).is_err());
        }
    }
}
