//! Builds what the page downloads of Rust: `cargo` compiles `tbrm-web` and `tbrm-web-template` to wasm, `wasm-bindgen`
//! writes their JavaScript and TypeScript, `wasm-opt` makes them small; then what only some visitors use is cut off into a
//! wasm of its own, and functions that look alike are put beside each other, for whatever compresses them. All are reached
//! from here, so nothing is installed globally.
//!
//! With the argument `quick` it makes the same in much less time, several times as large: for work on the page. With
//! `tests` it builds the core's tests of the GPU instead, for browsers to run; both share their compiled dependencies.

#![forbid(unsafe_code)]

mod compile;
mod contents;
mod optimize;
mod order;
mod split;

use std::env;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flate2::{Compression, write::GzEncoder};
use wasm_bindgen_cli_support::Bindgen;

use crate::split::Cut;

/// Where the page finds them.
const OUT: &str = "www/src/wasm";

/// A crate of the page.
struct Module {
    package: &'static str,
    /// What `wasm-bindgen` calls its files.
    name: &'static str,
    /// Its wasm's bytes at most, as a server that compresses sends them.
    limit: usize,
    /// What of it is a second wasm.
    second: Option<Second>,
}

/// What is cut off a module, in `NAME_second.wasm`.
struct Second {
    cut: Cut<'static>,
    /// Its bytes at most.
    limit: usize,
}

const MODULES: [Module; 2] = [
    // Every visitor waits for it: the trainer, with its tokenizer.
    Module {
        package: "tbrm-web",
        name: "tbrm",
        limit: 1_200_000,
        second: Some(Second {
            cut: Cut {
                paths: &[
                    "tbrm_core::lab::",
                    "tbrm_core::online::pool::",
                    "tbrm_core::online::trainer::",
                    "tbrm_core::reward::math::",
                    "tbrm_core::run::online::",
                    "tbrm_core::theory::",
                    "tbrm_web::lab::",
                    "tbrm_web::online::",
                ],
                fetch: "tbrm_fetch_second",
            },
            limit: 400_000,
        }),
    },
    // Fetched for a model that brings a chat template.
    Module { package: "tbrm-web-template", name: "template", limit: 300_000, second: None },
];

impl Module {
    /// The file that wasm-bindgen writes.
    fn wasm(&self) -> String {
        format!("{}_bg.wasm", self.name)
    }
}

/// Where the page that runs tests finds them, a folder each, and which they are.
const TESTS_OUT: &str = "www/tests/cases/wasm";
const TESTS: [&str; 3] = ["kernels", "engine", "rollout"];

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
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => root().and_then(|root| bundle(&root)),
        ["quick"] => root().and_then(|root| bundle_quickly(&root)),
        ["tests"] => root().and_then(|root| bundle_tests(&root)),
        _ => {
            Err(Failure::new(format_args!("unknown: {}", arguments.join(" ")), "tbrm-bundle [quick | tests]"))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { what, help }) => {
            eprintln!("error: {what}\nhelp: {help}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder, which cargo tells when it runs this: checkouts may share a target folder, and with it this
/// program, so the folder that it was compiled in can be another's.
fn root() -> Result<PathBuf, Failure> {
    let crate_dir = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    // Two folders deep: web/bundle.
    crate_dir.and_then(|dir| dir.ancestors().nth(2).map(Path::to_path_buf)).ok_or_else(|| {
        Failure::new("this program does not know the workspace", "start it by `cargo run -p tbrm-bundle`")
    })
}

fn bundle(root: &Path) -> Result<(), Failure> {
    // Before the long build: what is missing should be told first.
    let wasm_opt = optimize::find(&root.join("www"))?;
    let built = compile_page(root, "web")?;
    for (module, made) in MODULES.iter().zip(&built) {
        let wasm = made.join(module.wasm());
        optimize::optimize(&wasm_opt, &wasm)?;
        if let Some(Second { cut, .. }) = &module.second {
            let second = second(&wasm);
            cut_in_two(cut, &wasm, &second)?;
            reorder(&second)?;
        }
        reorder(&wasm)?;
    }
    // All of them told before one is refused.
    for Published { wasm, size, limit } in publish(&built, &root.join(OUT))? {
        if size > limit {
            return Err(Failure::new(
                format_args!("{wasm} is {size} bytes gzipped, and may be {limit}"),
                "see what grew: `twiggy top` on cargo's wasm, `cargo tree --target wasm32-unknown-unknown`",
            ));
        }
    }
    Ok(())
}

/// Nothing is cut: the second wasm is an empty one.
fn bundle_quickly(root: &Path) -> Result<(), Failure> {
    let built = compile_page(root, "dev")?;
    for (module, made) in MODULES.iter().zip(&built).filter(|(module, _)| module.second.is_some()) {
        let second = second(&made.join(module.wasm()));
        fs::write(&second, wasm_encoder::Module::new().finish())
            .map_err(|error| Failure::file(&second, &error))?;
    }
    publish(&built, &root.join(OUT)).map(drop)
}

/// Where the part lies that is cut off `wasm`.
fn second(wasm: &Path) -> PathBuf {
    let name = wasm.file_name().unwrap_or_default().to_string_lossy();
    wasm.with_file_name(name.replace("_bg.wasm", "_second.wasm"))
}

/// Leaves in `wasm` what every visitor waits for, and writes the rest to `second`.
fn cut_in_two(cut: &Cut<'_>, wasm: &Path, second: &Path) -> Result<(), Failure> {
    let whole = fs::read(wasm).map_err(|error| Failure::file(wasm, &error))?;
    let parts = split::split(&whole, cut).map_err(|error| {
        Failure::new(
            format_args!("{} {error}", wasm.display()),
            "see web/bundle/src/split.rs for what it must be like",
        )
    })?;
    for (path, bytes) in [(wasm, parts.first), (second, parts.second)] {
        fs::write(path, bytes).map_err(|error| Failure::file(path, &error))?;
    }
    Ok(())
}

/// Puts the functions of `wasm` into an order that compresses well.
fn reorder(wasm: &Path) -> Result<(), Failure> {
    let before = fs::read(wasm).map_err(|error| Failure::file(wasm, &error))?;
    let after = order::reorder(&before).map_err(|error| {
        Failure::new(
            format_args!("{}: {error}", wasm.display()),
            "wasm-encoder must know what wasm-opt writes: check their versions",
        )
    })?;
    fs::write(wasm, after).map_err(|error| Failure::file(wasm, &error))
}

/// Returns the folder of each module's files.
fn compile_page(root: &Path, profile: &str) -> Result<Vec<PathBuf>, Failure> {
    let compiled = compile::compile(root, profile, &MODULES.map(|module| module.package))?;
    let bind = |(module, compiled): (&Module, &PathBuf)| {
        let made = compiled.with_file_name("tbrm-bundle").join(module.name);
        let mut bindings = bindings(compiled, module.name);
        // Where a module is cut is found by its functions' names, which are dropped then.
        bindings.typescript(true).remove_name_section(module.second.is_none()).remove_producers_section(true);
        generate(&mut bindings, &made)?;
        Ok(made)
    };
    MODULES.iter().zip(&compiled).map(bind).collect()
}

fn bundle_tests(root: &Path) -> Result<(), Failure> {
    for (name, compiled) in compile::compile_tests(root, &TESTS)? {
        let mut bindings = bindings(&compiled, "cases");
        // The page calls one test after the other, not all of them as the program does. A trap's stack wants the names.
        bindings.emit_start(false).typescript(false);
        generate(&mut bindings, &root.join(TESTS_OUT).join(name))?;
    }
    Ok(())
}

/// What makes the bindings of `compiled`, called `name`.
fn bindings(compiled: &Path, name: &str) -> Bindgen {
    let mut bindings = Bindgen::new();
    bindings.input_path(compiled).out_name(name).omit_default_module_path(false);
    bindings
}

/// Writes `bindings` for browsers into the folder `made`.
fn generate(bindings: &mut Bindgen, made: &Path) -> Result<(), Failure> {
    let failed = |error| {
        Failure::new(
            format_args!("wasm-bindgen: {error:#}"),
            "wasm-bindgen and wasm-bindgen-cli-support must have the same version in Cargo.toml",
        )
    };
    bindings.web(true).and_then(|bindings| bindings.generate(made)).map_err(failed)
}

/// A wasm file of the page.
struct Published {
    wasm: String,
    /// Its bytes, gzipped.
    size: usize,
    /// And what they may be.
    limit: usize,
}

/// Copies the files that were made of each module to the page, and says how large each wasm is.
fn publish(built: &[PathBuf], out: &Path) -> Result<Vec<Published>, Failure> {
    fs::create_dir_all(out).map_err(|error| Failure::file(out, &error))?;
    publish_snippets(&built[0].join("snippets"), &out.join("snippets"))?;
    let mut published = Vec::new();
    for (module, made) in MODULES.iter().zip(built) {
        for file in [format!("{}.js", module.name), format!("{}.d.ts", module.name)] {
            copy(&made.join(&file), &out.join(file))?;
        }
        let wasm = made.join(module.wasm());
        published.push(publish_wasm(&wasm, module.limit, out)?);
        if let Some(Second { limit, .. }) = module.second {
            published.push(publish_wasm(&second(&wasm), limit, out)?);
        }
    }
    Ok(published)
}

fn publish_wasm(made: &Path, limit: usize, out: &Path) -> Result<Published, Failure> {
    let wasm = made.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = out.join(&wasm);
    copy(made, &path)?;
    let bytes = fs::read(&path).map_err(|error| Failure::file(&path, &error))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let zipped =
        gzip.write_all(&bytes).and_then(|()| gzip.finish()).map_err(|error| Failure::file(&path, &error))?;
    println!("{OUT}/{wasm}: {} bytes, {} gzipped (limit {limit})", bytes.len(), zipped.len());
    Ok(Published { wasm, size: zipped.len(), limit })
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).map(drop).map_err(|error| Failure::file(to, &error))
}

/// Copies the JavaScript that crates bring along and the bindings import: a folder a crate, named by a hash, so that
/// those of an earlier build must go.
fn publish_snippets(made: &Path, out: &Path) -> Result<(), Failure> {
    if out.exists() {
        fs::remove_dir_all(out).map_err(|error| Failure::file(out, &error))?;
    }
    let entries = |folder: &Path| {
        let read = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        read.map_err(|error| Failure::file(folder, &error))
    };
    for snippets in entries(made)? {
        let to = out.join(snippets.file_name());
        fs::create_dir_all(&to).map_err(|error| Failure::file(&to, &error))?;
        for file in entries(&snippets.path())? {
            let to = to.join(file.file_name());
            copy(&file.path(), &to)?;
        }
    }
    Ok(())
}
