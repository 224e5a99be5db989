//! A model as Hugging Face lays it out: its files by name, read and written back.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::File;
use crate::data::chat::ChatTemplate;
use crate::data::tokenizer::{Tokenizer, TokenizerConfig};
use crate::data::trajectory::{Encoder, Truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::{Model, ModelConfig};

/// The weights, in one file.
pub const WEIGHTS: &str = "model.safetensors";
/// Lists the shards, where there are several files.
pub const INDEX: &str = "model.safetensors.index.json";
/// The model's shape.
pub const CONFIG: &str = "config.json";

/// Files that go along unchanged with a trained model; only `tokenizer.json` must be there.
pub const COMPANIONS: [&str; 9] = [
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

/// A model without its weights.
#[derive(Clone)]
pub struct ModelFiles {
    /// How it is called in messages: its directory's path.
    pub name: String,
    /// `config.json`.
    pub config: ModelConfig,
    /// `tokenizer.json`.
    pub tokenizer: Tokenizer,
    /// The chat template, where the model has one.
    pub chat: Option<ChatTemplate>,
    companions: Vec<File>,
}

impl ModelFiles {
    /// A fresh model without a chat template.
    pub fn fresh(name: &str, config: ModelConfig, tokenizer: Tokenizer) -> ModelFiles {
        let settings = TokenizerConfig::fresh_json(config.max_position_embeddings);
        let companions = vec![
            (COMPANIONS[0].to_owned(), tokenizer.json().to_vec()),
            (COMPANIONS[1].to_owned(), settings.into_bytes()),
        ];
        ModelFiles { name: name.to_owned(), config, tokenizer, chat: None, companions }
    }

    /// Reads `files`, of which those that are neither [`CONFIG`] nor [`COMPANIONS`] are passed over, and checks that
    /// model and tokenizer fit each other.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] or [`ErrorKind::Tokenizer`] names the file.
    pub fn parse(name: &str, files: &[File]) -> Result<ModelFiles> {
        let within = |error: Error| error.at(name);
        let config =
            text(name, files, CONFIG)?.ok_or_else(|| not_a_model(format!("{name}: has no {CONFIG}")))?;
        let config = ModelConfig::parse(config).map_err(within)?;
        let Some(json) = find(files, COMPANIONS[0]) else {
            let what = format!("{name}: has no {}", COMPANIONS[0]);
            let help =
                "save the tokenizer as tokenizer.json (transformers: `save_pretrained` of a fast tokenizer)";
            return Err(Error::new(ErrorKind::Tokenizer, what, help));
        };
        let tokenizer = Tokenizer::from_json(json).map_err(within)?;
        tokenizer.check(&config).map_err(within)?;
        let settings = match text(name, files, "tokenizer_config.json")? {
            Some(json) => TokenizerConfig::parse(json).map_err(within)?,
            None => TokenizerConfig::default(),
        };
        let template = text(name, files, "chat_template.jinja")?;
        let chat = ChatTemplate::of_model(&settings, template).map_err(within)?;
        let companions = COMPANIONS
            .iter()
            .filter_map(|companion| Some(((*companion).to_owned(), find(files, companion)?.to_vec())))
            .collect();
        Ok(ModelFiles { name: name.to_owned(), config, tokenizer, chat, companions })
    }

    /// Turns records into this model's trajectories; see [`Encoder::new`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a `max_length` that is no use.
    pub fn encoder(&self, max_length: Option<usize>, truncated: Truncated) -> Result<Encoder<'_>> {
        Encoder::new(&self.tokenizer, self.chat.as_ref(), &self.config, max_length, truncated)
    }

    /// The files of a model directory with `weights`, the bytes of a safetensors file; these come last.
    pub fn with_weights(&self, weights: Vec<u8>) -> Vec<File> {
        let config = (CONFIG.to_owned(), self.config.to_json().into_bytes());
        let weights = (WEIGHTS.to_owned(), weights);
        [config].into_iter().chain(self.companions.iter().cloned()).chain([weights]).collect()
    }

    /// Says which keys of config.json nobody reads, where there are any: one line.
    pub fn warning(&self) -> Option<String> {
        let keys: Vec<&str> = self.config.extra.keys().map(String::as_str).collect();
        (!keys.is_empty())
            .then(|| format!("{}: {CONFIG}: not read, and kept: {}", self.name, keys.join(", ")))
    }
}

/// The bytes of a model's weights.
pub struct Weights {
    name: String,
    files: Vec<File>,
    index: Option<String>,
}

impl Weights {
    /// Takes [`WEIGHTS`], or the shards that [`INDEX`] lists, out of `files` of the model called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] when there are none, or one is missing.
    pub fn take(name: &str, files: Vec<File>) -> Result<Weights> {
        let wanted = match (find(&files, WEIGHTS), text(name, &files, INDEX)?) {
            (Some(_), _) => vec![WEIGHTS.to_owned()],
            (None, Some(index)) => shards(index).map_err(|error| error.at(format!("{name}/{INDEX}")))?,
            (None, None) => return Err(not_a_model(format!("{name}: has neither {WEIGHTS} nor {INDEX}"))),
        };
        if let Some(missing) = wanted.iter().find(|shard| find(&files, shard).is_none()) {
            return Err(not_a_model(format!("{name}: {INDEX} lists {missing}, which is missing")));
        }
        let sharded = find(&files, WEIGHTS).is_none();
        let index = if sharded { text(name, &files, INDEX)?.map(str::to_owned) } else { None };
        let mut files: Vec<File> = files.into_iter().filter(|(file, _)| wanted.contains(file)).collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Weights { name: name.to_owned(), files, index })
    }

    /// Puts the weights on the device, for sequences of up to `positions` tokens.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self, gpu: &Gpu, config: &ModelConfig, positions: usize) -> Result<Model> {
        let files: Vec<(&str, &[u8])> =
            self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        Model::load(gpu, config, positions, &files, self.index.as_deref()).map_err(|error| match error.kind {
            ErrorKind::Model => error.at(&self.name),
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

/// The names of the shards that the text of [`INDEX`] lists, each once, in order.
///
/// # Errors
/// [`ErrorKind::Model`] where it is damaged, or a name would lead out of the directory.
pub fn shards(index: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let damaged = |what: String| Error::new(ErrorKind::Model, what, "restore the model's files");
    let index: Index = serde_json::from_str(index).map_err(|e| damaged(format!("malformed: {e}")))?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    let stays = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':']);
    match names.iter().find(|name| !stays(name)) {
        Some(name) => Err(damaged(format!("{name} is not the name of a file beside it"))),
        None => Ok(names),
    }
}

fn find<'a>(files: &'a [File], name: &str) -> Option<&'a [u8]> {
    files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.as_slice())
}

/// The text of a file, where there is one.
fn text<'a>(model: &str, files: &'a [File], name: &str) -> Result<Option<&'a str>> {
    let not_text = |_| not_a_model(format!("{model}/{name}: not UTF-8"));
    find(files, name).map(std::str::from_utf8).transpose().map_err(not_text)
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
    fn weights_are_one_file_or_the_shards_that_the_index_lists() {
        let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
        let index = br#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#;
        let sharded = vec![
            file("2.safetensors", b"c"),
            file(INDEX, index),
            file(CONFIG, b"{}"),
            file("1.safetensors", b"ab"),
        ];
        let of = |files: &[File]| Weights::take("m", files.to_vec());
        // FIPS 180-2, appendix B.1: in the shards' order, and of nothing but them.
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(&sharded).unwrap().sha256(), want);
        assert_eq!(of(&[file(WEIGHTS, b"abc"), file(INDEX, index)]).unwrap().sha256(), want);
        let what = |files: &[File]| of(files).err().expect("refused").what;
        assert_eq!(what(&sharded[1..]), format!("m: {INDEX} lists 2.safetensors, which is missing"));
        assert_eq!(what(&[]), format!("m: has neither {WEIGHTS} nor {INDEX}"));
    }
}
