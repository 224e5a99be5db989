//! What only some visitors use is cut off the wasm when the page is built, and fetched when it is called first. Which
//! functions that are only the bundler knows: it puts calls of [`fetch`] where it cut (web/bundle/src/split.rs).

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// Puts the functions of the second wasm into the table, which it gets first. What it throws stops the module for good.
    #[wasm_bindgen(js_name = tbrm_fetch_second)]
    fn fetch();
}

/// Does so now, so that what is missing is told before work begins, not amid it.
#[wasm_bindgen(skip_typescript)]
pub fn fetch_second() {
    fetch();
}
