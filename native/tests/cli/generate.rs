//! `tbrm generate`.

use serde_json::json;

use crate::support::Place;

fn place() -> Place {
    let place = Place::new();
    place.done("init --preset nano --tokenizer bytes --out model --seed 1 --max-positions 40");
    place
}

#[test]
fn a_seed_decides_the_text() {
    let place = place();
    let text = |options: &str| {
        let value = place.json(&format!("generate --model model --prompt Once {options}"));
        assert_eq!((&value["prompt"], &value["prompt_tokens"]), (&json!("Once"), &json!(4)));
        assert!(value["finished"].is_boolean());
        (value["completion"].as_str().expect("a text").to_owned(), value["num_tokens"].clone())
    };
    let (first, tokens) = text("--max-new-tokens 20 --seed 1");
    assert!(tokens == json!(20) || !first.is_empty());
    assert_eq!(text("--max-new-tokens 20 --seed 1").0, first);
    assert_ne!(text("--max-new-tokens 20 --seed 2").0, first);
    let greedy = text("--max-new-tokens 12 --temperature 0");
    assert_eq!(text("--max-new-tokens 12 --temperature 0 --seed 2"), greedy);
    assert_eq!(text("--max-new-tokens 12 --top-k 1"), greedy);
    assert_eq!(text("--max-new-tokens 12 --top-p 0.00001"), greedy);
}

#[test]
fn stdout_is_the_text_alone() {
    let place = place();
    let line = "generate --model model --prompt abc --max-new-tokens 5 --temperature 0";
    let text = place.json(line)["completion"].as_str().expect("a text").to_owned();
    assert_eq!(place.done(line), format!("{text}\n"));
    let quiet = place.run(&format!("{line} --quiet"));
    assert_eq!((quiet.stdout, quiet.stderr.as_str()), (format!("{text}\n"), ""));
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = place();
    let long = "x".repeat(41);
    for (line, what) in [
        (format!("generate --model model --prompt {long}"), "41 tokens and 1 new"),
        ("generate --model model --prompt abc --max-new-tokens 39".into(), "3 tokens and 39 new ones exceed"),
        ("generate --model nowhere --prompt abc".into(), "nowhere: no such directory"),
        ("generate --model model --prompt ".into(), "no tokens"),
    ] {
        let error = place.refused(1, &line);
        assert!(error.contains(what), "{error}");
    }
    place.done("generate --model model --prompt abc --max-new-tokens 38");
    let fitting = place.json("generate --model model --prompt abc");
    assert!(
        fitting["num_tokens"].as_u64().is_some_and(|n| n <= 38),
        "the default stays within the positions"
    );
    place.refused(2, "generate --model model --prompt abc --temperature -1");
    place.refused(2, "generate --model model --prompt abc --top-p 1.5");
}

#[test]
fn a_stop_text_ends_the_text_before_it() {
    let place = place();
    let line = "generate --model model --prompt abc --max-new-tokens 20 --seed 1";
    let whole = place.json(line)["completion"].as_str().expect("a text").to_owned();
    let stop =
        whole.chars().filter(char::is_ascii_alphanumeric).nth(2).expect("a letter or digit").to_string();
    let stopped = place.json(&format!("{line} --stop {stop}"));
    assert_eq!(stopped["completion"], whole[..whole.find(&stop).expect("it is there")]);
    assert_eq!(stopped["finished"], true);
    let error = place.command(line).args(["--stop", ""]).output().expect("starts");
    assert!(String::from_utf8_lossy(&error.stderr).contains("--stop is no text"), "{error:?}");
}
