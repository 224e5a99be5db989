//! Builds what the page downloads of Rust: `cargo` compiles `tbrm-web` to wasm, `wasm-bindgen` writes its JavaScript
//! and TypeScript, `wasm-opt` makes it small. Both are reached from here, so nothing is installed globally.

#![forbid(unsafe_code)]

mod compile;
mod optimize;

use std::env;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flate2::{Compression, write::GzEncoder};
use wasm_bindgen_cli_support::Bindgen;

/// Where the page finds them.
const OUT: &str = "www/src/wasm";
/// What `wasm-bindgen` calls them, and all that the page needs.
const FILES: [&str; 3] = ["tbrm.js", "tbrm.d.ts", "tbrm_bg.wasm"];
/// The wasm's bytes at most, as a server that compresses sends them.
const LIMIT: usize = 1_200_000;

/// What went wrong, and what to do about it.
struct Failure {
    what: String,
    help: &'static str,
}

impl Failure {
    fn new(what: impl fmt::Display, help: &'static str) -> Failure {
        Failure { what: what.to_string(), help }
    }

    fn file(path: &Path, error: &std::io::Error) -> Failure {
        Failure::new(
            format_args!("{}: {error}", path.display()),
            "check that the folder is writable and the disk not full",
        )
    }
}

fn main() -> ExitCode {
    match bundle() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { what, help }) => {
            eprintln!("error: {what}\nhelp: {help}");
            ExitCode::FAILURE
        }
    }
}

fn bundle() -> Result<(), Failure> {
    // What cargo says now, not at compile time: checkouts may share a target folder, and with it this program.
    let crate_dir = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = crate_dir.as_deref().and_then(|dir| dir.ancestors().nth(2)).ok_or_else(|| {
        Failure::new("this program does not know the workspace", "start it by `cargo run -p tbrm-bundle`")
    })?;
    // Before the long build: what is missing should be told first.
    let wasm_opt = optimize::find(&root.join("www"))?;
    let compiled = compile::compile(root)?;
    let made = compiled.with_file_name("tbrm-bundle");
    bind(&compiled, &made)?;
    optimize::optimize(&wasm_opt, &made.join("tbrm_bg.wasm"))?;
    let size = publish(&made, &root.join(OUT))?;
    if size > LIMIT {
        return Err(Failure::new(
            format_args!("the wasm is {size} bytes gzipped; the limit is {LIMIT}"),
            "see what grew (`cargo tree -p tbrm-web --target wasm32-unknown-unknown`, `twiggy top`)",
        ));
    }
    Ok(())
}

/// Writes the bindings of `compiled` into the folder `made`.
fn bind(compiled: &Path, made: &Path) -> Result<(), Failure> {
    let failed = |error| {
        Failure::new(
            format_args!("wasm-bindgen: {error:#}"),
            "wasm-bindgen and wasm-bindgen-cli-support must have the same version in Cargo.toml",
        )
    };
    Bindgen::new()
        .input_path(compiled)
        .out_name("tbrm")
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(false)
        .web(true)
        .and_then(|bindgen| bindgen.generate(made))
        .map_err(failed)
}

/// Copies the files to the page, says how large the wasm is, and returns its gzipped bytes.
fn publish(made: &Path, out: &Path) -> Result<usize, Failure> {
    fs::create_dir_all(out).map_err(|error| Failure::file(out, &error))?;
    for file in FILES {
        let (from, to) = (made.join(file), out.join(file));
        fs::copy(&from, &to).map_err(|error| Failure::file(&to, &error))?;
    }
    let path: PathBuf = out.join("tbrm_bg.wasm");
    let wasm = fs::read(&path).map_err(|error| Failure::file(&path, &error))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let zipped =
        gzip.write_all(&wasm).and_then(|()| gzip.finish()).map_err(|error| Failure::file(&path, &error))?;
    println!("{OUT}/tbrm_bg.wasm: {} bytes, {} gzipped (limit {LIMIT})", wasm.len(), zipped.len());
    Ok(zipped.len())
}
