//! Rollouts from a server into records: who is asked what, and what becomes of the answers.

pub(crate) mod client;
mod output;
mod pause;
pub(crate) mod wire;

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use pollster::block_on;
use serde_json::{Map, Value, json};
use tbrm_core::data::trajectory::Encoder;
use tbrm_core::data::{Needs, Record};
use tbrm_core::online::{Judged, Rewards};
use tbrm_core::reward::Asked;
use tbrm_core::rng::Stream;
use tbrm_core::{Error, ErrorKind, Result};

use crate::interrupt;
use client::{Client, Fault};
pub(crate) use output::{Found, Output};
use wire::{Answer, Asking};

/// Between two looks at whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(100);

/// One rollout of one prompt: what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// Of the prompt, among all.
    pub(crate) prompt: usize,
    /// Of the prompt's rollouts, from 0.
    pub(crate) rollout: usize,
}

/// What is collected, of whom, and how it is judged.
pub(crate) struct Collection<'a> {
    /// The file of the prompts, for messages and groups.
    pub(crate) file: String,
    pub(crate) prompts: Vec<Record>,
    pub(crate) rollouts: usize,
    pub(crate) asking: Asking,
    pub(crate) rewards: Option<Rewards>,
    pub(crate) client: Client,
    /// Of the model that is to be trained, where log-probs are kept.
    pub(crate) encoder: Option<Encoder<'a>>,
    pub(crate) seed: u64,
    /// Whether what fails for one question alone is an event, and not the end.
    pub(crate) tolerant: bool,
}

/// What happens while questions are asked.
pub(crate) enum Event {
    /// A record, ready to be written, and why it has no log-probs where they were asked for.
    Record(Value, Option<Lack>),
    /// Why there is none, and the completion where there was one.
    Failed(Question, Error, Option<String>),
    /// It ends early: so many requests are still under way, and waited for.
    Ending(usize),
}

/// Why a record has no log-probs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// The server tells none.
    Untold,
    /// It tells another number of them than the trained model has tokens.
    OtherTokens,
}

/// Counts over records, those of an earlier process included.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) records: usize,
    pub(crate) truncated: usize,
    pub(crate) with_logps: usize,
    pub(crate) rewarded: usize,
    reward: f64,
    reward_squared: f64,
    /// By prompt: the first completion, and whether there are others like it, and unlike it.
    completions: HashMap<u64, (u64, bool, bool)>,
}

impl Tally {
    pub(crate) fn add(&mut self, record: &Value) {
        self.records += 1;
        self.truncated += usize::from(record["truncated"] == json!(true));
        self.with_logps += usize::from(record["logps"].is_array());
        if let Some(reward) = record["reward"].as_f64() {
            self.rewarded += 1;
            self.reward += reward;
            self.reward_squared += reward * reward;
        }
        let hash = |value: &Value| BuildHasherDefault::<DefaultHasher>::default().hash_one(value.to_string());
        let completion = hash(&record["completion"]);
        let line = record["prompt_line"].as_u64().unwrap_or_default();
        match self.completions.get_mut(&line) {
            Some((first, like, unlike)) => *if *first == completion { like } else { unlike } = true,
            None => {
                self.completions.insert(line, (completion, false, false));
            }
        }
    }

    /// Whether some prompt has several completions, and none has two that differ.
    pub(crate) fn all_alike(&self) -> bool {
        let mut some = false;
        self.completions.values().all(|&(_, like, unlike)| {
            some |= like;
            !unlike
        }) && some
    }

    /// Mean and standard deviation of the rewards.
    pub(crate) fn reward(&self) -> Option<(f64, f64)> {
        let n = self.rewarded as f64;
        let mean = self.reward / n;
        (self.rewarded > 0).then(|| (mean, (self.reward_squared / n - mean * mean).max(0.0).sqrt()))
    }
}

impl Collection<'_> {
    /// The questions that `found` does not answer, prompt by prompt.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for a line that is not of these prompts.
    pub(crate) fn questions(&self, out: &Path, found: &Found) -> Result<Vec<Question>> {
        let by_line: HashMap<u64, usize> =
            self.prompts.iter().enumerate().map(|(i, record)| (record.line as u64, i)).collect();
        let prompts: Vec<Value> = self.prompts.iter().map(|record| json!(record.prompt)).collect();
        let mut answered = HashSet::new();
        for (i, line) in found.lines.iter().enumerate() {
            let wrong = |what: &str| {
                let what = format!("{}:{}: {what}", out.display(), i + 1);
                let help = "give the prompts with which the file was begun, or start again";
                Err(Error::new(ErrorKind::Data, what, help))
            };
            let number = |name: &str| line[name].as_u64();
            let (Some(of), Some(rollout)) = (number("prompt_line"), number("rollout")) else {
                return wrong("no record of `tbrm collect`: it has no `prompt_line` and `rollout`");
            };
            let Some(&prompt) = by_line.get(&of).filter(|&&prompt| prompts[prompt] == line["prompt"]) else {
                return wrong(&format!("its prompt is not that of {}:{of}", self.file));
            };
            if self.rollouts > 1 && line["group"].is_null() {
                return wrong("has no `group`, since it was to be the prompt's only completion");
            }
            answered.insert(Question { prompt, rollout: rollout as usize });
        }
        let all = (0..self.prompts.len())
            .flat_map(|prompt| (0..self.rollouts).map(move |rollout| Question { prompt, rollout }));
        Ok(all.filter(|question| !answered.contains(question)).collect())
    }

    /// Asks every question, `concurrency` at a time, and hands each answer on as it comes. Ends early, once what is under
    /// way has come, when Ctrl-C is pressed or `event` fails.
    ///
    /// # Errors
    /// Those of `event`, and [`ErrorKind::Data`] where the server answers nobody.
    pub(crate) fn ask_all(
        &self,
        questions: &[Question],
        concurrency: usize,
        mut event: impl FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let (next, halted) = (AtomicUsize::new(0), AtomicBool::new(false));
        let given_up = || halted.load(Ordering::Relaxed) || interrupt::asked();
        // Rewards stay in this thread: one may be a program, which judges one completion after the other.
        let Collection { client, asking, prompts, .. } = self;
        let seed = self.seed;
        let mut failure = None;
        thread::scope(|scope| {
            let (sender, answers) = channel();
            for _ in 0..concurrency.min(questions.len()) {
                let (sender, next, halted, given_up) = (sender.clone(), &next, &halted, &given_up);
                scope.spawn(move || {
                    while !given_up() {
                        let Some(&question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) else {
                            break;
                        };
                        let answer = ask(client, asking, &prompts[question.prompt], question, seed, given_up);
                        // At once: nobody is to ask in vain.
                        halted.fetch_or(matches!(answer, Err(Fault::Server(_))), Ordering::Relaxed);
                        // What is judged may be the end: nothing more is asked before that is known.
                        let (ack, judged) = channel();
                        if sender.send((question, answer, ack)).is_err() || judged.recv().is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let (mut done, mut told) = (0, false);
            loop {
                let answer = match answers.recv_timeout(LOOK) {
                    Ok(answer) => Some(answer),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                done += usize::from(answer.is_some());
                if let Some((question, answer, ack)) = answer {
                    let heard = self.heard(question, answer);
                    if let Err(error) = heard.and_then(|heard| heard.map_or(Ok(()), &mut event)) {
                        failure.get_or_insert(error);
                        halted.store(true, Ordering::Relaxed);
                    }
                    // One that is gone asks no more.
                    let _ = ack.send(());
                }
                if given_up() && !told {
                    told = true;
                    let asked = next.load(Ordering::Relaxed).min(questions.len());
                    let heard = event(Event::Ending(asked.saturating_sub(done)));
                    failure = failure.take().or(heard.err());
                }
            }
        });
        failure.map_or(Ok(()), Err)
    }

    /// What became of a question; nothing where it was given up.
    fn heard(&self, question: Question, answer: Result<Answer, Fault>) -> Result<Option<Event>> {
        let place = format!("{}:{}", self.file, self.prompts[question.prompt].line);
        let failed = |error: Error, completion| {
            let error = error.at(&place);
            if self.tolerant { Ok(Some(Event::Failed(question, error, completion))) } else { Err(error) }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(Fault::Request(error)) => return failed(error, None),
            Err(Fault::Server(error)) => return Err(error.at(&place)),
            Err(Fault::GivenUp) => return Ok(None),
        };
        let text = answer.text().to_owned();
        match self.record(question, answer) {
            Ok((record, lack)) => Ok(Some(Event::Record(record, lack))),
            Err(error) => failed(error, Some(text)),
        }
    }

    /// The record of an answer, checked as `logs check` would.
    fn record(&self, question: Question, answer: Answer) -> Result<(Value, Option<Lack>)> {
        let prompt = &self.prompts[question.prompt];
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                fields.insert(name.to_owned(), value);
            }
        };
        put("id", json!(prompt.id));
        put("prompt", json!(prompt.prompt));
        put("completion", json!(answer.completion));
        if let Some(rewards) = &self.rewards {
            let asked = [Asked { record: prompt, completion: answer.text() }];
            let judged = block_on(rewards.judge(&asked, false)).into_iter().next();
            let Judged { each, total } = judged.expect("one for each that is asked")?;
            put("reward", json!(total));
            if each.len() > 1 {
                let each = rewards.names().into_iter().zip(each.into_iter().map(Value::from));
                put("rewards", Value::Object(each.collect()));
            }
        }
        if answer.truncated {
            put("truncated", json!(true));
        }
        if prompt.weight != 1.0 {
            put("weight", json!(prompt.weight));
        }
        if self.rollouts > 1 {
            let own = || format!("{}:{}", file_name(&self.file), prompt.line);
            put("group", json!(prompt.group.clone().unwrap_or_else(own)));
        }
        put("answer", json!(prompt.answer));
        for (name, value) in &prompt.extra {
            put(name, value.clone());
        }
        put("model", json!(self.asking.model));
        put("num_tokens", json!(answer.num_tokens));
        put("prompt_line", json!(prompt.line));
        put("rollout", json!(question.rollout));

        let needs = if self.rewards.is_some() { Needs::Reward } else { Needs::Completion };
        let line = Value::Object(fields.clone()).to_string();
        let record = Record::parse(prompt.line, &line, needs).map_err(|(field, reason)| {
            let field = field.map_or_else(String::new, |field| format!("field \"{field}\": "));
            let help = "raise --max-new-tokens, or set such completions aside with --set-aside-failures";
            Error::new(ErrorKind::Data, format!("the answer makes no record: {field}{reason}"), help)
        })?;
        let lack = self.encoder.and_then(|encoder| {
            let Some(logps) = answer.logps else { return Some(Lack::Untold) };
            let trajectory = encoder.trajectory(&self.file, &record);
            if trajectory.is_ok_and(|trajectory| trajectory.num_actions() == logps.len()) {
                fields.insert("logps".into(), json!(logps));
                None
            } else {
                Some(Lack::OtherTokens)
            }
        });
        Ok((Value::Object(fields), lack))
    }
}

/// Asks for one completion.
fn ask(
    client: &Client,
    asking: &Asking,
    prompt: &Record,
    question: Question,
    seed: u64,
    given_up: &dyn Fn() -> bool,
) -> Result<Answer, Fault> {
    // vLLM takes 64 bits, others 32, some of them with a sign.
    let seed = Stream::new(seed, prompt.line as u64).below(question.rollout as u64, 1 << 31);
    let body = asking.body(&prompt.prompt, seed);
    client.ask(wire::path(&prompt.prompt), &body, |body| wire::answer(&prompt.prompt, body), given_up)
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_of_all_records() {
        let mut tally = Tally::default();
        assert_eq!(tally.reward(), None);
        for record in [
            json!({"reward": 1.0, "truncated": true}),
            json!({"reward": 0.0, "logps": [-1.0]}),
            json!({"completion": "c"}),
        ] {
            tally.add(&record);
        }
        assert_eq!((tally.records, tally.truncated, tally.with_logps), (3, 1, 1));
        assert_eq!(tally.reward(), Some((0.5, 0.5)));
    }

    #[test]
    fn equal_rollouts_are_noticed() {
        let of = |completions: &[&str]| {
            let mut tally = Tally::default();
            for (i, completion) in completions.iter().enumerate() {
                tally.add(&json!({"completion": completion, "prompt_line": i / 2}));
            }
            tally.all_alike()
        };
        assert!(of(&["a", "a", "b", "b"]) && of(&["a", "a", "b"]));
        assert!(!of(&["a", "a", "b", "c"]) && !of(&["a"]) && !of(&[]));
    }
}
