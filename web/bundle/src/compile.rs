//! Compiles to wasm: the crates of the page, and the core's tests.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Failure;

/// Compiles `packages`; returns the paths of their wasm files, which depend on the user's settings.
pub(crate) fn compile(root: &Path, profile: &str, packages: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut arguments = vec!["build", "--profile", profile];
    arguments.extend(packages.iter().flat_map(|package| ["--package", package]));
    let messages = run(command(root, &arguments).env("CARGO_ENCODED_RUSTFLAGS", flags(root)))?;
    let of = |package: &&str| {
        messages.lines().rev().find_map(|line| artifact(line, package)).ok_or_else(|| {
            let what = format!("cargo names no wasm file of {package}");
            Failure::new(what, "check that its Cargo.toml has crate-type `cdylib`")
        })
    };
    packages.iter().map(of).collect()
}

/// The names and paths of the core's test programs, each of them wasm: that of its units, and `names`.
pub(crate) fn compile_tests(root: &Path, names: &[&str]) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut arguments = vec!["test", "--no-run", "--package", "tbrm-core", "--lib"];
    arguments.extend(names.iter().flat_map(|name| ["--test", name]));
    let messages = run(&mut command(root, &arguments))?;
    let programs: Vec<_> = messages.lines().filter_map(program).collect();
    if programs.len() != 1 + names.len() {
        let what = format!("cargo built {} test programs, not {}", programs.len(), 1 + names.len());
        return Err(Failure::new(what, "check the targets in core/Cargo.toml"));
    }
    Ok(programs)
}

/// Cargo in the workspace at `root`, for wasm.
fn command(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments).args(["--locked", "--target", "wasm32-unknown-unknown"]);
    command
}

/// Runs cargo; returns its messages, a JSON object a line.
fn run(command: &mut Command) -> Result<String, Failure> {
    let command = command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| {
        Failure::new(format_args!("cannot run cargo: {error}"), "run this with `cargo run`")
    })?;
    if !output.status.success() {
        return Err(Failure::new("the wasm does not compile", "see the compiler's messages above"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
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

/// The wasm file of cargo's message that `package` is built.
fn artifact(line: &str, package: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_ours =
        message["reason"] == "compiler-artifact" && message["target"]["name"] == package.replace('-', "_");
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// The test program of cargo's message that one is built.
fn program(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?;
    Some((message["target"]["name"].as_str()?.to_owned(), PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use super::{artifact, program};

    #[test]
    fn the_wasm_is_the_one_that_cargo_names() {
        let of = |name: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"filenames":["a/lib.rlib","a/lib.wasm"]}}"#
            )
        };
        let artifact = |line: &str| artifact(line, "tbrm-web");
        assert_eq!(artifact(&of("tbrm_web")).as_deref(), Some("a/lib.wasm".as_ref()));
        assert_eq!(artifact(&of("tbrm_core")), None);
        assert_eq!(artifact(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(artifact("warning: text"), None);
    }

    #[test]
    fn a_test_program_has_its_targets_name() {
        let of = |test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"kernels"}},"profile":{{"test":{test}}},"executable":"a/kernels-1.wasm"}}"#
            )
        };
        assert_eq!(program(&of(true)), Some(("kernels".into(), "a/kernels-1.wasm".into())));
        assert_eq!(program(&of(false)), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
