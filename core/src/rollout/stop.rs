//! Text that ends a completion. A completion keeps its tokens as they were drawn, up to and including the one that completes
//! the text: nothing is tokenized again, so that what is trained on is what was sampled. Its text ends before the stop.

use crate::data::tokenizer::Tokenizer;
use crate::error::{Error, ErrorKind, Result};

/// Tokens that a window has beyond one for each byte of the longest stop: some stand for no text of their own.
const SPARE: usize = 8;

/// Texts that end a completion where the first of them appears.
#[derive(Clone, Debug)]
pub struct StopText {
    tokenizer: Tokenizer,
    texts: Vec<String>,
    window: usize, // tokens that are looked at together
}

impl StopText {
    /// Stops at any of `texts`, as `tokenizer` writes them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where one of them is empty.
    pub fn new(tokenizer: &Tokenizer, texts: &[String]) -> Result<StopText> {
        if texts.iter().any(String::is_empty) {
            return Err(Error::new(
                ErrorKind::Config,
                "`stop` is no text",
                "give the text that ends a completion",
            ));
        }
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        Ok(StopText { tokenizer: tokenizer.clone(), texts: texts.to_vec(), window: longest + SPARE })
    }

    /// How many of `tokens` there are when a stop is first complete, where the first `seen` of them complete none. It hangs
    /// on those tokens alone, not on how many came behind them before anybody looked.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`].
    pub(super) fn end(&self, tokens: &[u32], seen: usize) -> Result<Option<usize>> {
        for end in seen + 1..=tokens.len() {
            let text = self.tokenizer.decode(&tokens[end.saturating_sub(self.window)..end], false)?;
            if self.texts.iter().any(|stop| text.contains(stop)) {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// The text of a completion's tokens, up to where the first stop begins.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`].
    pub fn text(&self, tokens: &[u32]) -> Result<String> {
        let mut text = self.tokenizer.decode(tokens, false)?;
        let end = self.texts.iter().filter_map(|stop| text.find(stop)).min();
        text.truncate(end.unwrap_or(text.len()));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(texts: &[&str]) -> StopText {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        StopText::new(&Tokenizer::bytes().unwrap(), &texts).unwrap()
    }

    fn bytes(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    #[test]
    fn the_first_stop_ends_tokens_behind_it_and_text_before_it() {
        let stop = stop(&["\n\n", "END", "é"]);
        for (text, tokens, kept) in [
            ("a\n\nb", 3, "a"),
            ("abENDé", 5, "ab"),
            ("xé", 3, "x"),
            ("END", 3, ""),
            (
                "a long text, longer than any window, before the END of it",
                51,
                "a long text, longer than any window, before the ",
            ),
        ] {
            let all = bytes(text);
            assert_eq!(stop.end(&all, 0).unwrap(), Some(tokens), "{text:?}");
            assert_eq!(stop.text(&all[..tokens]).unwrap(), kept);
            // Whenever somebody looks.
            for seen in 0..tokens {
                for len in tokens..=all.len() {
                    assert_eq!(stop.end(&all[..len], seen).unwrap(), Some(tokens), "{text:?} {seen} {len}");
                }
            }
            assert_eq!(stop.end(&all[..tokens - 1], 0).unwrap(), None);
        }
        assert_eq!(stop.end(&bytes("a\nb\nEN D"), 0).unwrap(), None);
        assert_eq!(stop.text(&bytes("no stop")).unwrap(), "no stop");
    }

    #[test]
    fn no_text_is_no_stop() {
        let error = StopText::new(&Tokenizer::bytes().unwrap(), &[String::new()]).unwrap_err();
        assert_eq!(error.what, "`stop` is no text");
    }
}
