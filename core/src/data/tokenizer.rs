//! Text to token ids and back, through the `tokenizers` library, with the same regex engine on every target.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder,
};

use crate::model::ModelConfig;
use crate::{Error, ErrorKind, Result};

/// The end-of-sequence token of the tokenizers made here.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// A tokenizer, as a `tokenizer.json` describes it. Truncation and padding that the file asks for are turned off:
/// they would drop text, or add tokens, in silence.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: Vec<u8>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|e| bad_tokenizer(format!("tokenizer.json: {}", one_line(&e.to_string()))))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| bad_tokenizer(format!("tokenizer.json: {e}")))?;
        Ok(Tokenizer { inner, json: bytes.to_vec() })
    }

    /// The byte tokenizer: id `b` is byte `b`, id 256 is [`END_OF_TEXT`]. Any text round-trips.
    pub fn bytes() -> Result<Self> {
        let vocab: serde_json::Map<String, Value> =
            byte_alphabet().iter().enumerate().map(|(byte, c)| (c.to_string(), json!(byte))).collect();
        let json = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [{
                "id": 256, "content": END_OF_TEXT, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            }],
            "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocab, "merges": [],
            },
        });
        Tokenizer::from_json(format!("{json:#}\n").as_bytes())
    }

    /// Trains a byte-level BPE on `texts`. Words are split as GPT-2 splits them, and digits stand alone, which suits
    /// arithmetic. [`END_OF_TEXT`] is id 0. A pair must occur twice to be merged, so that a small corpus may give fewer
    /// than `vocab_size` tokens: see [`Tokenizer::len`].
    ///
    /// Errors where `vocab_size` has no room for the 256 bytes and the end token, or the corpus is empty.
    pub fn train<'a>(texts: impl Iterator<Item = &'a str> + Send, vocab_size: usize) -> Result<Self> {
        if vocab_size < 257 {
            let what = format!("a vocabulary of {vocab_size} is too small for 256 bytes and {END_OF_TEXT}");
            return Err(Error::new(ErrorKind::Config, what, "ask for a vocabulary size of at least 257"));
        }
        let mut texts = texts.filter(|t| !t.is_empty()).peekable();
        if texts.peek().is_none() {
            return Err(Error::new(
                ErrorKind::Data,
                "the tokenizer's corpus is empty",
                "give a corpus with text in it",
            ));
        }
        let byte_level = ByteLevel::new(false, false, true);
        let split = Sequence::new(vec![Digits::new(true).into(), byte_level.into()]);
        let failed = |e: tokenizers::Error| bad_tokenizer(format!("training the tokenizer: {e}"));
        let mut tokenizer = TokenizerBuilder::<
            BPE,
            NormalizerWrapper,
            PreTokenizerWrapper,
            PostProcessorWrapper,
            DecoderWrapper,
        >::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(split.into()))
        .with_post_processor(None)
        .with_decoder(Some(byte_level.into()))
        .build()
        .map_err(failed)?;
        let mut trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(vocab_size)
            .min_frequency(2)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
            .build();
        tokenizer.train(&mut trainer, texts).map_err(failed)?;
        Tokenizer::from_json(tokenizer.to_string(true).map_err(failed)?.as_bytes())
    }

    /// The `tokenizer.json`, unchanged where it was read.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// Tokens, special ones included: one more than the highest id.
    pub fn len(&self) -> usize {
        self.inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The text of a token as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The ids of a prompt, with the special tokens that the tokenizer's post-processor adds.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        self.encode(text, true)
    }

    /// The ids of a text that continues another, or that a chat template wrote: no special tokens are added; those
    /// that the text spells out are recognised.
    pub fn encode_continuation(&self, text: &str) -> Result<Vec<u32>> {
        self.encode(text, false)
    }

    fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, special);
        Ok(encoding.map_err(|e| bad_tokenizer(format!("tokenizing: {e}")))?.get_ids().to_vec())
    }

    /// The text of `ids`. `special` keeps special tokens in it.
    pub fn decode(&self, ids: &[u32], special: bool) -> Result<String> {
        self.inner.decode(ids, !special).map_err(|e| bad_tokenizer(format!("decoding: {e}")))
    }

    /// The text that each of `ids` adds to the ones before it; together they are [`Tokenizer::decode`] of all.
    /// A character that several tokens share the bytes of is given to the last of them; bytes that never become a
    /// character show as U+FFFD on the last token.
    pub fn token_texts(&self, ids: &[u32]) -> Result<Vec<String>> {
        let whole = self.decode(ids, true)?;
        let mut stream = self.inner.decode_stream(false);
        let mut texts = Vec::with_capacity(ids.len());
        let mut len = 0;
        for &id in ids {
            let step = stream.step(id).map_err(|e| bad_tokenizer(format!("decoding: {e}")))?;
            len += step.as_ref().map_or(0, String::len);
            texts.push(step.unwrap_or_default());
        }
        if let (Some(last), Some(rest)) = (texts.last_mut(), whole.get(len..)) {
            last.push_str(rest);
        }
        Ok(texts)
    }

    /// Checks that the model has a row for every token, and that its end tokens exist here. A model may have more rows
    /// than there are tokens: vocabularies are often padded.
    pub fn check(&self, config: &ModelConfig) -> Result<()> {
        let help = "use the tokenizer.json that belongs to the model";
        if self.len() > config.vocab_size {
            let what = format!(
                "the tokenizer has {} tokens, the model's vocabulary {}",
                self.len(),
                config.vocab_size
            );
            return Err(Error::new(ErrorKind::Tokenizer, what, help));
        }
        match config.eos_token_id.iter().find(|id| self.token(**id).is_none()) {
            Some(id) => Err(Error::new(
                ErrorKind::Tokenizer,
                format!("the tokenizer has no token {id}, the config's eos_token_id"),
                help,
            )),
            None => Ok(()),
        }
    }
}

/// The parts of a `tokenizer_config.json` that training reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenizerConfig {
    /// The text of the begin-of-sequence token.
    pub bos_token: Option<String>,
    /// The text of the end-of-sequence token.
    pub eos_token: Option<String>,
    /// The chat template: the only one, or the one named `default`.
    pub chat_template: Option<String>,
}

impl TokenizerConfig {
    /// Reads a `tokenizer_config.json`.
    pub fn parse(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            bos_token: Option<Token>,
            eos_token: Option<Token>,
            chat_template: Option<Templates>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Token {
            Text(String),
            Added { content: String },
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Templates {
            One(String),
            Named(Vec<Named>),
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
            template: String,
        }
        let file: File =
            serde_json::from_str(json).map_err(|e| bad_tokenizer(format!("tokenizer_config.json: {e}")))?;
        let text = |token| match token {
            Token::Text(content) | Token::Added { content } => content,
        };
        let chat_template = match file.chat_template {
            None => None,
            Some(Templates::One(template)) => Some(template),
            Some(Templates::Named(list)) => {
                let default = list.into_iter().find(|t| t.name == "default");
                let missing =
                    || bad_tokenizer("tokenizer_config.json: chat_template has none named `default`".into());
                Some(default.ok_or_else(missing)?.template)
            }
        };
        Ok(TokenizerConfig {
            bos_token: file.bos_token.map(text),
            eos_token: file.eos_token.map(text),
            chat_template,
        })
    }

    /// The `tokenizer_config.json` beside a tokenizer made by [`Tokenizer::bytes`] or [`Tokenizer::train`], for
    /// transformers.
    pub fn fresh_json(max_positions: usize) -> String {
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "model_max_length": max_positions,
            "clean_up_tokenization_spaces": false,
        });
        format!("{config:#}\n")
    }
}

/// The character that stands for each byte in byte-level vocabularies: itself where it prints, else from U+0100 on.
/// Source: `bytes_to_unicode` of GPT-2's encoder.
fn byte_alphabet() -> [char; 256] {
    let prints: [Range<u32>; 3] = [0x21..0x7f, 0xa1..0xad, 0xae..0x100];
    let mut next = 0x100..;
    std::array::from_fn(|byte| {
        let byte = byte as u32;
        let code = if prints.iter().any(|r| r.contains(&byte)) { byte } else { next.next().unwrap_or(byte) };
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    })
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or("").to_owned()
}

fn bad_tokenizer(what: String) -> Error {
    Error::new(ErrorKind::Tokenizer, what, "use the tokenizer files that belong to the model")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 5] =
        ["", "a b\n\n 12 + 30 = 42\t", "naïve café, 東京 🦀", "\u{feff}\r\n\0", "  <|endoftext|> "];
    const CORPUS: &str = "the cat sat on the mat, the dog sat on the log; 12 and 12 make 24\n";

    #[test]
    fn any_text_survives_bytes() {
        let t = Tokenizer::bytes().unwrap();
        assert_eq!(t.len(), 257);
        for text in TEXTS {
            let ids = t.encode_prompt(text).unwrap();
            if !text.contains(END_OF_TEXT) {
                assert_eq!(ids, text.bytes().map(u32::from).collect::<Vec<_>>(), "{text:?}");
            }
            assert_eq!(t.decode(&ids, true).unwrap(), text);
        }
        assert_eq!(t.encode_continuation("<|endoftext|>").unwrap(), [256]);
        assert_eq!(t.decode(&[104, 256], false).unwrap(), "h");
    }

    #[test]
    fn a_trained_vocabulary_merges_words_and_splits_digits() {
        let t = Tokenizer::train([CORPUS, CORPUS].into_iter(), 300).unwrap();
        assert!(t.len() > 257 && t.len() <= 300);
        assert_eq!(t.id(END_OF_TEXT), Some(0));
        assert_eq!(t.encode_prompt(" the").unwrap().len(), 1);
        assert_eq!(t.encode_prompt("1224").unwrap().len(), 4);
        for text in TEXTS {
            assert_eq!(t.decode(&t.encode_prompt(text).unwrap(), true).unwrap(), text);
        }
        let again = Tokenizer::train([CORPUS, CORPUS].into_iter(), 300).unwrap();
        assert_eq!(t.json(), again.json());
    }

    #[test]
    fn training_refuses_what_cannot_work() {
        assert!(Tokenizer::train(["a"].into_iter(), 256).unwrap_err().what.contains("256"));
        assert!(Tokenizer::train([""].into_iter(), 300).unwrap_err().what.contains("corpus is empty"));
    }

    #[test]
    fn token_texts_add_up_to_the_text() {
        let t = Tokenizer::bytes().unwrap();
        let ids = t.encode_prompt("é🦀x<|endoftext|>").unwrap();
        let texts = t.token_texts(&ids).unwrap();
        assert_eq!(texts, ["", "é", "", "", "", "🦀", "x", END_OF_TEXT]);
        let cut = t.token_texts(&ids[..4]).unwrap();
        assert_eq!(cut.len(), 4);
        assert_eq!(cut.concat(), t.decode(&ids[..4], true).unwrap());
        assert!(cut[3].contains('\u{fffd}'), "{cut:?}");
        assert!(t.token_texts(&[]).unwrap().is_empty());
    }

    #[test]
    fn truncation_and_padding_in_the_file_are_ignored() {
        let mut json: Value = serde_json::from_slice(Tokenizer::bytes().unwrap().json()).unwrap();
        json["truncation"] =
            json!({"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0});
        json["padding"] = json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 256,
            "pad_type_id": 0, "pad_token": END_OF_TEXT});
        let t = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
        assert_eq!(t.encode_prompt("abcde").unwrap().len(), 5);
    }

    #[test]
    fn the_post_processor_marks_prompts_only() {
        let mut json: Value = serde_json::from_slice(Tokenizer::bytes().unwrap().json()).unwrap();
        json["post_processor"] = json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {END_OF_TEXT: {"id": END_OF_TEXT, "ids": [256], "tokens": [END_OF_TEXT]}}});
        let t = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
        assert_eq!(t.encode_prompt("a").unwrap(), [256, 97]);
        assert_eq!(t.encode_continuation("a").unwrap(), [97]);
    }

    #[test]
    fn vocabularies_must_agree() {
        let t = Tokenizer::bytes().unwrap();
        let mut config = ModelConfig::preset("tiny").unwrap();
        t.check(&config).unwrap();
        config.eos_token_id = vec![256, 300];
        assert!(t.check(&config).unwrap_err().what.contains("no token 300"));
        config.vocab_size = 256;
        assert!(t.check(&config).unwrap_err().what.contains("257 tokens, the model's vocabulary 256"));
    }

    #[test]
    fn damaged_files_are_errors() {
        let good = Tokenizer::bytes().unwrap();
        let damaged = ["", "{}", "[]", "{\"model\": {}}", "{\"model\": null}"].map(str::as_bytes);
        for bytes in damaged.into_iter().chain([&good.json()[..good.json().len() / 2]]) {
            assert_eq!(Tokenizer::from_json(bytes).unwrap_err().kind, ErrorKind::Tokenizer);
        }
        for part in ["pre_tokenizer", "post_processor", "decoder", "normalizer"] {
            let mut json: Value = serde_json::from_slice(good.json()).unwrap();
            json[part] = json!({"add_prefix_space": 7});
            assert!(Tokenizer::from_json(json.to_string().as_bytes()).is_err(), "{part}");
        }
    }

    #[test]
    fn tokenizer_config_is_read_in_its_spellings() {
        let one = TokenizerConfig::parse(
            r#"{"bos_token": null, "eos_token": {"content": "</s>", "lstrip": false}, "chat_template": "x"}"#,
        )
        .unwrap();
        assert_eq!(
            one,
            TokenizerConfig {
                bos_token: None,
                eos_token: Some("</s>".into()),
                chat_template: Some("x".into())
            }
        );
        let many = TokenizerConfig::parse(r#"{"bos_token": "<s>", "chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#).unwrap();
        assert_eq!((many.bos_token.as_deref(), many.chat_template.as_deref()), (Some("<s>"), Some("d")));
        assert!(TokenizerConfig::parse(r#"{"chat_template": [{"name": "rag", "template": "t"}]}"#).is_err());
        assert_eq!(
            TokenizerConfig::parse(&TokenizerConfig::fresh_json(64)).unwrap().eos_token.as_deref(),
            Some(END_OF_TEXT)
        );
    }
}
