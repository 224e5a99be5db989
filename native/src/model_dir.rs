//! A model directory as Hugging Face lays it out, read and written back.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tbrm_core::data::chat::ChatTemplate;
use tbrm_core::data::tokenizer::{Tokenizer, TokenizerConfig};
use tbrm_core::data::trajectory::{Encoder, Truncated};
use tbrm_core::model::ModelConfig;
use tbrm_core::{Error, ErrorKind, Gpu, Model, Result};

use crate::store::{DirWriter, read_file};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Files that go along unchanged with a trained model; only `tokenizer.json` must be there.
const COMPANIONS: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
];

/// Everything of a model directory but its weights, which [`ModelDir::weights`] reads.
pub struct ModelDir {
    /// Where it is.
    pub path: PathBuf,
    /// `config.json`.
    pub config: ModelConfig,
    /// `tokenizer.json`.
    pub tokenizer: Tokenizer,
    /// The chat template, where the model has one.
    pub chat: Option<ChatTemplate>,
    companions: Vec<(&'static str, Vec<u8>)>,
}

impl ModelDir {
    /// What will be the directory at `path`, of a fresh model without a chat template.
    pub fn fresh(path: &Path, config: ModelConfig, tokenizer: Tokenizer) -> ModelDir {
        let settings = TokenizerConfig::fresh_json(config.max_position_embeddings);
        let companions = vec![
            ("tokenizer.json", tokenizer.json().to_vec()),
            ("tokenizer_config.json", settings.into_bytes()),
        ];
        ModelDir { path: path.to_owned(), config, tokenizer, chat: None, companions }
    }

    /// Reads the directory at `path`, and checks that model and tokenizer fit each other.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] or [`ErrorKind::Tokenizer`] names the file; [`ErrorKind::Store`] when one cannot be read.
    pub fn read(path: &Path) -> Result<ModelDir> {
        if !path.is_dir() {
            return Err(not_a_model(format!("{}: no such directory", path.display())));
        }
        let within = |error: Error| error.at(path.display());
        let config = text(path, "config.json")?
            .ok_or_else(|| not_a_model(format!("{}: has no config.json", path.display())))?;
        let config = ModelConfig::parse(&config).map_err(within)?;
        let mut companions = Vec::new();
        for name in COMPANIONS {
            let file = path.join(name);
            if file.exists() {
                companions.push((name, read_file(&file)?));
            }
        }
        let Some((_, json)) = companions.iter().find(|(name, _)| *name == COMPANIONS[0]) else {
            let what = format!("{}: has no tokenizer.json", path.display());
            let help =
                "save the tokenizer as tokenizer.json (transformers: `save_pretrained` of a fast tokenizer)";
            return Err(Error::new(ErrorKind::Tokenizer, what, help));
        };
        let tokenizer = Tokenizer::from_json(json).map_err(within)?;
        tokenizer.check(&config).map_err(within)?;
        let settings = match text(path, "tokenizer_config.json")? {
            Some(json) => TokenizerConfig::parse(&json).map_err(within)?,
            None => TokenizerConfig::default(),
        };
        let template = text(path, "chat_template.jinja")?;
        let chat = ChatTemplate::of_model(&settings, template.as_deref()).map_err(within)?;
        Ok(ModelDir { path: path.to_owned(), config, tokenizer, chat, companions })
    }

    /// Turns records into this model's trajectories; see [`Encoder::new`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a `max_length` that is no use.
    pub fn encoder(&self, max_length: Option<usize>, truncated: Truncated) -> Result<Encoder<'_>> {
        Encoder::new(&self.tokenizer, self.chat.as_ref(), &self.config, max_length, truncated)
    }

    /// Reads the weights: `model.safetensors`, or the shards of `model.safetensors.index.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] when there are none, [`ErrorKind::Store`] when one cannot be read.
    pub fn weights(&self) -> Result<Weights> {
        Weights::read(&self.path)
    }

    /// Writes a model directory: `weights`, the bytes of a safetensors file, beside this one's other files.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub fn write(&self, weights: &[u8], writer: &mut DirWriter) -> Result<()> {
        writer.write("config.json", self.config.to_json().as_bytes())?;
        for (name, bytes) in &self.companions {
            writer.write(name, bytes)?;
        }
        writer.write(WEIGHTS, weights)
    }

    /// Says which keys of config.json nobody reads, where there are any: one line.
    pub fn warning(&self) -> Option<String> {
        let keys: Vec<&str> = self.config.extra.keys().map(String::as_str).collect();
        (!keys.is_empty())
            .then(|| format!("{}: config.json: not read, and kept: {}", self.path.display(), keys.join(", ")))
    }
}

/// The bytes of a model's weights.
pub struct Weights {
    dir: PathBuf,
    files: Vec<(String, Vec<u8>)>,
    index: Option<String>,
}

impl Weights {
    /// Reads the weights in the directory `dir`, a model's or a checkpoint's; see [`ModelDir::weights`].
    ///
    /// # Errors
    /// As [`ModelDir::weights`].
    pub fn read(dir: &Path) -> Result<Weights> {
        let single = dir.join(WEIGHTS);
        if single.exists() {
            let files = vec![(WEIGHTS.to_owned(), read_file(&single)?)];
            return Ok(Weights { dir: dir.to_owned(), files, index: None });
        }
        let Some(index) = text(dir, INDEX)? else {
            return Err(not_a_model(format!("{}: has neither {WEIGHTS} nor {INDEX}", dir.display())));
        };
        let mut files = Vec::new();
        for name in shards(&index).map_err(|error| error.at(dir.join(INDEX).display()))? {
            let bytes = read_file(&dir.join(&name))?;
            files.push((name, bytes));
        }
        Ok(Weights { dir: dir.to_owned(), files, index: Some(index) })
    }

    /// Puts the weights on the device, for sequences of up to `positions` tokens.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self, gpu: &Gpu, config: &ModelConfig, positions: usize) -> Result<Model> {
        let files: Vec<(&str, &[u8])> =
            self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        Model::load(gpu, config, positions, &files, self.index.as_deref()).map_err(|error| match error.kind {
            ErrorKind::Model => error.at(self.dir.display()),
            _ => error,
        })
    }

    /// Hexadecimal SHA-256 of all files' bytes, shard after shard.
    pub fn sha256(&self) -> String {
        sha256(self.files.iter().map(|(_, bytes)| bytes.as_slice()))
    }
}

/// Hexadecimal SHA-256 of `parts`, one after the other.
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The shards' names, each once, in order. One that would lead out of the directory is refused.
fn shards(index: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let damaged = |what: String| Error::new(ErrorKind::Model, what, "restore the model's files");
    let index: Index = serde_json::from_str(index).map_err(|e| damaged(format!("malformed: {e}")))?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    match names.iter().find(|name| Path::new(name.as_str()).file_name() != Some(name.as_ref())) {
        Some(name) => Err(damaged(format!("{name} is not the name of a file beside it"))),
        None => Ok(names),
    }
}

/// The text of a file, where there is one.
fn text(dir: &Path, name: &str) -> Result<Option<String>> {
    let path = dir.join(name);
    if !fs::exists(&path).unwrap_or(true) {
        return Ok(None);
    }
    let not_text = |_| not_a_model(format!("{}: not UTF-8", path.display()));
    String::from_utf8(read_file(&path)?).map(Some).map_err(not_text)
}

fn not_a_model(what: String) -> Error {
    let help = "give a Hugging Face model directory: config.json, tokenizer.json and model.safetensors";
    Error::new(ErrorKind::Model, what, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_listed_once_and_stay_inside() {
        let index = r#"{"metadata": {}, "weight_map": {"b": "2.safetensors", "a": "1.safetensors", "c": "2.safetensors"}}"#;
        assert_eq!(shards(index).unwrap(), ["1.safetensors", "2.safetensors"]);
        for name in ["../x", "/etc/passwd", "a/b", "", ".."] {
            let index = format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#);
            assert!(shards(&index).is_err(), "{name}");
        }
        assert!(shards("{}").is_err());
    }

    #[test]
    fn the_hash_is_sha256() {
        // FIPS 180-2, appendix B.1.
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256([b"ab".as_slice(), b"c"]), want);
    }
}
