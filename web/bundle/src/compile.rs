//! Compiles the crate `tbrm-web` with the profile `web`.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Failure;

const PACKAGE: &str = "tbrm-web";

/// Runs `cargo build` in the workspace at `root`; returns the wasm's path, which depends on the user's settings.
pub(crate) fn compile(root: &Path) -> Result<PathBuf, Failure> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--locked", "--profile", "web", "--target", "wasm32-unknown-unknown"])
        .args(["--package", PACKAGE, "--message-format", "json-render-diagnostics"])
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root))
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            Failure::new(format_args!("cannot run cargo: {error}"), "run this with `cargo run`")
        })?;
    if !output.status.success() {
        return Err(Failure::new("tbrm-web does not compile", "see the compiler's messages above"));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    messages.lines().rev().find_map(artifact).ok_or_else(|| {
        Failure::new("cargo names no wasm file", "check that web/Cargo.toml has crate-type `cdylib`")
    })
}

/// Panic messages name source files: without the folders of the machine that built them.
fn flags(root: &Path) -> OsString {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let folders = home.iter().map(PathBuf::as_path).chain([root]);
    let mut flags = OsString::new();
    for folder in folders {
        if !flags.is_empty() {
            // Cargo's separator, since a folder may contain spaces.
            flags.push("\x1f");
        }
        flags.push("--remap-path-prefix=");
        flags.push(folder);
        flags.push("=.");
    }
    flags
}

/// The wasm file of cargo's message that `tbrm-web` is built.
fn artifact(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_ours =
        message["reason"] == "compiler-artifact" && message["target"]["name"] == PACKAGE.replace('-', "_");
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::artifact;

    #[test]
    fn the_wasm_is_the_one_that_cargo_names() {
        let of = |name: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"filenames":["a/lib.rlib","a/lib.wasm"]}}"#
            )
        };
        assert_eq!(artifact(&of("tbrm_web")).as_deref(), Some("a/lib.wasm".as_ref()));
        assert_eq!(artifact(&of("tbrm_core")), None);
        assert_eq!(artifact(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(artifact("warning: text"), None);
    }
}
