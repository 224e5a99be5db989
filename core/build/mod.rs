//! From `shaders/*.wgsl` to Rust: flatten each variant, validate and reflect it with naga, check the family's
//! variants against each other, write typed kernels. Files come in as text and go out as text, so that the tests
//! need no disk.

mod diagnose;
mod emit;
pub(crate) mod family;
mod flatten;
pub(crate) mod reflect;

use std::collections::BTreeMap;

/// Shader texts by their path under `shaders/`: `mlp.wgsl`, `shared/grid.wgsl`.
pub(crate) type Sources = BTreeMap<String, String>;

/// What the build writes to `OUT_DIR`.
#[derive(Debug)]
pub(crate) struct Output {
    /// The Rust text of `kernels.rs`, which includes the files of `sources` by name.
    pub(crate) rust: String,
    /// The flattened WGSL of every variant, by file name.
    pub(crate) sources: BTreeMap<String, String>,
}

/// Compiles every family (a file outside `shared/`).
///
/// # Errors
/// Every failure over all files and variants, each with the original file and line.
pub(crate) fn compile(sources: &Sources) -> Result<Output, Vec<String>> {
    let mut failures = Vec::new();
    let mut families = Vec::new();
    for (path, text) in sources.iter().filter(|(path, _)| !path.contains('/')) {
        match family::Family::build(sources, path, text) {
            Ok(family) => families.push(family),
            Err(found) => failures.extend(found),
        }
    }
    if families.is_empty() && failures.is_empty() {
        failures.push("error: no shader was found: kernels come from shaders/*.wgsl".to_owned());
    }
    if !failures.is_empty() {
        failures.dedup();
        return Err(failures);
    }
    Ok(emit::emit(&families))
}
