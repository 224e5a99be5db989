//! A record as token ids: what the model is given, and the actions it is scored on.

use std::sync::Arc;

use serde_json::Value;

use super::chat::ChatTemplate;
use super::record::{Record, Rejection, Text};
use super::tokenizer::Tokenizer;
use crate::model::ModelConfig;
use crate::{Error, ErrorKind, Result};

/// A tokenized record: `tokens[..prompt_len]` is the prompt, the rest are the actions, end token included.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// The record's file; empty where it is of none.
    pub file: Arc<str>,
    /// The record's line, from 1.
    pub line: usize,
    /// The record's own name.
    pub id: Option<Value>,
    /// Tokens of the prompt; at least 1.
    pub prompt_len: usize,
    /// Prompt and completion; longer than `prompt_len`.
    pub tokens: Vec<u32>,
    /// Whether the completion was cut off, so that no end token was appended.
    pub truncated: bool,
    /// The record's reward.
    pub reward: Option<f64>,
    /// Multiplies the loss of this trajectory; 0 for a truncated one under [`Truncated::Mask`].
    pub weight: f64,
    /// Names the prompt that several rollouts share.
    pub group: Option<String>,
    /// Of a pair: whether it is the better completion.
    pub preferred: Option<bool>,
    /// Log-prob of each action under the policy that wrote the completion.
    pub logps: Option<Vec<f32>>,
    /// V* of the prompt, where it was estimated beforehand.
    pub v_star: Option<f64>,
}

impl Trajectory {
    /// The trajectory of `tokens`, of weight 1, and nothing else known of it.
    pub fn new(prompt_len: usize, tokens: Vec<u32>) -> Trajectory {
        Trajectory {
            file: Arc::default(),
            line: 1,
            id: None,
            prompt_len,
            tokens,
            truncated: false,
            reward: None,
            weight: 1.0,
            group: None,
            preferred: None,
            logps: None,
            v_star: None,
        }
    }

    /// Actions: tokens of the completion, end token included.
    pub fn num_actions(&self) -> usize {
        self.tokens.len() - self.prompt_len
    }

    /// The record's place, for messages: `FILE:LINE`.
    pub fn place(&self) -> String {
        place(&self.file, self.line)
    }
}

/// A record's place, for messages.
pub(crate) fn place(file: &str, line: usize) -> String {
    if file.is_empty() { format!("line {line}") } else { format!("{file}:{line}") }
}

/// What happens to completions without an end (`truncated` among a run's settings).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Truncated {
    /// They are trained on like any other.
    #[default]
    Keep,
    /// Their weight is 0.
    Mask,
}

/// Turns records into trajectories for one model.
#[derive(Clone, Copy, Debug)]
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    chat: Option<&'a ChatTemplate>,
    eos: &'a [u32],
    max_length: usize,
    truncated: Truncated,
}

impl<'a> Encoder<'a> {
    /// `max_length` limits prompt, completion and end token together; by default it is the model's
    /// number of positions, and it cannot be above it. A longer record is invalid: it is never cut, since a completion
    /// cut short would carry a reward that it did not earn.
    ///
    /// Errors where the tokenizer and the model disagree, or the limit is no use.
    pub fn new(
        tokenizer: &'a Tokenizer,
        chat: Option<&'a ChatTemplate>,
        config: &'a ModelConfig,
        max_length: Option<usize>,
        truncated: Truncated,
    ) -> Result<Self> {
        tokenizer.check(config)?;
        let positions = config.max_position_embeddings;
        let max_length = max_length.unwrap_or(positions);
        if max_length > positions || max_length < 2 {
            let what =
                format!("`max_length` {max_length} is not between 2 and the model's {positions} positions");
            return Err(Error::new(ErrorKind::Config, what, "leave `max_length` out, or lower it"));
        }
        Ok(Encoder { tokenizer, chat, eos: &config.eos_token_id, max_length, truncated })
    }

    /// The tokens of a prompt. Text gets the special tokens of the tokenizer's post-processor; messages get those
    /// that the chat template writes and no others, as in transformers' `apply_chat_template`.
    pub fn prompt(&self, prompt: &Text) -> Result<Vec<u32>, String> {
        let tokens = match prompt {
            Text::Plain(text) => self.tokenizer.encode_prompt(text),
            Text::Messages(messages) => {
                let text = self.chat()?.render(messages, true).map_err(|e| e.what)?;
                self.tokenizer.encode_continuation(&text)
            }
        };
        let tokens = tokens.map_err(|e| e.what)?;
        if tokens.is_empty() { Err("the prompt has no tokens".into()) } else { Ok(tokens) }
    }

    /// The trajectory of a record that has a completion; `file` is the name of the record's file.
    pub fn trajectory(&self, file: &str, record: &Record) -> Result<Trajectory, Rejection> {
        let built = match &record.completion {
            Some(completion) => self.build(record, "completion", completion),
            None => Err((Some("completion"), "is missing".into())),
        };
        self.named(file, record, built)
    }

    /// The two trajectories of a record that has a pair, the better first, with the rewards 1 and 0.
    pub fn pair(&self, file: &str, record: &Record) -> Result<[Trajectory; 2], Rejection> {
        let side = |field: &'static str, text: &Option<Text>, better: bool| {
            let built = match text {
                Some(text) => self.build(record, field, text),
                None => Err((Some(field), "is missing".into())),
            };
            let reward = Some(f64::from(u8::from(better)));
            let of_pair = |t| Trajectory { preferred: Some(better), reward, logps: None, ..t };
            self.named(file, record, built.map(of_pair))
        };
        Ok([side("chosen", &record.chosen, true)?, side("rejected", &record.rejected, false)?])
    }

    fn named(
        &self,
        file: &str,
        record: &Record,
        built: Result<Trajectory, (Option<&'static str>, String)>,
    ) -> Result<Trajectory, Rejection> {
        let named = |trajectory| Trajectory { file: file.into(), ..trajectory };
        built.map(named).map_err(|(field, reason)| Rejection {
            file: file.to_owned(),
            line: record.line,
            field: field.map(str::to_owned),
            reason,
            raw: String::new(),
        })
    }

    /// The prompt of `record` with the completion `text`, which stands in `field`.
    fn build(
        &self,
        record: &Record,
        field: &'static str,
        text: &Text,
    ) -> Result<Trajectory, (Option<&'static str>, String)> {
        let mut tokens = self.prompt(&record.prompt).map_err(|e| (Some("prompt"), e))?;
        let prompt_len = tokens.len();
        let completion = |e: String| (Some(field), e);
        let actions = match (text, &record.prompt) {
            (Text::Plain(text), _) => self.tokenizer.encode_continuation(text),
            (Text::Messages(answer), Text::Messages(prompt)) => {
                let text = self.chat().and_then(|c| c.completion(prompt, answer).map_err(|e| e.what));
                self.tokenizer.encode_continuation(&text.map_err(completion)?)
            }
            (Text::Messages(_), Text::Plain(_)) => {
                return Err(completion("is messages, but the prompt is text".into()));
            }
        };
        tokens.extend(actions.map_err(|e| completion(e.what))?);
        let ended = tokens[prompt_len..].last().is_some_and(|t| self.eos.contains(t));
        if !ended && !record.truncated {
            let eos = self.eos.first();
            tokens.push(*eos.ok_or_else(|| {
                (None, "the model's config.json has no eos_token_id to end completions with".into())
            })?);
        }
        if tokens.len() == prompt_len {
            return Err((Some("truncated"), "is true, but the completion has no tokens".into()));
        }
        if tokens.len() > self.max_length {
            let reason =
                format!("the record has {} tokens, above the limit of {}", tokens.len(), self.max_length);
            return Err((None, reason));
        }
        let actions = tokens.len() - prompt_len;
        if let Some(logps) = record.logps.as_ref().filter(|logps| logps.len() != actions) {
            let reason = format!(
                "has {} numbers, and the completion has {actions} tokens, its end token included",
                logps.len()
            );
            return Err((Some("logps"), reason));
        }
        let masked = record.truncated && self.truncated == Truncated::Mask;
        Ok(Trajectory {
            line: record.line,
            id: record.id.clone(),
            truncated: record.truncated,
            reward: record.reward,
            weight: if masked { 0.0 } else { record.weight },
            group: record.group.clone(),
            logps: record.logps.as_ref().map(|logps| logps.iter().map(|&l| l as f32).collect()),
            ..Trajectory::new(prompt_len, tokens)
        })
    }

    fn chat(&self) -> Result<&'a ChatTemplate, String> {
        self.chat.ok_or_else(|| "is messages, but the model has no chat template".to_owned())
    }
}

// Not in browsers: there the page brings the engine of chat templates.
#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;
    use crate::data::record::Needs;

    const CHAT: &str = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|endoftext|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

    fn config() -> ModelConfig {
        let mut config = ModelConfig::preset("tiny").unwrap();
        (config.eos_token_id, config.max_position_embeddings) = (vec![256, 10], 40);
        config
    }

    fn build(line: &str, config: &ModelConfig, truncated: Truncated) -> Result<Trajectory, String> {
        let tokenizer = Tokenizer::bytes().unwrap();
        let chat = ChatTemplate::new(CHAT, None, None).unwrap();
        let encoder = Encoder::new(&tokenizer, Some(&chat), config, None, truncated).unwrap();
        let record = Record::parse(3, line, Needs::Completion).unwrap();
        encoder.trajectory("f", &record).map_err(|r| r.error().what)
    }

    #[test]
    fn an_end_token_is_appended_where_there_is_none() {
        for (completion, truncated, want) in [
            ("yo", false, &[121, 111, 256][..]),
            ("yo<|endoftext|>", false, &[121, 111, 256]),
            ("yo\\n", false, &[121, 111, 10]),
            ("yo", true, &[121, 111]),
            ("", false, &[256]),
        ] {
            let line = format!(
                r#"{{"prompt": "hi", "completion": "{completion}", "truncated": {truncated}, "reward": 1}}"#
            );
            let t = build(&line, &config(), Truncated::Keep).unwrap();
            assert_eq!((&t.tokens[..2], &t.tokens[2..]), (&[104, 105][..], want), "{line}");
            assert_eq!((t.prompt_len, t.num_actions(), t.truncated), (2, want.len(), truncated));
        }
    }

    #[test]
    fn messages_are_split_where_the_generation_prompt_ends() {
        let line = r#"{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}"#;
        let t = build(line, &config(), Truncated::Keep).unwrap();
        let tokenizer = Tokenizer::bytes().unwrap();
        assert_eq!(
            tokenizer.decode(&t.tokens[..t.prompt_len], true).unwrap(),
            "[user]a<|endoftext|>[assistant]"
        );
        assert_eq!(t.tokens[t.prompt_len..], [98, 256]);
    }

    #[test]
    fn a_pair_is_two_trajectories_and_the_better_comes_first() {
        let tokenizer = Tokenizer::bytes().unwrap();
        let config = config();
        let encoder = Encoder::new(&tokenizer, None, &config, None, Truncated::Keep).unwrap();
        let line = r#"{"prompt": "hi", "chosen": "yo", "rejected": "no!", "weight": 2}"#;
        let record = Record::parse(3, line, Needs::Pair).unwrap();
        let [better, worse] = encoder.pair("f", &record).unwrap();
        assert_eq!(
            (&better.tokens[2..], &worse.tokens[2..]),
            (&[121, 111, 256][..], &[110, 111, 33, 256][..])
        );
        assert_eq!((better.preferred, better.reward, better.weight), (Some(true), Some(1.0), 2.0));
        assert_eq!((worse.preferred, worse.reward, worse.line), (Some(false), Some(0.0), 3));
        let alone = Record::parse(3, r#"{"prompt": "a", "completion": "b"}"#, Needs::Completion).unwrap();
        assert_eq!(encoder.pair("f", &alone).unwrap_err().field.as_deref(), Some("chosen"));
    }

    #[test]
    fn behaviour_log_probs_are_one_for_each_token_and_the_end() {
        let line = r#"{"prompt": "hi", "completion": "yo", "logps": [-1, -0.5, -2]}"#;
        assert_eq!(build(line, &config(), Truncated::Keep).unwrap().logps, Some(vec![-1.0, -0.5, -2.0]));
        let line = r#"{"prompt": "hi", "completion": "yo", "logps": [-1, -0.5]}"#;
        assert_eq!(
            build(line, &config(), Truncated::Keep).unwrap_err(),
            "f:3: field \"logps\": has 2 numbers, and the completion has 3 tokens, its end token included"
        );
    }

    #[test]
    fn truncated_records_can_be_masked() {
        let line = r#"{"prompt": "hi", "completion": "yo", "truncated": true, "weight": 2}"#;
        assert_eq!(build(line, &config(), Truncated::Keep).unwrap().weight, 2.0);
        assert_eq!(build(line, &config(), Truncated::Mask).unwrap().weight, 0.0);
    }

    #[test]
    fn what_does_not_fit_is_an_error_with_its_line() {
        let fits = format!(r#"{{"prompt": "hi", "completion": "{}"}}"#, "x".repeat(37));
        assert_eq!(build(&fits, &config(), Truncated::Keep).unwrap().tokens.len(), 40);
        let long = format!(r#"{{"prompt": "hi", "completion": "{}"}}"#, "x".repeat(38));
        assert_eq!(
            build(&long, &config(), Truncated::Keep).unwrap_err(),
            "f:3: the record has 41 tokens, above the limit of 40"
        );
        let mut endless = config();
        endless.eos_token_id.clear();
        assert!(build(&fits, &endless, Truncated::Keep).unwrap_err().contains("no eos_token_id"));
    }

    #[test]
    fn a_limit_above_the_positions_is_refused() {
        let (tokenizer, config) = (Tokenizer::bytes().unwrap(), config());
        let new = |n| Encoder::new(&tokenizer, None, &config, Some(n), Truncated::Keep);
        assert!(new(40).is_ok() && new(41).is_err() && new(1).is_err());
        let messages = Text::Messages(vec![]);
        assert!(new(40).unwrap().prompt(&messages).unwrap_err().contains("no chat template"));
    }
}
