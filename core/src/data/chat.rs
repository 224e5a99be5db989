//! Conversations as text: a model's chat template, rendered as transformers renders it.

use serde_json::json;

use super::record::Message;
use super::tokenizer::TokenizerConfig;
use crate::platform::Template;
use crate::{Error, ErrorKind, Result};

/// A chat template with the special tokens that it may write.
///
/// As in transformers, blocks are trimmed (`trim_blocks`, `lstrip_blocks`), loops may `break` and `continue`, `tojson`
/// escapes nothing, and `raise_exception` fails with its text. Python's string and dict methods that templates use
/// are there: `strip`, `lstrip`, `rstrip`, `startswith`, `endswith`, `split`, `replace`, `upper`, `lower`, `title`,
/// `capitalize`, `items`, `keys`, `values`, `get`. There is no clock.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    template: Template,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

impl ChatTemplate {
    /// Compiles a template.
    pub fn new(template: &str, bos_token: Option<String>, eos_token: Option<String>) -> Result<Self> {
        let template = Template::new(template).map_err(bad_template)?;
        Ok(ChatTemplate { template, bos_token, eos_token })
    }

    /// The template of a model directory: the text of `chat_template.jinja` where there is one, else the one of
    /// `tokenizer_config.json`; `None` where there is neither.
    pub fn of_model(config: &TokenizerConfig, jinja: Option<&str>) -> Result<Option<Self>> {
        let template = jinja.or(config.chat_template.as_deref());
        template.map(|t| ChatTemplate::new(t, config.bos_token.clone(), config.eos_token.clone())).transpose()
    }

    /// The text of `messages`; with `add_generation_prompt`, up to where the assistant's answer begins.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let values = json!({
            "messages": messages,
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self.bos_token.as_deref().unwrap_or(""),
            "eos_token": self.eos_token.as_deref().unwrap_or(""),
        });
        self.template.render(&values).map_err(bad_template)
    }

    /// The text that `completion` adds after `prompt` with its generation prompt.
    ///
    /// An error where the template rewrites what stands before the answer, so that there is no such text.
    pub fn completion(&self, prompt: &[Message], completion: &[Message]) -> Result<String> {
        let before = self.render(prompt, true)?;
        let whole = self.render(&[prompt, completion].concat(), false)?;
        whole.strip_prefix(&before).map(str::to_owned).ok_or_else(|| {
            Error::new(
                ErrorKind::Tokenizer,
                "the chat template's text of the whole conversation does not begin with its text of the prompt",
                "give the prompt and the completion as text, already rendered",
            )
        })
    }
}

/// What the template's engine says, with its place where it tells one: ` (line 1): ...`.
fn bad_template(told: String) -> Error {
    Error::new(
        ErrorKind::Tokenizer,
        format!("chat template{told}"),
        "use messages that the model's chat template accepts, or give text",
    )
}

// Not in browsers: there the page brings the engine.
#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    /// A template in the style of Llama 3's, with what such templates lean on.
    const TEMPLATE: &str = include_str!("../../tests/fixtures/chat_template.jinja");

    fn messages(list: &[(&str, &str)]) -> Vec<Message> {
        let one = |&(role, content): &(&str, &str)| Message {
            role: role.into(),
            content: content.into(),
            extra: Default::default(),
        };
        list.iter().map(one).collect()
    }

    fn render(template: &str, list: &[(&str, &str)]) -> Result<String> {
        ChatTemplate::new(template, Some("<s>".into()), Some("</s>".into()))?.render(&messages(list), true)
    }

    #[test]
    fn a_conversation_renders_as_transformers_renders_it() {
        let got = render(
            TEMPLATE,
            &[("system", " be kind "), ("user", "1 < 2 & \"é\"?"), ("assistant", "yes\n"), ("user", "ok")],
        )
        .unwrap();
        // The output of transformers' own `render_jinja_template` for the same template and messages.
        assert_eq!(got, include_str!("../../tests/fixtures/chat_rendered.txt"));
    }

    #[test]
    fn a_completion_is_what_follows_the_generation_prompt() {
        let t = ChatTemplate::new(TEMPLATE, Some("<s>".into()), Some("</s>".into())).unwrap();
        let got = t.completion(&messages(&[("user", "a")]), &messages(&[("assistant", "b")])).unwrap();
        assert_eq!(got, "b</s>\n");
        let rewrites = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}";
        let t = ChatTemplate::new(rewrites, None, None).unwrap();
        let error = t.completion(&messages(&[("user", "a")]), &messages(&[("assistant", "b")])).unwrap_err();
        assert!(error.what.contains("does not begin"), "{}", error.what);
    }

    #[test]
    fn templates_fail_with_their_own_words() {
        assert!(render(TEMPLATE, &[("robot", "x")]).unwrap_err().what.contains("Unknown role: robot"));
        assert!(render("{% for %}", &[]).unwrap_err().what.starts_with("chat template (line 1)"));
    }
}
