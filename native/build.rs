//! Puts the built page into the binary: `www/dist` as a list of files. Where there is none, the list is empty.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let www = manifest.join("../www");
    let dist = www.join("dist");
    let mut files = Vec::new();
    if www.is_dir() {
        // Cargo takes a path that is missing for one that changed, and would build this crate anew each time.
        let _ = fs::create_dir_all(&dist);
        println!("cargo:rerun-if-changed={}", dist.display());
        list(&dist, "", &mut files)?;
    }
    // A build of the page that was cut short counts as none.
    if !files.iter().any(|(name, _)| name == "index.html") {
        files.clear();
    }
    files.sort();
    let mut text = String::from("&[\n");
    for (name, path) in files {
        text += &format!("    PageFile {{ name: {name:?}, bytes: include_bytes!({:?}) }},\n", path.display());
    }
    fs::write(out.join("page.rs"), text + "]\n")
}

/// Adds the files under `folder`, by their path from the page's root with `/` between.
fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            list(&path, &format!("{name}/"), files)?;
        } else {
            files.push((name, path));
        }
    }
    Ok(())
}
