//! `tbrm collect`: completions of a server as records.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tbrm_core::data::record::{Record, Text, read_all};
use tbrm_core::data::trajectory::Truncated;
use tbrm_core::data::{Message, Needs, PromptStyle};
use tbrm_core::{Error, ErrorKind};

use crate::args::{CollectArgs, Common, Endpoint};
use crate::collect::client::{Client, Server};
use crate::collect::wire::Asking;
use crate::collect::{Collection, Event, Lack, Output, Tally};
use crate::exit::{Failure, Outcome};
use crate::progress::Progress;
use crate::store::{OpenRun, read_file, store_error};
use crate::{interrupt, model_dir, rewards};

/// Records from which on it is strange that all rollouts of each prompt are alike.
const MANY: usize = 16;

/// What came of it.
#[derive(Default)]
struct Collected {
    /// Of the whole file.
    tally: Tally,
    /// Of this process.
    asked: usize,
    num_tokens: u64,
    set_aside: usize,
    untold: usize,
    other_tokens: usize,
    retries: u64,
}

pub(super) fn run(args: &CollectArgs, common: &Common) -> Result<Outcome, Failure> {
    let model = args.sampling.logps.as_deref().map(model_dir::read).transpose()?;
    let encoder = model.as_ref().map(|model| model.encoder(None, Truncated::Keep)).transpose()?;
    let judges = match &args.reward[..] {
        [] => None,
        kinds => Some(rewards::all(kinds, &args.reward_weight)?),
    };
    let prompts = prompts(args)?;
    for prompt in &prompts {
        judges
            .as_ref()
            .map_or(Ok(()), |judges| judges.check(prompt))
            .map_err(|e| e.at(args.prompts.display()))?;
    }
    let collection = Collection {
        file: args.prompts.display().to_string(),
        prompts,
        rollouts: args.rollouts,
        asking: asking(args),
        rewards: judges,
        client: Client::new(server(args)?)?,
        encoder,
        seed: common.seed,
        tolerant: args.set_aside_failures,
    };
    let how = match (args.resume, args.overwrite) {
        (true, _) => OpenRun::Resume,
        (_, true) => OpenRun::Overwrite,
        _ => OpenRun::New,
    };
    let (mut output, found) = Output::open(&args.out, how)?;
    let questions = collection.questions(&args.out, &found)?;
    if found.cut {
        eprintln!("the last line of {} was cut short: its completion is asked for again", args.out.display());
    }
    let mut result = Collected::default();
    found.lines.iter().for_each(|line| result.tally.add(line));
    if questions.is_empty() {
        return finish(args, common, &collection, &result);
    }
    let aside = set_aside(&args.out);
    if aside.exists() {
        // What stands in it is asked for again.
        std::fs::remove_file(&aside).map_err(|error| store_error("cannot remove", &aside, &error))?;
    }
    let (mut aside, _) = Output::open(&aside, OpenRun::New)?;

    interrupt::watch()?;
    let total = found.lines.len() + questions.len();
    let mut progress = Progress::new("collect", total as u64, found.lines.len() as u64, common.quiet);
    let mut done = found.lines.len();
    let asked = collection.ask_all(&questions, args.server.concurrency, |event| {
        match event {
            Event::Ending(under_way) => {
                let again = if interrupt::asked() { "; Ctrl-C again ends at once" } else { "" };
                if under_way > 0 {
                    progress.say(&format!("waiting for {under_way} requests under way{again}"));
                }
                return Ok(());
            }
            Event::Record(record, lack) => {
                if lack == Some(Lack::Untold) && result.untold == 0 {
                    progress.say("the server tells no log-probs: records have no `logps`");
                }
                result.untold += usize::from(lack == Some(Lack::Untold));
                result.other_tokens += usize::from(lack == Some(Lack::OtherTokens));
                result.num_tokens += record["num_tokens"].as_u64().unwrap_or_default();
                result.asked += 1;
                output.add(&record)?;
                result.tally.add(&record);
            }
            Event::Failed(question, error, completion) => {
                result.set_aside += 1;
                let line = collection.prompts[question.prompt].line;
                aside.add(&json!({
                    "prompt_line": line, "rollout": question.rollout, "reason": error.what, "completion": completion,
                }))?;
            }
        }
        done += 1;
        let reward = result.tally.reward().map_or_else(String::new, |(mean, _)| format!(", reward {mean:.3}"));
        let retried = match collection.client.retried() {
            0 => String::new(),
            n => format!(", {n} tries again"),
        };
        progress.update(done as u64, &format!("completions, {} tokens{reward}{retried}", result.num_tokens));
        Ok(())
    });
    drop(progress);
    result.retries = collection.client.retried();
    output.sync()?;
    aside.sync()?;
    let kept = format!("{} records are in {}", result.tally.records, args.out.display());
    match asked {
        Err(mut error) if result.tally.records > 0 => {
            error.help += &format!("; {kept}: go on with --resume");
            Err(error.into())
        }
        Err(error) => Err(error.into()),
        Ok(()) if interrupt::asked() && result.asked + result.set_aside < questions.len() => {
            Ok(Outcome::Interrupted {
                resume: format!("{kept}; go on with: {}", interrupt::resume_command()),
            })
        }
        Ok(()) => finish(args, common, &collection, &result),
    }
}

/// The prompts as they are asked, and as the records have them.
fn prompts(args: &CollectArgs) -> tbrm_core::Result<Vec<Record>> {
    let file = args.prompts.display().to_string();
    let (mut records, _) = read_all(&file, &read_file(&args.prompts)?, Needs::Prompt, false)?;
    let style = PromptStyle::from(args.prompt_style);
    for record in &mut records {
        let styled =
            style.apply(&record.prompt).map_err(|error| error.at(format!("{file}:{}", record.line)))?;
        record.prompt = match (args.server.endpoint, styled) {
            (Endpoint::Chat, Text::Plain(content)) => {
                Text::Messages(vec![Message { role: "user".into(), content, extra: Default::default() }])
            }
            (Endpoint::Completions, Text::Messages(_)) => {
                let what = format!(
                    "{file}:{}: the prompt is messages, which /v1/completions does not take",
                    record.line
                );
                return Err(Error::new(ErrorKind::Data, what, "use --endpoint chat"));
            }
            (_, styled) => styled,
        };
    }
    Ok(records)
}

fn asking(args: &CollectArgs) -> Asking {
    let sampling = &args.sampling;
    Asking {
        model: args.server.model.clone(),
        max_tokens: sampling.max_new_tokens,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        stop: sampling.stop.clone(),
        logps: sampling.logps.is_some(),
        fields: args.server.request.clone(),
    }
}

fn server(args: &CollectArgs) -> tbrm_core::Result<Server> {
    let of = &args.server;
    let key =
        std::env::var(&of.api_key_env).ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    if key.is_none() && of.api_key_env != "TBRM_API_KEY" {
        let what = format!("--api-key-env {}: the variable holds no key", of.api_key_env);
        return Err(Error::new(ErrorKind::Config, what, "set the variable, or leave the option out"));
    }
    Ok(Server {
        url: of.url.clone(),
        key_name: of.api_key_env.clone(),
        key,
        // A day is as good as for ever.
        timeout: Duration::from_secs_f64(of.timeout.min(86_400.0)),
        retries: of.retries,
        connections: of.concurrency,
    })
}

/// `OUT.set-aside`.
fn set_aside(out: &Path) -> PathBuf {
    let mut name = OsString::from(out);
    name.push(".set-aside");
    name.into()
}

fn finish(
    args: &CollectArgs,
    common: &Common,
    collection: &Collection<'_>,
    result: &Collected,
) -> Result<Outcome, Failure> {
    let Collected { tally, asked, num_tokens, set_aside: aside, untold, other_tokens, retries } = result;
    let out = args.out.display();
    if tally.records == 0 {
        let what = format!("{aside} completions were asked for, and all set aside");
        let help = format!("{} says why", set_aside(&args.out).display());
        return Err(Error::new(ErrorKind::Data, what, help).into());
    }
    let mut notes = Vec::new();
    if *aside > 0 {
        notes.push(format!("{aside} were set aside, in {}", set_aside(&args.out).display()));
    }
    if *other_tokens > 0 {
        let what = "have no log-probs, since the server's number of tokens is not that of";
        let dir = args.sampling.logps.as_deref().unwrap_or(Path::new("")).display();
        notes.push(format!("{other_tokens} {what} {dir}"));
    }
    if *untold > 0 {
        notes.push(format!("{untold} have no log-probs, since the server tells none"));
    }
    let samples = args.sampling.temperature > 0.0 && tally.records >= MANY;
    if samples && tally.all_alike() {
        notes.push("the completions of each prompt are all alike: does the server sample?".into());
    }
    let reward = tally.reward();
    super::print(&if common.json {
        let number = |part: Option<f64>| part.map_or(Value::Null, Value::from);
        let object = json!({
            "out": args.out,
            "prompts": collection.prompts.len(),
            "rollouts": args.rollouts,
            "records": tally.records,
            "asked": asked,
            "num_tokens": num_tokens,
            "reward": number(reward.map(|(mean, _)| mean)),
            "reward_std": number(reward.map(|(_, std)| std)),
            "truncated": tally.truncated,
            "with_logps": tally.with_logps,
            "set_aside": aside,
            "retries": retries,
            "notes": notes,
        });
        format!("{object}\n")
    } else {
        let reward = reward.map_or_else(String::new, |(mean, std)| {
            format!(", reward {mean:.4} (standard deviation {std:.4})")
        });
        let mut text = format!(
            "{out}: {} records of {} prompts{reward}, {} truncated; {asked} of them now, {retries} tries again\n",
            tally.records,
            collection.prompts.len(),
            tally.truncated,
        );
        notes.iter().for_each(|note| text += &format!("  {note}\n"));
        text
    })?;
    Ok(Outcome::Done)
}
