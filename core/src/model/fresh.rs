//! A fresh model: a shape, fitted to a tokenizer, and weights that are drawn.

use super::init::init_param;
use super::{ModelConfig, weights};
use crate::data::Tokenizer;
use crate::data::tokenizer::{END_OF_TEXT, TokenizerConfig};
use crate::{Error, ErrorKind, Result};

/// The longest sequence of a fresh model where nothing else is said.
pub const POSITIONS: usize = 1024;

impl ModelConfig {
    /// A preset's shape for text as bytes, with [`POSITIONS`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where no preset is called so.
    pub fn fresh(preset: &str) -> Result<(ModelConfig, Tokenizer)> {
        let tokenizer = Tokenizer::bytes()?;
        let mut config = ModelConfig::preset(preset)?.fitted(&tokenizer, None)?;
        config.max_position_embeddings = POSITIONS;
        Ok((config, tokenizer))
    }

    /// The bytes of a `model.safetensors` with random weights.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where the format refuses.
    pub fn fresh_weights(&self, seed: u64) -> Result<Vec<u8>> {
        let specs = self.params();
        let params: Vec<Vec<f32>> =
            specs.iter().map(|spec| init_param(spec, self.initializer_range, seed)).collect();
        let slices: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
        weights::save(&specs, &slices)
    }

    /// This shape with the vocabulary of `tokenizer`, and its special tokens: those that `names` (its
    /// tokenizer_config.json) names, since the ids of the config may belong to another tokenizer; without `names` the
    /// config's, where the tokenizer has them; and [`END_OF_TEXT`] where neither tells how a completion ends. Padding
    /// is the end token.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] where there is no such end token; [`ErrorKind::Model`] as [`ModelConfig::check`].
    pub fn fitted(mut self, tokenizer: &Tokenizer, names: Option<&TokenizerConfig>) -> Result<ModelConfig> {
        let known = |id: &u32| tokenizer.token(*id).is_some();
        let named = |name: &Option<String>| name.as_ref().and_then(|token| tokenizer.id(token));
        self.vocab_size = tokenizer.len();
        self.bos_token_id = match names {
            Some(names) => named(&names.bos_token),
            None => self.bos_token_id.filter(known),
        };
        if let Some(eos) = names.and_then(|names| named(&names.eos_token)) {
            self.eos_token_id = vec![eos];
        } else if self.eos_token_id.is_empty() || !self.eos_token_id.iter().all(known) {
            let eos = tokenizer.id(END_OF_TEXT).ok_or_else(|| {
                Error::new(
                    ErrorKind::Tokenizer,
                    "nothing tells the tokenizer's end-of-sequence token",
                    "put a tokenizer_config.json with `eos_token` beside tokenizer.json",
                )
            })?;
            self.eos_token_id = vec![eos];
        }
        self.pad_token_id = self.eos_token_id.first().copied();
        self.check()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bos: Option<&str>, eos: Option<&str>) -> TokenizerConfig {
        let owned = |token: Option<&str>| token.map(str::to_owned);
        TokenizerConfig { bos_token: owned(bos), eos_token: owned(eos), ..TokenizerConfig::default() }
    }

    /// The byte tokenizer, its end token renamed.
    fn without_end() -> Tokenizer {
        let json = String::from_utf8(Tokenizer::bytes().unwrap().json().to_vec()).unwrap();
        Tokenizer::from_json(json.replace(END_OF_TEXT, "<stop>").as_bytes()).unwrap()
    }

    #[test]
    fn vocabulary_and_special_tokens_are_the_tokenizers() {
        let preset = ModelConfig::preset("tiny").unwrap();
        let config = preset.fitted(&Tokenizer::bytes().unwrap(), None).unwrap();
        assert_eq!((config.vocab_size, config.bos_token_id), (257, None));
        assert_eq!((&config.eos_token_id[..], config.pad_token_id), (&[256][..], Some(256)));
    }

    #[test]
    fn the_tokenizers_own_file_counts_before_the_config() {
        let tokenizer = without_end();
        let mut config = ModelConfig::preset("tiny").unwrap();
        (config.bos_token_id, config.eos_token_id) = (Some(5), vec![7, 8]);
        let special = |config: &ModelConfig, names: Option<&TokenizerConfig>| {
            let fitted = config.clone().fitted(&tokenizer, names).unwrap();
            (fitted.bos_token_id, fitted.eos_token_id)
        };
        assert_eq!(special(&config, Some(&names(Some("a"), Some("<stop>")))), (Some(97), vec![256]));
        assert_eq!(special(&config, Some(&names(None, Some("<stop>")))), (None, vec![256]));
        assert_eq!(special(&config, None), (Some(5), vec![7, 8]));
    }

    #[test]
    fn an_end_is_never_guessed() {
        let mut config = ModelConfig::preset("tiny").unwrap();
        // Of another vocabulary.
        config.eos_token_id = vec![7, 1000];
        let error = config.fitted(&without_end(), Some(&names(None, Some("</s>")))).unwrap_err();
        assert!(error.what.contains("end-of-sequence"), "{error}");
    }
}
