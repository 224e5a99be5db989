//! What is written around a question.

use super::record::Text;
use crate::{Error, ErrorKind, Result};

/// How a question becomes a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptStyle {
    /// As it is.
    #[default]
    Plain,
    /// `qwen25-math-cot` of the Qwen2.5-Math evaluation: ChatML, and the request to reason and to box the answer.
    QwenMath,
}

impl PromptStyle {
    /// `prompt` in this style.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for messages in any other style than their own.
    pub fn apply(self, prompt: &Text) -> Result<Text> {
        match (self, prompt) {
            (PromptStyle::Plain, prompt) => Ok(prompt.clone()),
            (PromptStyle::QwenMath, Text::Plain(question)) => Ok(Text::Plain(format!(
                "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{{}}.<|im_end|>\n\
                 <|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
            ))),
            (PromptStyle::QwenMath, Text::Messages(_)) => Err(Error::new(
                ErrorKind::Data,
                "a prompt of messages has the style of the model's chat template",
                "use --prompt-style plain",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_is_written_around_the_question() {
        let question = Text::Plain("1+1?".into());
        assert_eq!(PromptStyle::Plain.apply(&question).unwrap(), question);
        let Text::Plain(prompt) = PromptStyle::QwenMath.apply(&question).unwrap() else { panic!() };
        assert!(prompt.ends_with("<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"), "{prompt}");
        assert!(prompt.contains("within \\boxed{}.<|im_end|>"), "{prompt}");
        assert!(PromptStyle::QwenMath.apply(&Text::Messages(Vec::new())).is_err());
    }
}
