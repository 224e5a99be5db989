//! `tbrm collect`, against a server that is not always well.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::openai::{Asked, OpenAi, Reply, error, message, text};
use crate::support::{Place, Run};

/// As many prompts, `1+1=`, `2+1=`, …, with their answers.
fn prompts(place: &Place, count: usize) {
    let line =
        |i: usize| json!({"id": format!("p{i}"), "prompt": format!("{i}+1="), "answer": i + 1, "level": 3});
    let lines: Vec<String> = (1..=count).map(|i| line(i).to_string()).collect();
    place.write("prompts.jsonl", &(lines.join("\n") + "\n"));
}

/// The number that a prompt of text begins with.
fn number(asked: &Asked) -> u64 {
    let prompt = asked.body["prompt"].as_str().expect("text");
    prompt.split('+').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// The right answer, or with every other seed a wrong one.
fn sum(asked: &Asked) -> Reply {
    let wrong = asked.body["seed"].as_u64().expect("a seed") % 2;
    text(&(number(asked) + 1 + wrong).to_string(), "stop", &[])
}

fn collect(server: &OpenAi) -> String {
    format!("collect --url {} --model m --prompts prompts.jsonl --out logs.jsonl", server.url)
}

/// What the records answer.
fn answered(place: &Place) -> BTreeSet<(u64, u64)> {
    let of = |line: &Value| (line["prompt_line"].as_u64().unwrap(), line["rollout"].as_u64().unwrap());
    let lines = place.lines("logs.jsonl");
    let answered: BTreeSet<(u64, u64)> = lines.iter().map(of).collect();
    assert_eq!(answered.len(), lines.len(), "nothing stands there twice");
    answered
}

#[test]
fn what_a_server_writes_is_trained_on() {
    let place = Place::new();
    prompts(&place, 8);
    let server = OpenAi::start(|asked, _| sum(asked));
    let line =
        format!("{} --rollouts 4 --reward numeric --reward length:1-2 --temperature 0.5", collect(&server));
    let summary = place.json(&format!("{line} --max-new-tokens 9 --stop \n --seed 3"));
    let asked = server.asked();
    assert_eq!((asked.len(), &summary["records"], &summary["asked"]), (32, &json!(32), &json!(32)));
    let first = &asked[0];
    assert_eq!((first.path.as_str(), &first.key), ("/v1/completions", &None));
    let body = |name: &str| &first.body[name];
    assert_eq!(
        (body("model"), body("temperature"), body("max_tokens")),
        (&json!("m"), &json!(0.5), &json!(9))
    );
    assert_eq!((body("stop"), body("top_p"), body("logprobs")), (&json!(["\n"]), &json!(1.0), &Value::Null));
    let seeds: BTreeSet<u64> = asked.iter().map(|asked| asked.body["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds.len(), 32, "every rollout has a seed of its own");

    let records = place.lines("logs.jsonl");
    let right = |r: &Value| {
        let answer = r["answer"].to_string();
        r["completion"] == answer
    };
    let hits = records.iter().filter(|r| right(r)).count();
    assert!((8..=24).contains(&hits), "nothing to train on: {hits}");
    for record in &records {
        let reward = f64::from(u8::from(right(record)));
        assert_eq!(record["reward"], json!(reward + 1.0), "{record}");
        assert_eq!(record["rewards"], json!({"numeric": reward, "length": 1.0}));
        let line = record["prompt_line"].as_u64().unwrap();
        assert_eq!((&record["id"], &record["level"]), (&json!(format!("p{line}")), &json!(3)));
        assert_eq!(record["group"], json!(format!("prompts.jsonl:{line}")));
        assert_eq!(record["truncated"], Value::Null);
    }
    let mean = summary["reward"].as_f64().unwrap();
    assert!((mean - (1.0 + hits as f64 / 32.0)).abs() <= 1e-12, "{mean}");

    place.done("init --preset nano --tokenizer bytes --out model --max-positions 40");
    let report = place.json("logs check logs.jsonl --model model");
    assert_eq!((&report["records"], &report["rejected"]), (&json!(32), &json!(0)));
    assert!(report["prompts_with_contrast"].as_u64() >= Some(4), "{report}");
    for objective in ["tbrm", "rloo"] {
        let run = format!("--data logs.jsonl --out {objective} --objective {objective} --steps 2 --batch 8");
        place.done(&format!("train --model model {run} --quiet"));
    }

    // Another time the same requests, whatever the order; another seed, others.
    let again = OpenAi::start(|asked, _| sum(asked));
    let same = |seed: u64| {
        place.done(&format!(
            "{} --rollouts 4 --overwrite --seed {seed}",
            collect(&again).replace("--model m", "--model n")
        ));
        let asked = again.asked();
        let seeds = asked[asked.len() - 32..].iter().map(|asked| asked.body["seed"].as_u64().unwrap());
        seeds.collect::<BTreeSet<u64>>() == self::seeds(&server)
    };
    assert!(same(3) && !same(4));
    assert!(place.lines("logs.jsonl").iter().all(|r| r["model"] == "n" && r["reward"].is_null()));
}

fn seeds(server: &OpenAi) -> BTreeSet<u64> {
    server.asked().iter().map(|asked| asked.body["seed"].as_u64().unwrap()).collect()
}

#[test]
fn messages_are_answered_and_text_becomes_a_message_on_demand() {
    let place = Place::new();
    let user = json!([{"role": "user", "content": "1+1="}]);
    place.write("prompts.jsonl", &format!("{}\n", json!({"prompt": user})));
    let server = OpenAi::start(|_, _| message("2"));
    place.done(&collect(&server));
    let of = |place: &Place| {
        let record = place.lines("logs.jsonl").remove(0);
        (record["prompt"].clone(), record["completion"].clone(), record["group"].clone())
    };
    let assistant = json!([{"role": "assistant", "content": "2"}]);
    assert_eq!(of(&place), (user.clone(), assistant.clone(), Value::Null));
    assert!(
        place
            .refused(1, &format!("{} --endpoint completions --overwrite", collect(&server)))
            .contains("prompts.jsonl:1")
    );

    place.write("prompts.jsonl", "{\"prompt\": \"1+1=\"}\n");
    place.done(&format!("{} --endpoint chat --overwrite", collect(&server)));
    assert_eq!(of(&place), (user.clone(), assistant, Value::Null));
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| asked.path == "/v1/chat/completions" && asked.body["messages"] == user));
}

#[test]
fn a_server_that_fails_at_times_is_asked_again() {
    let place = Place::new();
    prompts(&place, 8);
    // Every prompt's first try fails, each in its own way.
    let tried = Mutex::new(BTreeSet::new());
    let server = OpenAi::start(move |asked, _| {
        let number = number(asked);
        if !tried.lock().unwrap().insert(number) {
            return sum(asked);
        }
        match number {
            1 => error(429, "Retry-After: 0\r\n", "slow down"),
            2 => error(500, "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "out of memory"),
            3 => error(503, "", "loading"),
            4 => Reply::Nothing,
            5 => Reply::Half(json!({"choices": [{"text": "2", "finish_reason": "stop"}]}).to_string()),
            6 => Reply::Says(200, "", "<html>not now</html>".into()),
            7 => Reply::Says(200, "", json!({"choices": []}).to_string()),
            _ => {
                std::thread::sleep(Duration::from_secs(5));
                sum(asked)
            }
        }
    });
    let summary = place.json(&format!("{} --timeout 2 --concurrency 8", collect(&server)));
    assert_eq!((&summary["records"], &summary["retries"]), (&json!(8), &json!(8)));
    assert_eq!(answered(&place).len(), 8);
    // The very same requests.
    let asked: BTreeSet<String> = server.asked().iter().map(|asked| asked.body.to_string()).collect();
    assert_eq!((server.asked().len(), asked.len()), (16, 8));
}

#[test]
fn what_a_server_refuses_is_said_with_its_line() {
    let place = Place::new();
    prompts(&place, 3);
    let server = OpenAi::start(|asked, _| match number(asked) {
        2 => error(400, "", "the prompt is too long"),
        _ => sum(asked),
    });
    let line = format!("{} --concurrency 1", collect(&server));
    let run = place.run(&line);
    assert_eq!(run.refusal(1), "prompts.jsonl:2: the server answered 400: the prompt is too long");
    assert!(run.stderr.contains("1 records are in logs.jsonl: go on with --resume"), "{}", run.stderr);
    let summary = place.json(&format!("{line} --resume --set-aside-failures"));
    assert_eq!(
        (&summary["records"], &summary["asked"], &summary["set_aside"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let aside = place.lines("logs.jsonl.set-aside");
    assert_eq!((aside.len(), &aside[0]["prompt_line"]), (1, &json!(2)));
    assert!(aside[0]["reason"].as_str().unwrap().contains("too long"));

    // No request would fare better than the first.
    for (status, head, want) in [
        (401, "", "prompts.jsonl:1: the server answered 401: no; TBRM_API_KEY holds no key"),
        (404, "", "prompts.jsonl:1: the server answered 404: no"),
        (
            307,
            "Location: https://elsewhere/\r\n",
            "prompts.jsonl:1: the server answered 307: no; it is at https://elsewhere/",
        ),
    ] {
        let server = OpenAi::start(move |_, _| error(status, head, "no"));
        let line = format!("{} --concurrency 1 --set-aside-failures --overwrite", collect(&server));
        assert_eq!(place.refused(1, &line), want);
        assert_eq!(server.asked().len(), 1);
    }
    assert_eq!(place.lines("logs.jsonl").len(), 2, "what stood there stays when nothing comes");
    let gone =
        "collect --url http://127.0.0.1:1 --model m --prompts prompts.jsonl --out new.jsonl --retries 1";
    let said = place.refused(1, gone);
    assert!(said.contains("cannot reach http://127.0.0.1:1/v1") && said.ends_with(", 2 times"), "{said}");
    assert!(!place.path("new.jsonl").exists());
}

#[test]
fn a_reward_that_fails_keeps_its_completion() {
    let place = Place::new();
    prompts(&place, 2);
    let server = OpenAi::start(|asked, _| match number(asked) {
        1 => text("", "length", &[]),
        _ => text("4", "length", &[]),
    });
    // Nothing was written, and no end either: there is no record of that.
    let line = format!("{} --reward numeric --concurrency 1", collect(&server));
    assert!(place.refused(1, &line).starts_with("prompts.jsonl:1: the answer makes no record"));
    let summary = place.json(&format!("{line} --set-aside-failures"));
    assert_eq!((&summary["records"], &summary["truncated"]), (&json!(1), &json!(1)));
    assert_eq!(place.lines("logs.jsonl.set-aside")[0]["completion"], json!(""));
}

#[test]
fn the_key_comes_from_the_environment() {
    let place = Place::new();
    prompts(&place, 1);
    let server = OpenAi::start(|asked, _| match asked.key.as_deref() {
        Some("Bearer secret") => sum(asked),
        _ => error(403, "", &format!("{:?} is not welcome", asked.key)),
    });
    let with = |line: &str, name: &str, key: &str| {
        Run::from(place.command(line).env(name, key).output().expect("it starts"))
    };
    assert_eq!(with(&collect(&server), "TBRM_API_KEY", "secret\n").code, Some(0));
    let line = format!("{} --overwrite", collect(&server));
    let run = with(&line, "TBRM_API_KEY", "other-secret");
    assert!(
        run.refusal(1).contains("is not welcome") && !run.stderr.contains("other-secret"),
        "{}",
        run.stderr
    );
    let line = format!("{line} --api-key-env MY_KEY");
    assert_eq!(with(&line, "MY_KEY", "secret").code, Some(0));
    assert_eq!(place.refused(1, &line), "--api-key-env MY_KEY: the variable holds no key");
}

#[test]
fn log_probs_are_kept_where_they_are_of_the_models_tokens() {
    let place = Place::new();
    prompts(&place, 4);
    place.done("init --preset nano --tokenizer bytes --out model --max-positions 40");
    // A digit and the end token are two tokens of that model.
    let server = OpenAi::start(|asked, _| match number(asked) {
        1 => text("2", "stop", &[-0.5, -0.25]),
        2 => text("3", "stop", &[-0.5]),
        3 => text("4", "length", &[-0.75]),
        _ => text("5", "stop", &[]),
    });
    let summary = place.json(&format!("{} --logps model --concurrency 1", collect(&server)));
    let logps: Vec<Value> = place.lines("logs.jsonl").iter().map(|r| r["logps"].clone()).collect();
    assert_eq!(logps, [json!([-0.5, -0.25]), Value::Null, json!([-0.75]), Value::Null]);
    let notes = summary["notes"].as_array().unwrap();
    assert!(summary["with_logps"] == 2 && notes.len() == 2, "{summary}");
    assert!(
        notes[0].as_str().unwrap().starts_with("1 have no log-probs, since the server's number"),
        "{notes:?}"
    );
    assert_eq!(server.asked()[0].body["logprobs"], json!(1));
    assert_eq!(place.json("logs check logs.jsonl --model model")["with_logps"], json!(2));
}

#[test]
fn as_many_are_asked_at_a_time_as_allowed() {
    let place = Place::new();
    prompts(&place, 12);
    let state = Arc::new((Mutex::new((0, 0)), Condvar::new()));
    let (failed, theirs) = (Arc::new(AtomicBool::new(false)), Arc::clone(&state));
    let fault = Arc::clone(&failed);
    let server = OpenAi::start(move |asked, _| {
        let (counts, changed) = &*theirs;
        let mut now = counts.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        changed.notify_all();
        // Nobody is answered before four have asked.
        let few = |now: &mut (usize, usize)| now.1 < 4 && !fault.load(Ordering::Relaxed);
        let (mut now, late) = changed.wait_timeout_while(now, Duration::from_secs(20), few).unwrap();
        fault.fetch_or(late.timed_out(), Ordering::Relaxed);
        now.0 -= 1;
        drop(now);
        sum(asked)
    });
    place.done(&format!("{} --concurrency 4", collect(&server)));
    assert!(!failed.load(Ordering::Relaxed), "fewer than four were asked at a time");
    assert_eq!(state.0.lock().unwrap().1, 4);
}

/// Waits far longer than a slow machine needs, so that a test that fails ends.
fn wait_until(come: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if come() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it never came");
}

/// A server that answers the first `some` requests, and the others once it is told to.
fn stalling(some: usize) -> (OpenAi, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (open, waiting) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (opened, count) = (Arc::clone(&open), Arc::clone(&waiting));
    let server = OpenAi::start(move |asked, before| {
        if before >= some {
            count.fetch_add(1, Ordering::Relaxed);
            wait_until(|| opened.load(Ordering::Relaxed));
        }
        sum(asked)
    });
    (server, open, waiting)
}

#[test]
fn a_killed_collection_goes_on() {
    let place = Place::new();
    prompts(&place, 6);
    let (server, open, waiting) = stalling(5);
    let line = format!("{} --rollouts 2 --reward numeric --concurrency 3 --quiet", collect(&server));
    let mut child = place.command(&line).spawn().expect("it starts");
    wait_until(|| waiting.load(Ordering::Relaxed) == 3);
    wait_until(|| {
        fs::read(place.path("logs.jsonl")).is_ok_and(|all| all.iter().filter(|&&b| b == b'\n').count() == 5)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let before = answered(&place);
    assert_eq!(before.len(), 5);
    // As a kill in the middle of a write leaves it.
    fs::OpenOptions::new()
        .append(true)
        .open(place.path("logs.jsonl"))
        .unwrap()
        .write_all(b"{\"id\":\"p4\",\"pro")
        .unwrap();

    assert!(place.refused(1, &line).ends_with("logs.jsonl: is there already"));
    open.store(true, Ordering::Relaxed);
    let asked = server.asked().len();
    let run = place.run(&format!("{line} --resume --json"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("cut short"), "{}", run.stderr);
    assert_eq!(server.asked().len() - asked, 7, "only what was missing");
    let all = answered(&place);
    assert!(all.len() == 12 && all.is_superset(&before));
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    let rewards: Vec<f64> = place.lines("logs.jsonl").iter().map(|r| r["reward"].as_f64().unwrap()).collect();
    assert!((summary["reward"].as_f64().unwrap() - rewards.iter().sum::<f64>() / 12.0).abs() <= 1e-12);
    assert_eq!((&summary["records"], &summary["asked"]), (&json!(12), &json!(7)));

    // Nothing is left to ask; more rollouts are; other prompts are none of this file's.
    assert_eq!(place.json(&format!("{line} --resume"))["asked"], json!(0));
    let more = line.replace("--rollouts 2", "--rollouts 3");
    assert_eq!(place.json(&format!("{more} --resume"))["asked"], json!(6));
    place.write("prompts.jsonl", "{\"prompt\": \"7+1=\", \"answer\": 8}\n");
    let said = place.refused(1, &format!("{line} --resume"));
    assert!(
        said.starts_with("logs.jsonl:") && said.contains("its prompt is not that of prompts.jsonl:"),
        "{said}"
    );
    // A file with one completion a prompt has no groups.
    place.done(&format!("{line} --overwrite --rollouts 1").replace("--rollouts 2 ", ""));
    assert!(place.refused(1, &format!("{line} --resume")).contains("has no `group`"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_under_way() {
    let place = Place::new();
    prompts(&place, 9);
    let (server, open, waiting) = stalling(2);
    let line = format!("{} --concurrency 3", collect(&server));
    let child = place.command(&line).stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    wait_until(|| waiting.load(Ordering::Relaxed) == 3);
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    // It is seen before anything more is answered.
    std::thread::sleep(Duration::from_millis(500));
    open.store(true, Ordering::Relaxed);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(130), "{}", run.stderr);
    let last = run.stderr.lines().last().unwrap();
    assert!(
        last.contains("5 records are in logs.jsonl; go on with: ") && last.ends_with("--resume"),
        "{last}"
    );
    assert_eq!((answered(&place).len(), server.asked().len()), (5, 5));
    assert_eq!(place.json(&format!("{line} --resume"))["asked"], json!(4));
}
