//! What went wrong, as JavaScript sees it: an object `{kind, what, help}`, thrown or reported.

use std::cell::RefCell;

use serde::Serialize;
use tbrm_core::Error;
use wasm_bindgen::prelude::*;

use crate::object::to_js;

/// What is thrown: `?` makes it of the core's errors, and passes on what a callback of JavaScript threw.
#[derive(Debug)]
pub struct Fault(JsValue);

/// A result whose error is thrown.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// What only this crate throws.
#[derive(Serialize)]
struct Words<'a> {
    kind: &'a str,
    what: &'a str,
    help: &'a str,
}

impl Fault {
    pub(crate) fn new(kind: &str, what: &str, help: &str) -> Fault {
        Fault(to_js(&Words { kind, what, help }))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault(to_js(&error))
    }
}

impl From<JsValue> for Fault {
    fn from(thrown: JsValue) -> Fault {
        Fault(thrown)
    }
}

impl From<Fault> for JsValue {
    fn from(Fault(thrown): Fault) -> JsValue {
        thrown
    }
}

thread_local! {
    /// Who hears of faults that no call can throw.
    static LISTENER: RefCell<Option<js_sys::Function>> = const { RefCell::new(None) };
}

/// From now on `listener` hears of faults that happen by themselves.
pub(crate) fn listen(listener: js_sys::Function) {
    LISTENER.with_borrow_mut(|slot| *slot = Some(listener));
}

/// Tells the listener, if there is one.
pub(crate) fn report(fault: &impl Serialize) {
    // Out of the cell first: the listener may call back in here.
    let listener = LISTENER.with_borrow(Clone::clone);
    if let Some(listener) = listener {
        // A listener that throws has nobody to throw to.
        let _ = listener.call1(&JsValue::NULL, &to_js(fault));
    }
}

/// A panic stops the module for good, and all that JavaScript sees of it is `unreachable`: this tells it what happened.
#[wasm_bindgen(start, skip_typescript)]
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let what = format!("the program failed: {panic}").replace('\n', " ");
        web_sys::console::error_1(&what.as_str().into());
        let help = "reload the page; what was saved is still there. Please report this";
        report(&Words { kind: "panic", what: &what, help });
    }));
}
