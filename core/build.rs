//! Turns `shaders/*.wgsl` into `kernels.rs`; what it does is in `build/`.

#[path = "build/mod.rs"]
mod shaders;

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

fn main() -> io::Result<()> {
    let root = Path::new("../shaders");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);

    let mut sources = shaders::Sources::new();
    read(root, "", &mut sources)?;
    read(&root.join("shared"), "shared/", &mut sources)?;

    let output = shaders::compile(&sources).unwrap_or_else(|failures| {
        for failure in &failures {
            eprintln!("{failure}\n");
        }
        eprintln!("shader errors: {}", failures.len());
        process::exit(1);
    });
    for (name, text) in &output.sources {
        fs::write(out.join(name), text)?;
    }
    fs::write(out.join("kernels.rs"), output.rust)
}

/// Adds the shaders of one folder under their path from `shaders/`.
fn read(folder: &Path, prefix: &str, sources: &mut shaders::Sources) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", folder.display());
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wgsl") {
            println!("cargo:rerun-if-changed={}", path.display());
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            sources.insert(format!("{prefix}{name}"), fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
