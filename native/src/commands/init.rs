//! `tbrm init`: a fresh model directory. It needs no adapter.

use std::path::Path;

use serde_json::json;
use tbrm_core::data::Tokenizer;
use tbrm_core::data::corpus;
use tbrm_core::data::tokenizer::TokenizerConfig;
use tbrm_core::model::ModelConfig;
use tbrm_core::model::fresh::POSITIONS;
use tbrm_core::{Error, ErrorKind};

use crate::args::{Common, InitArgs, TokenizerSource};
use crate::exit::{Failure, Outcome};
use crate::store::{DirWriter, read_file};

/// Entries of a trained tokenizer where the command line names no number.
const VOCAB_SIZE: usize = 2048;

pub(super) fn run(args: &InitArgs, common: &Common) -> Result<Outcome, Failure> {
    if args.out.exists() {
        let what = format!("{}: exists already", args.out.display());
        return Err(Error::new(ErrorKind::Config, what, "give another `--out`, or remove it").into());
    }
    if args.vocab_size.is_some() && !matches!(args.tokenizer, TokenizerSource::Train(_)) {
        return Err(Failure::Usage {
            what: "`--vocab-size` is for a tokenizer that is trained".into(),
            help: "leave it out, or use `--tokenizer train:CORPUS`".into(),
        });
    }
    let shape = shape(args)?;
    let parts = tokenizer(args, shape.max_position_embeddings)?;
    let names = parts.config.as_deref().map(TokenizerConfig::parse).transpose()?;
    let config = shape.fitted(&parts.tokenizer, names.as_ref())?;

    let mut dir = DirWriter::new(&args.out)?;
    dir.write("config.json", config.to_json().as_bytes())?;
    dir.write("model.safetensors", &config.fresh_weights(common.seed)?)?;
    dir.write("tokenizer.json", parts.tokenizer.json())?;
    if let Some(config) = &parts.config {
        dir.write("tokenizer_config.json", config.as_bytes())?;
    }
    if let Some(template) = &parts.chat_template {
        dir.write("chat_template.jinja", template)?;
    }
    dir.publish()?;
    report(args, common, &config)?;
    Ok(Outcome::Done)
}

fn report(args: &InitArgs, common: &Common, config: &ModelConfig) -> Result<(), Failure> {
    let (params, positions) = (config.param_count(), config.max_position_embeddings);
    let text = if common.json {
        let result = json!({
            "model": args.out,
            "params": params,
            "vocab_size": config.vocab_size,
            "max_positions": positions,
            "eos_token_id": config.eos_token_id,
            "seed": common.seed,
        });
        format!("{result}\n")
    } else {
        format!(
            "{}: {params} parameters, {} tokens in the vocabulary, {positions} positions, seed {}\n",
            args.out.display(),
            config.vocab_size,
            common.seed
        )
    };
    super::print(&text)
}

/// The model's shape, its vocabulary not yet decided.
fn shape(args: &InitArgs) -> Result<ModelConfig, Failure> {
    let (mut config, positions) = match (&args.config, args.preset) {
        (Some(path), _) => {
            let config = ModelConfig::parse(&text(path)?).map_err(|e| e.at(path.display()))?;
            let positions = config.max_position_embeddings;
            (config, positions)
        }
        (None, Some(preset)) => (ModelConfig::preset(preset.find()?.name)?, POSITIONS),
        (None, None) => unreachable!("the command line asks for one of them"),
    };
    config.max_position_embeddings = args.max_positions.unwrap_or(positions);
    Ok(config)
}

/// A tokenizer with what belongs to it.
struct Parts {
    tokenizer: Tokenizer,
    /// tokenizer_config.json.
    config: Option<String>,
    /// chat_template.jinja.
    chat_template: Option<Vec<u8>>,
}

fn tokenizer(args: &InitArgs, max_positions: usize) -> Result<Parts, Failure> {
    let fresh = |tokenizer| Parts {
        tokenizer,
        config: Some(TokenizerConfig::fresh_json(max_positions)),
        chat_template: None,
    };
    match &args.tokenizer {
        TokenizerSource::Bytes => Ok(fresh(Tokenizer::bytes()?)),
        TokenizerSource::Train(path) => {
            let name = path.display().to_string();
            let texts = corpus::texts(&name, &read_file(path)?)?;
            let size = args.vocab_size.unwrap_or(VOCAB_SIZE);
            let tokenizer =
                Tokenizer::train(texts.iter().map(String::as_str), size).map_err(|error| error.at(&name))?;
            if tokenizer.len() < size {
                eprintln!(
                    "{name}: gives {} tokens, not {size}: no further pair occurs twice",
                    tokenizer.len()
                );
            }
            Ok(fresh(tokenizer))
        }
        TokenizerSource::File(path) => {
            let tokenizer = Tokenizer::from_json(&read_file(path)?).map_err(|e| e.at(path.display()))?;
            let beside = |name: &str| Some(path.with_file_name(name)).filter(|path| path.exists());
            let config = beside("tokenizer_config.json").map(|path| text(&path)).transpose()?;
            let chat_template = beside("chat_template.jinja").map(|path| read_file(&path)).transpose()?;
            Ok(Parts { tokenizer, config, chat_template })
        }
    }
}

fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read_file(path)?).map_err(|_| {
        Error::new(ErrorKind::Model, format!("{}: not UTF-8", path.display()), "save it as UTF-8 text")
    })
}
