//! `tbrm init`.

use serde_json::{Value, json};

use crate::support::Place;

const BYTES: &str = "init --preset nano --tokenizer bytes";

#[test]
fn a_byte_model_is_whole_and_follows_its_seed() {
    let place = Place::new();
    let said = place.json(&format!("{BYTES} --out a --seed 3"));
    assert_eq!(
        (&said["vocab_size"], &said["eos_token_id"], &said["seed"]),
        (&json!(257), &json!([256]), &json!(3))
    );
    let config: Value = serde_json::from_slice(&place.read("a/config.json")).expect("JSON");
    assert_eq!(config["architectures"], json!(["LlamaForCausalLM"]));
    assert_eq!((&config["vocab_size"], &config["eos_token_id"]), (&json!(257), &json!(256)));
    assert_eq!(config["max_position_embeddings"], 1024);
    let settings: Value = serde_json::from_slice(&place.read("a/tokenizer_config.json")).expect("JSON");
    assert_eq!(settings["eos_token"], "<|endoftext|>");

    place.done(&format!("{BYTES} --out b --seed 3 --max-positions 64"));
    place.done(&format!("{BYTES} --out c --seed 4"));
    let weights = |name: &str| place.read(&format!("{name}/model.safetensors"));
    assert!(weights("a") == weights("b"), "one seed, two models");
    assert!(weights("a") != weights("c"), "two seeds, one model");
    assert_eq!(place.names(), ["a", "b", "c"]);
}

#[test]
fn a_tokenizer_is_trained_on_the_texts_of_a_corpus() {
    let place = Place::new();
    place.write(
        "corpus.jsonl",
        &"{\"id\": 7, \"question\": \"the cat sat\", \"answer\": \"the mat\"}\n".repeat(3),
    );
    let said = place.json("init --preset nano --tokenizer train:corpus.jsonl --vocab-size 262 --out a");
    assert_eq!((&said["vocab_size"], &said["eos_token_id"]), (&json!(262), &json!([0])));
    let vocab = String::from_utf8(place.read("a/tokenizer.json")).expect("UTF-8");
    // Of the texts: the fields' names and the punctuation of JSON occur as often.
    assert!(vocab.contains("\"at\"") && !vocab.contains("question"), "{vocab}");

    // The same tokenizer again, with the shape of the first model.
    place.done("init --config a/config.json --tokenizer a/tokenizer.json --out b --seed 1");
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        assert!(place.read(&format!("a/{file}")) == place.read(&format!("b/{file}")), "{file}");
    }
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let place = Place::new();
    place.write("empty.txt", "");
    place.write("bad.jsonl", "{\"prompt\": \"a\"}\n{\"reward\": 1}\n");
    place.write("tokenizer.json", "{}");
    place.write("config.json", "{\"model_type\": \"mamba\"}");
    let before = place.names();
    for (line, want) in [
        (
            "init --preset nano --tokenizer train:empty.txt --out m",
            "empty.txt: the tokenizer's corpus is empty",
        ),
        ("init --preset nano --tokenizer train:bad.jsonl --out m", "bad.jsonl:2: has none of prompt"),
        ("init --preset nano --tokenizer train:none.txt --out m", "cannot read none.txt"),
        ("init --preset nano --tokenizer tokenizer.json --out m", "tokenizer.json: "),
        ("init --config config.json --tokenizer bytes --out m", "config.json: "),
    ] {
        let said = place.refused(1, line);
        assert!(said.contains(want), "{line}: {said}");
        assert_eq!(place.names(), before, "{line}");
    }
    let said = place.refused(2, &format!("{BYTES} --vocab-size 300 --out m"));
    assert!(said.contains("--vocab-size"), "{said}");
}

#[test]
fn a_directory_that_exists_is_left_alone() {
    let place = Place::new();
    std::fs::create_dir(place.path("mine")).expect("writable");
    place.write("mine/thesis.txt", "years of work");
    assert_eq!(place.refused(1, &format!("{BYTES} --out mine")), "mine: exists already");
    assert_eq!(place.names(), ["mine"]);
    assert_eq!(place.read("mine/thesis.txt"), b"years of work");
}
