//! A model that answers: a prompt or a conversation, continued by a [`Rollout`] of one sequence. The answer can be seen
//! while it is written and ended at any time, and what was said is a record that somebody can rate.

use serde::{Deserialize, Serialize};

use crate::data::record::Text;
use crate::data::trajectory::Truncated;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::Model;
use crate::rollout::{Completion, Generation, Prompt, Rollout, RolloutConfig, Sampling};
use crate::run::{ModelFiles, Weights};

/// Positions of a conversation at most, where the model has more: its keys and values are kept for all of them.
const POSITIONS: usize = 4096;

/// How an answer is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drawing {
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f32,
    /// How many of the most likely tokens remain; 0 for all.
    pub top_k: u32,
    /// The smallest set of most likely tokens that has this probability remains; 1 for all.
    pub top_p: f32,
    /// Tokens of the answer at most; fewer where the model has no positions left.
    pub max_new_tokens: usize,
    /// Of the random numbers: the same prompt is answered alike with the same seed.
    pub seed: u32,
}

impl Default for Drawing {
    /// As TBRM sees the policy: at temperature 1, from all tokens.
    fn default() -> Drawing {
        Drawing { temperature: 1.0, top_k: 0, top_p: 1.0, max_new_tokens: 128, seed: 0 }
    }
}

impl Drawing {
    fn sampling(&self) -> Sampling {
        let Drawing { temperature, top_k, top_p, .. } = *self;
        // The seed is the number of the random stream, so that plans serve every seed.
        Sampling { temperature, top_k, top_p, seed: 0 }
    }
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Without special tokens.
    pub text: String,
    /// How many tokens, an end token included.
    pub tokens: usize,
    /// Whether the model ended it, and not the limit or the listener.
    pub finished: bool,
    /// What to log of it, but for the reward; nothing where nothing was said.
    pub record: Option<Logged>,
}

/// The fields of a record: what was asked and answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Logged {
    /// As it was given.
    pub prompt: Text,
    /// The answer's text: its end token is appended when it is read.
    pub completion: String,
    /// Whether it has no end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// A model on a device, to be talked to.
pub struct Chat {
    gpu: Gpu,
    files: ModelFiles,
    model: Model,
    rollout: Option<Rollout>,
}

impl Chat {
    /// Puts the model on the device.
    ///
    /// # Errors
    /// As [`Weights::load`].
    pub fn open(gpu: &Gpu, files: ModelFiles, weights: &Weights) -> Result<Chat> {
        let positions = files.config.max_position_embeddings.min(POSITIONS);
        let model = weights.load(gpu, &files.config, positions)?;
        Ok(Chat { gpu: gpu.clone(), files, model, rollout: None })
    }

    /// The model without its weights.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model alone: what generation needs beside it is given back.
    pub(crate) fn into_model(self) -> Model {
        self.model
    }

    /// Begins to answer; messages go through the model's chat template.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] where the prompt is empty, of messages without a template, or leaves no room for an answer;
    /// else as [`Rollout::new`].
    pub fn reply(&mut self, prompt: &Text, drawing: &Drawing) -> Result<Reply<'_>> {
        let tokens = self.files.encoder(None, Truncated::Keep)?.prompt(prompt);
        let tokens = tokens.map_err(|what| {
            Error::new(ErrorKind::Data, what, "ask something, in other words").at("prompt")
        })?;
        let max_new = self.room(tokens.len(), drawing)?;
        self.make_room(tokens.len() + max_new - 1, 1, drawing.sampling())?;
        let asked = vec![Prompt { tokens, stream: drawing.seed, max_new }];
        let rollout = self.rollout.as_mut().expect("made above");
        Ok(Reply { files: &self.files, prompt: prompt.clone(), generation: rollout.begin(asked)? })
    }

    /// Continues every prompt, given as tokens, with the random stream of its place.
    ///
    /// # Errors
    /// As [`Chat::reply`] and [`Generation::next`].
    pub async fn continue_all(&mut self, prompts: &[Vec<u32>], drawing: &Drawing) -> Result<Vec<Completion>> {
        let mut asked = Vec::with_capacity(prompts.len());
        for (tokens, i) in prompts.iter().zip(0..) {
            let max_new = self.room(tokens.len(), drawing)?;
            asked.push(Prompt { tokens: tokens.clone(), stream: drawing.seed.wrapping_add(i), max_new });
        }
        let needed = asked.iter().map(|prompt| prompt.tokens.len() + prompt.max_new - 1).max().unwrap_or(1);
        self.make_room(needed, prompts.len(), drawing.sampling())?;
        self.rollout.as_mut().expect("made above").generate(&asked, |_| {}).await
    }

    /// New tokens behind a prompt of `tokens` tokens.
    fn room(&self, tokens: usize, drawing: &Drawing) -> Result<usize> {
        let positions = self.model.positions();
        if drawing.max_new_tokens == 0 {
            return Err(Error::new(ErrorKind::Config, "an answer of 0 tokens", "allow at least one"));
        }
        // The last new token is never an input, so it needs no position.
        match drawing.max_new_tokens.min((positions + 1).saturating_sub(tokens)) {
            0 => Err(Error::new(
                ErrorKind::Data,
                format!("{tokens} tokens leave no room for an answer in the model's {positions} positions"),
                "shorten the prompt, or begin a new conversation",
            )),
            room => Ok(room),
        }
    }

    /// Makes the rollout anew where it is too small or draws otherwise.
    fn make_room(&mut self, needed: usize, slots: usize, sampling: Sampling) -> Result<()> {
        let serves = |rollout: &Rollout| {
            let config = rollout.config();
            config.capacity >= needed && config.slots == slots && config.sampling == sampling
        };
        if self.rollout.as_ref().is_some_and(serves) {
            return Ok(());
        }
        // The old one's memory is given back before the new one's is taken. Twice what is needed: a conversation grows.
        self.rollout = None;
        let capacity = needed.next_power_of_two().min(self.model.positions());
        let config = RolloutConfig {
            slots,
            capacity,
            sampling,
            stops: self.files.config.eos_token_id.clone(),
            logit_scale: 1.0,
        };
        self.rollout = Some(Rollout::new(&self.gpu, &self.model, config)?);
        Ok(())
    }
}

/// An answer that is being written. To end it early, take [`Reply::answer`] before its end.
pub struct Reply<'a> {
    files: &'a ModelFiles,
    prompt: Text,
    generation: Generation<'a>,
}

impl Reply<'_> {
    /// Draws a few more tokens: the whole text so far, but for a character that lacks some of its bytes. `None` when the
    /// answer has ended.
    ///
    /// # Errors
    /// As [`Generation::next`].
    pub async fn next(&mut self) -> Result<Option<String>> {
        if self.generation.next().await?.is_none() {
            return Ok(None);
        }
        let text = self.text()?;
        Ok(Some(text.trim_end_matches(char::REPLACEMENT_CHARACTER).to_owned()))
    }

    /// What has been said.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] where the tokens are no text.
    pub fn answer(self) -> Result<Answer> {
        let (text, said) = (self.text()?, &self.generation.completions()[0]);
        let (tokens, finished) = (said.tokens.len(), said.finished);
        let logged = Logged { prompt: self.prompt, completion: text.clone(), truncated: !finished };
        // An end without a text is an answer, a text without an end too; neither is none.
        let record = (finished || !text.is_empty()).then_some(logged);
        Ok(Answer { text, tokens, finished, record })
    }

    fn text(&self) -> Result<String> {
        self.files.tokenizer.decode(&self.generation.completions()[0].tokens, false)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use pollster::block_on;
    use serde_json::json;

    use super::*;
    use crate::data::record::{Needs, Record};
    use crate::data::tokenizer::Tokenizer;
    use crate::gpu::GpuOptions;
    use crate::model::ModelConfig;
    use crate::run::File;

    const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";

    /// A byte model of one layer, with weights so large that its answers depend on what was asked.
    pub(crate) fn model(positions: usize, seed: u64) -> Vec<File> {
        let tokenizer = Tokenizer::bytes().unwrap();
        let mut config = ModelConfig::preset("nano").unwrap();
        (config.hidden_size, config.intermediate_size, config.num_hidden_layers) = (16, 32, 1);
        (config.num_attention_heads, config.num_key_value_heads, config.head_dim) = (2, 1, 8);
        let mut config = config.fitted(&tokenizer, None).unwrap();
        (config.max_position_embeddings, config.initializer_range) = (positions, 0.5);
        let weights = config.fresh_weights(seed).unwrap();
        ModelFiles::fresh("m", config, tokenizer).with_weights(weights)
    }

    fn open(files: Vec<File>) -> Chat {
        let gpu = block_on(Gpu::open(&GpuOptions::default())).expect("these tests need an adapter");
        let shape = ModelFiles::parse("m", &files).unwrap();
        Chat::open(&gpu, shape, &Weights::take("m", files).unwrap()).unwrap()
    }

    fn plain(text: &str) -> Text {
        Text::Plain(text.to_owned())
    }

    /// What is said, and what was seen of it on the way.
    fn ask(chat: &mut Chat, prompt: &Text, drawing: &Drawing) -> (Answer, Vec<String>) {
        let mut reply = chat.reply(prompt, drawing).unwrap();
        let mut seen = Vec::new();
        while let Some(text) = block_on(reply.next()).unwrap() {
            seen.push(text);
        }
        (reply.answer().unwrap(), seen)
    }

    #[test]
    fn an_answer_grows_until_it_is_whole_and_a_seed_gives_it_again() {
        let mut chat = open(model(64, 7));
        let drawing = Drawing { max_new_tokens: 40, ..Drawing::default() };
        let (answer, seen) = ask(&mut chat, &plain("hello"), &drawing);
        assert!(answer.tokens > 8 && seen.len() > 1, "{answer:?}: seen {} times", seen.len());
        assert!(seen.iter().all(|text| answer.text.starts_with(text)), "{seen:?} of {:?}", answer.text);
        assert_eq!(answer.finished, answer.tokens < 40);
        assert_eq!(ask(&mut chat, &plain("hello"), &drawing).0, answer);
        assert_ne!(ask(&mut chat, &plain("hello"), &Drawing { seed: 1, ..drawing }).0, answer);
        assert_ne!(ask(&mut chat, &plain("holla"), &drawing).0, answer);
    }

    #[test]
    fn an_answer_that_is_ended_early_is_a_truncated_record_and_the_next_is_whole() {
        let mut chat = open(model(64, 7));
        let drawing = Drawing { max_new_tokens: 40, ..Drawing::default() };
        let whole = ask(&mut chat, &plain("hello"), &drawing).0;
        let (prompt, mut nothing) = (plain("hello"), true);
        let mut reply = chat.reply(&prompt, &drawing).unwrap();
        nothing &= block_on(reply.next()).unwrap().is_some();
        let part = reply.answer().unwrap();
        assert!(nothing && part.tokens < whole.tokens && !part.finished, "{part:?}");
        assert!(part.record.unwrap().truncated);
        assert_eq!(ask(&mut chat, &prompt, &drawing).0, whole);
        let unsaid = chat.reply(&prompt, &drawing).unwrap().answer().unwrap();
        assert_eq!((unsaid.tokens, unsaid.record), (0, None));
    }

    #[test]
    fn what_is_logged_is_a_record_once_it_has_a_reward() {
        let messages = json!([{"role": "user", "content": "a"}]);
        for (prompt, truncated) in [(json!("a"), false), (messages, true)] {
            let text = Text::parse("prompt", prompt.clone()).unwrap();
            let logged = Logged { prompt: text, completion: "b".into(), truncated };
            let mut line = serde_json::to_value(&logged).unwrap();
            assert_eq!((&line["prompt"], line["truncated"].as_bool()), (&prompt, truncated.then_some(true)));
            line["reward"] = json!(-1);
            let record = Record::parse(1, &line.to_string(), Needs::Reward).unwrap();
            assert_eq!((record.prompt, record.truncated), (logged.prompt, truncated));
        }
    }

    #[test]
    fn a_conversation_goes_through_the_template() {
        let mut files = model(64, 7);
        files.push(("chat_template.jinja".into(), TEMPLATE.into()));
        let mut chat = open(files);
        let drawing = Drawing { max_new_tokens: 8, ..Drawing::default() };
        let talk = Text::parse("prompt", json!([{"role": "user", "content": "hi"}])).unwrap();
        let rendered = plain("user:hi;");
        assert_eq!(ask(&mut chat, &talk, &drawing).0.text, ask(&mut chat, &rendered, &drawing).0.text);
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        let mut chat = open(model(16, 7));
        let mut refused = |prompt: &Text, drawing: &Drawing| {
            chat.reply(prompt, drawing).err().expect("refused").to_string()
        };
        let drawing = Drawing::default();
        let talk = Text::parse("prompt", json!([{"role": "user", "content": "hi"}])).unwrap();
        assert!(refused(&talk, &drawing).contains("no chat template"));
        assert!(refused(&plain(&"x".repeat(17)), &drawing).contains("no room"));
        assert!(refused(&plain(""), &drawing).contains("no tokens"));
        assert!(refused(&plain("x"), &Drawing { max_new_tokens: 0, ..drawing }).contains("0 tokens"));
        assert!(refused(&plain("x"), &Drawing { temperature: -1.0, ..drawing }).contains("temperature"));
        // Sixteen positions: the sixteenth token can still be followed by one.
        let (answer, _) = ask(&mut chat, &plain(&"x".repeat(16)), &drawing);
        assert_eq!(answer.tokens, 1);
    }
}
