//! Makes the wasm small with `wasm-opt`, from the npm package `binaryen` that the page's package.json names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;

/// What every browser with WebGPU has. Not `--all-features`: that writes what none of them reads.
const FEATURES: [&str; 9] = [
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-call-indirect-overlong",
    "--enable-simd",
];

/// The program, a script for Node, below the page's folder.
pub(crate) fn find(www: &Path) -> Result<PathBuf, Failure> {
    let script = www.join("node_modules/binaryen/bin/wasm-opt");
    if script.is_file() {
        return Ok(script);
    }
    let what = format!("wasm-opt is not installed: {} is missing", script.display());
    Err(Failure::new(what, "run `npm ci` in www/"))
}

/// Optimises `wasm` in place, for size.
pub(crate) fn optimize(wasm_opt: &Path, wasm: &Path) -> Result<(), Failure> {
    let status = Command::new("node")
        .arg(wasm_opt)
        // With the functions' names, where there are any: splitting wants them.
        .args(["-Oz", "-g", "-o"])
        .arg(wasm)
        .args(FEATURES)
        .arg(wasm)
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(
            format_args!("wasm-opt ended with {status}"),
            "see its messages above; `npm ci` in www/ installs the version that is known to work",
        )),
        Err(error) => Err(Failure::new(format_args!("cannot run node: {error}"), "install Node 20 or newer")),
    }
}
