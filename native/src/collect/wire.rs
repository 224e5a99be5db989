//! What goes over the wire: OpenAI's completions and chat completions, as vLLM, llama.cpp and `transformers serve` speak
//! them.

use serde_json::{Map, Value, json};
use tbrm_core::data::{Message, Text};

/// How completions are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) model: String,
    pub(crate) max_tokens: usize,
    pub(crate) temperature: f64,
    pub(crate) top_p: f64,
    pub(crate) stop: Vec<String>,
    /// Whether log-probs are wanted.
    pub(crate) logps: bool,
    /// Fields that come last: null takes one out.
    pub(crate) fields: Map<String, Value>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// As a record has it: text after text, a message after messages.
    pub(crate) completion: Text,
    /// Whether the most tokens were reached.
    pub(crate) truncated: bool,
    /// Of the tokens that were drawn, where the server tells them.
    pub(crate) logps: Option<Vec<f64>>,
    /// Tokens that were drawn, where the server counts them.
    pub(crate) num_tokens: Option<u64>,
}

impl Answer {
    /// What a reward judges.
    pub(crate) fn text(&self) -> &str {
        match &self.completion {
            Text::Plain(text) => text,
            Text::Messages(messages) => messages.last().map_or("", |message| &message.content),
        }
    }
}

/// Where a prompt is asked, behind the server's `/v1`.
pub(crate) fn path(prompt: &Text) -> &'static str {
    match prompt {
        Text::Plain(_) => "completions",
        Text::Messages(_) => "chat/completions",
    }
}

impl Asking {
    /// The request for one completion of `prompt`.
    pub(crate) fn body(&self, prompt: &Text, seed: u64) -> Value {
        let (key, logprobs) = match prompt {
            Text::Plain(_) => ("prompt", json!(1)),
            Text::Messages(_) => ("messages", json!(true)),
        };
        let mut body = json!({
            "model": self.model,
            (key): prompt,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": seed,
        });
        if !self.stop.is_empty() {
            body["stop"] = json!(self.stop);
        }
        if self.logps {
            body["logprobs"] = logprobs;
        }
        let fields = body.as_object_mut().expect("made above");
        for (name, value) in &self.fields {
            match value {
                Value::Null => fields.shift_remove(name),
                value => fields.insert(name.clone(), value.clone()),
            };
        }
        body
    }
}

/// The answer in the body of a reply, or what is wrong with it.
pub(crate) fn answer(prompt: &Text, body: &Value) -> Result<Answer, String> {
    let choice = body["choices"].get(0).ok_or("it has no `choices`")?;
    let completion = match prompt {
        Text::Plain(_) => Text::Plain(choice["text"].as_str().ok_or("its choice has no `text`")?.to_owned()),
        Text::Messages(_) => Text::Messages(vec![message(&choice["message"])?]),
    };
    let truncated = match choice["finish_reason"].as_str() {
        Some("length") => true,
        Some("stop" | "eos" | "eos_token" | "stop_sequence") => false,
        Some(other) => return Err(format!("the completion ended by `{other}`")),
        // A completion that was cut short must not pass for one that ended.
        None => return Err("its choice has no `finish_reason`".into()),
    };
    let num_tokens = body["usage"]["completion_tokens"].as_u64();
    Ok(Answer { completion, truncated, logps: logps(&choice["logprobs"]), num_tokens })
}

fn message(value: &Value) -> Result<Message, String> {
    let content = match &value["content"] {
        Value::String(text) => text.clone(),
        // vLLM's way to say nothing.
        Value::Null if value["role"].is_string() => String::new(),
        _ => return Err("its choice has no `message` of text".into()),
    };
    // What the model thought stands apart; the chat template may write it.
    let thoughts = ["reasoning_content", "reasoning"].into_iter().filter_map(|name| {
        let text = value[name].as_str().filter(|text| !text.is_empty())?;
        Some((name.to_owned(), json!(text)))
    });
    Ok(Message { role: "assistant".into(), content, extra: thoughts.collect() })
}

/// Both shapes: a list of numbers, as completions have it, and a list of objects, as chat completions (and llama.cpp's
/// completions) have it.
fn logps(value: &Value) -> Option<Vec<f64>> {
    let finite = |value: &Value| value.as_f64().filter(|x| x.is_finite());
    match (value["token_logprobs"].as_array(), value["content"].as_array()) {
        (Some(list), _) => list.iter().map(finite).collect(),
        (None, Some(list)) => list.iter().map(|token| finite(&token["logprob"])).collect(),
        (None, None) => None,
    }
}

/// What a server says of an error: OpenAI's object, FastAPI's, or the text itself, of at most 300 characters.
pub(crate) fn complaint(body: &[u8]) -> String {
    const SHOWN: usize = 300;
    let text = String::from_utf8_lossy(body);
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let error = value.get("error").unwrap_or(&Value::Null);
    let said = [&error["message"], error, &value["message"], &value["detail"]];
    let said = said.into_iter().find_map(|value| value.as_str().map(str::to_owned));
    let said =
        said.or_else(|| value.get("detail").map(Value::to_string)).unwrap_or_else(|| text.into_owned());
    let said = said.trim();
    match said.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &said[..end]),
        None if said.is_empty() => "nothing".into(),
        None => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(fields: Value) -> Asking {
        let Value::Object(fields) = fields else { panic!("no object") };
        let stop = vec!["\n".to_owned()];
        Asking { model: "m".into(), max_tokens: 8, temperature: 0.5, top_p: 0.9, stop, logps: true, fields }
    }

    fn messages() -> Text {
        Text::parse("prompt", json!([{"role": "user", "content": "hi"}])).unwrap()
    }

    #[test]
    fn a_request_says_what_is_wanted() {
        let body = asking(json!({"top_k": 3, "seed": null})).body(&Text::Plain("2+2=".into()), 7);
        let want = json!({"model": "m", "prompt": "2+2=", "max_tokens": 8, "temperature": 0.5, "top_p": 0.9,
            "stop": ["\n"], "logprobs": 1, "top_k": 3});
        assert_eq!(body, want);
        let body = asking(json!({})).body(&messages(), 7);
        assert_eq!(body["messages"], json!([{"role": "user", "content": "hi"}]));
        assert_eq!((&body["logprobs"], &body["seed"]), (&json!(true), &json!(7)));
        assert_eq!((path(&messages()), path(&Text::Plain("a".into()))), ("chat/completions", "completions"));
    }

    #[test]
    fn answers_are_read_in_every_dialect() {
        let text = Text::Plain("p".into());
        let body = json!({"choices": [{"text": " 4", "finish_reason": "stop",
            "logprobs": {"tokens": [" 4", ""], "token_logprobs": [-0.5, -1]}}], "usage": {"completion_tokens": 2}});
        let want = Answer {
            completion: Text::Plain(" 4".into()),
            truncated: false,
            logps: Some(vec![-0.5, -1.0]),
            num_tokens: Some(2),
        };
        assert_eq!(answer(&text, &body), Ok(want));
        let body = json!({"choices": [{"text": "", "finish_reason": "length", "logprobs": {"content": [{"logprob": -2}]}}]});
        let got = answer(&text, &body).unwrap();
        assert_eq!((got.truncated, got.logps, got.num_tokens), (true, Some(vec![-2.0]), None));

        let said = json!({"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": []});
        let body = json!({"choices": [{"message": said, "finish_reason": "stop", "logprobs": null}]});
        let got = answer(&messages(), &body).unwrap();
        assert_eq!((got.text(), got.logps.as_ref()), ("", None));
        let want = json!([{"role": "assistant", "content": "", "reasoning_content": "hm"}]);
        assert_eq!(json!(got.completion), want);
    }

    #[test]
    fn nonsense_is_no_answer() {
        for (body, why) in [
            (json!([]), "no `choices`"),
            (json!({"choices": []}), "no `choices`"),
            (json!({"choices": [{"finish_reason": "stop"}]}), "no `text`"),
            (json!({"choices": [{"text": "a"}]}), "no `finish_reason`"),
            (json!({"choices": [{"text": "a", "finish_reason": "content_filter"}]}), "`content_filter`"),
        ] {
            assert!(answer(&Text::Plain("p".into()), &body).unwrap_err().contains(why), "{body}");
        }
        let body = json!({"choices": [{"text": "a", "finish_reason": "stop"}]});
        assert!(answer(&messages(), &body).unwrap_err().contains("`message`"));
        let body = json!({"choices": [{"text": "a", "finish_reason": "stop", "logprobs": {"token_logprobs": [null]}}]});
        assert_eq!(answer(&Text::Plain("p".into()), &body).unwrap().logps, None);
    }

    #[test]
    fn complaints_are_shown_in_short() {
        let long = "é".repeat(400);
        for (body, said) in [
            (r#"{"error": {"message": "too long", "code": 400}}"#, "too long"),
            (r#"{"error": "no such model"}"#, "no such model"),
            (r#"{"object": "error", "message": "m"}"#, "m"),
            (r#"{"detail": "Unexpected fields"}"#, "Unexpected fields"),
            (r#"{"detail": [{"msg": "x"}]}"#, r#"[{"msg":"x"}]"#),
            (" Bad Gateway\n", "Bad Gateway"),
            ("", "nothing"),
            (&long, &format!("{}…", "é".repeat(300))),
        ] {
            assert_eq!(complaint(body.as_bytes()), said);
        }
    }
}
