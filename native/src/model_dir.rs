//! Model directories as Hugging Face lays them out.

use std::fs;
use std::path::Path;

use tbrm_core::run::files::{COMPANIONS, CONFIG, INDEX, WEIGHTS, shards};
use tbrm_core::run::{File, ModelFiles, Weights};
use tbrm_core::{Error, ErrorKind, Result};

use crate::store::read_file;

/// Reads everything of the directory at `path` but its weights, and checks that model and tokenizer fit each other.
///
/// # Errors
/// As [`ModelFiles::parse`]; [`ErrorKind::Store`] when a file cannot be read.
pub fn read(path: &Path) -> Result<ModelFiles> {
    let name = path.display().to_string();
    if !path.is_dir() {
        let help = "give a Hugging Face model directory: config.json, tokenizer.json and model.safetensors";
        return Err(Error::new(ErrorKind::Model, format!("{name}: no such directory"), help));
    }
    let names = [CONFIG].into_iter().chain(COMPANIONS);
    ModelFiles::parse(&name, &names.filter_map(|name| find(path, name)).collect::<Result<Vec<_>>>()?)
}

/// Reads the weights in the directory at `path`: one file, or the shards that its index lists.
///
/// # Errors
/// As [`Weights::take`]; [`ErrorKind::Store`] when a file cannot be read.
pub fn weights(path: &Path) -> Result<Weights> {
    Weights::take(&path.display().to_string(), weight_files(path)?)
}

fn weight_files(path: &Path) -> Result<Vec<File>> {
    let mut files: Vec<File> = find(path, WEIGHTS).into_iter().collect::<Result<_>>()?;
    if files.is_empty()
        && let Some(index) = find(path, INDEX).transpose()?
    {
        if let Ok(text) = std::str::from_utf8(&index.1) {
            let shards = shards(text).map_err(|error| error.at(path.join(INDEX).display()))?;
            files = shards.iter().filter_map(|shard| find(path, shard)).collect::<Result<_>>()?;
        }
        files.push(index);
    }
    Ok(files)
}

/// All files of the directory at `path` that make up the model, its weights included.
///
/// # Errors
/// As [`read`] and [`weights`], where a file cannot be read.
pub fn files(path: &Path) -> Result<Vec<File>> {
    if !path.is_dir() {
        return read(path).map(|_| Vec::new());
    }
    let names = [CONFIG].into_iter().chain(COMPANIONS);
    let mut files = names.filter_map(|name| find(path, name)).collect::<Result<Vec<_>>>()?;
    files.extend(weight_files(path)?);
    Ok(files)
}

/// A file of the directory, where it is there.
fn find(dir: &Path, name: &str) -> Option<Result<File>> {
    let path = dir.join(name);
    // One that cannot be looked at is not one that is missing: reading it says why.
    let there = fs::exists(&path).unwrap_or(true);
    there.then(|| Ok((name.to_owned(), read_file(&path)?)))
}
