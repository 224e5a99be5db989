//! A server that speaks as much of OpenAI's protocol as a test needs, and fails as it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) body: Value,
    /// The whole head, in small letters but for the key.
    pub(crate) key: Option<String>,
}

/// What comes back.
pub(crate) enum Reply {
    /// A status, lines of the head, and the body.
    Says(u16, &'static str, String),
    /// The connection ends in the middle of the body.
    Half(String),
    /// The connection ends without an answer.
    Nothing,
}

/// A server on a port of its own, until the process ends.
pub(crate) struct OpenAi {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl OpenAi {
    /// Answers as `answer` says, which is told how many requests came before.
    pub(crate) fn start(answer: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, list) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, list) = (Arc::clone(&answer), Arc::clone(&list));
                // A client that was killed ends its thread.
                thread::spawn(move || serve(stream.ok()?, &*answer, &list));
            }
        });
        OpenAi { url, asked }
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// Requests of one connection, one after the other.
fn serve(
    stream: TcpStream,
    answer: &(impl Fn(&Asked, usize) -> Reply + ?Sized),
    list: &Mutex<Vec<Asked>>,
) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut first = String::new();
        lines.read_line(&mut first).ok()?;
        let path = first.strip_prefix("POST ")?.split(' ').next()?.to_owned();
        let (mut length, mut key) = (0, None);
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "authorization" => key = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).ok()?;
        let asked = Asked { path, body: serde_json::from_slice(&body).ok()?, key };
        let before = {
            let mut list = list.lock().expect("no panic");
            list.push(asked.clone());
            list.len() - 1
        };
        let (status, head, body, sent) = match answer(&asked, before) {
            Reply::Says(status, head, body) => (status, head, body.clone(), body.len()),
            Reply::Half(body) => (200, "", body.clone(), body.len() / 2),
            Reply::Nothing => return None,
        };
        let head = format!("HTTP/1.1 {status} Status\r\n{head}Content-Length: {}\r\n\r\n", body.len());
        out.write_all(head.as_bytes()).ok()?;
        out.write_all(&body.as_bytes()[..sent]).ok()?;
        if sent < body.len() {
            return None;
        }
    }
}

/// A completion of a prompt of text.
pub(crate) fn text(text: &str, finish: &str, logps: &[f64]) -> Reply {
    let logprobs = if logps.is_empty() { Value::Null } else { json!({"token_logprobs": logps}) };
    let choice = json!({"index": 0, "text": text, "finish_reason": finish, "logprobs": logprobs});
    json(json!({"object": "text_completion", "choices": [choice], "usage": {"completion_tokens": 3}}))
}

/// An answer to messages.
pub(crate) fn message(text: &str) -> Reply {
    let message = json!({"role": "assistant", "content": text});
    json(json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}))
}

/// A refusal.
pub(crate) fn error(status: u16, head: &'static str, what: &str) -> Reply {
    Reply::Says(status, head, json!({"error": {"message": what}}).to_string())
}

fn json(body: Value) -> Reply {
    Reply::Says(200, "Content-Type: application/json\r\n", body.to_string())
}
