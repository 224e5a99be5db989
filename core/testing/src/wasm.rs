use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll, Wake, Waker};

use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen as bindings;

/// What the macro's expansion needs, wherever it expands.
#[doc(hidden)]
pub mod __private {
    pub use wasm_bindgen;
}

/// Makes a function without arguments a test: `gpu_test!(name)`, or `gpu_test!(name, panics = "message")`.
#[macro_export]
macro_rules! gpu_test {
    ($name:ident $(, panics = $message:literal)?) => {
        mod $name {
            // What it may wait with is called experimental, and told as a deprecation.
            #![allow(deprecated, missing_docs, unreachable_pub)]
            use $crate::__private::wasm_bindgen;

            #[wasm_bindgen::prelude::wasm_bindgen(jspi, wasm_bindgen = wasm_bindgen)]
            pub fn $name() {
                $crate::prepare(None $(.or(Some($message)))?);
                super::$name();
            }
        }
    };
}

#[bindings]
extern "C" {
    /// The worker's: what a test says beside its outcome.
    fn said(text: &str);
    /// The worker's: a panic's message. The instance is of no use any more.
    fn panicked(message: &str);
    /// The worker's: the test under way shall panic with a message that contains this.
    fn panic_expected(message: &str);
}

/// Says `text` beside the test's outcome.
pub fn say(text: &str) {
    said(text);
}

#[doc(hidden)]
pub fn prepare(panics: Option<&str>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| panicked(&info.to_string()))));
    if let Some(message) = panics {
        panic_expected(message);
    }
}

thread_local! {
    /// Wakes the test that waits.
    static RESUME: RefCell<Option<Function>> = const { RefCell::new(None) };
}

struct Bell;

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if let Some(resume) = RESUME.take() {
            resume.call0(&JsValue::NULL).expect("a promise can be resolved");
        }
    }
}

/// Waits for `future` while the browser goes on. In a [`gpu_test!`] only, and not in a future of another one.
#[allow(deprecated)]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let bell = Waker::from(Arc::new(Bell));
    loop {
        let rung = Promise::new(&mut |resolve, _| RESUME.set(Some(resolve)));
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&bell)) {
            return output;
        }
        js_sys::futures::jspi_block_on_promise(&rung).expect("nothing rejects it");
    }
}
