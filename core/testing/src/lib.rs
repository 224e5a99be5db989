//! The seam by which one test runs natively and in browsers: [`gpu_test!`] names it, [`block_on`] waits in it.
//!
//! Natively a test is what `#[test]` makes of it. Compiled to wasm it is an export of its name, which the page in
//! `www/tests/cases` calls in a worker. It may wait there as if it blocked: the browser parks its stack (WebAssembly's
//! JavaScript Promise Integration) and goes on with it later.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(target_family = "wasm"))]
pub use native::*;
#[cfg(target_family = "wasm")]
pub use wasm::*;
