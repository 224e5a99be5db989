//! What a run is made of, as the worker gives it.

use js_sys::{Object, Uint8Array};
use serde_json::Value;
use tbrm_core::data::Tokenizer;
use tbrm_core::model::ModelConfig;
use tbrm_core::run::{File, Given, ModelFiles, Options};
use tbrm_core::{Error, ErrorKind, Result};
use wasm_bindgen::prelude::*;

use crate::object::from_js;

#[wasm_bindgen]
extern "C" {
    /// A model, data and settings.
    #[wasm_bindgen(typescript_type = "RunSpec")]
    #[derive(Debug)]
    pub type RunSpec;
    #[wasm_bindgen(method, getter)]
    fn model(this: &RunSpec) -> ModelSource;
    #[wasm_bindgen(method, getter)]
    fn data(this: &RunSpec) -> Option<Vec<DataFile>>;
    #[wasm_bindgen(method, getter, js_name = eval)]
    fn held_out(this: &RunSpec) -> Option<Vec<DataFile>>;
    #[wasm_bindgen(method, getter)]
    fn prompts(this: &RunSpec) -> Option<DataFile>;
    #[wasm_bindgen(method, getter)]
    fn eval_prompts(this: &RunSpec) -> Option<DataFile>;
    #[wasm_bindgen(method, getter)]
    fn settings(this: &RunSpec) -> JsValue;

    /// Where a model comes from.
    #[wasm_bindgen(typescript_type = "ModelSource")]
    #[derive(Debug)]
    pub type ModelSource;
    #[wasm_bindgen(method, getter)]
    fn kind(this: &ModelSource) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn preset(this: &ModelSource) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn files(this: &ModelSource) -> Option<Object>;

    #[derive(Debug)]
    type DataFile;
    #[wasm_bindgen(method, getter)]
    fn name(this: &DataFile) -> String;
    #[wasm_bindgen(method, getter)]
    fn bytes(this: &DataFile) -> Uint8Array;
}

/// A model to begin with.
pub(crate) enum Source {
    /// The demo makes its own.
    Demo,
    /// Random weights in a shape of this name; text as bytes.
    Preset(String),
    /// The files of a Hugging Face model folder.
    Files(Vec<File>),
}

impl ModelSource {
    pub(crate) fn read(&self) -> Result<Source> {
        match (self.kind().as_deref(), self.preset(), self.files()) {
            (Some("demo"), ..) => Ok(Source::Demo),
            (Some("preset"), Some(name), _) => Ok(Source::Preset(name)),
            (Some("files"), _, Some(files)) => Ok(Source::Files(entries(&files))),
            _ => {
                let help = "give {kind: 'demo'}, {kind: 'preset', preset} or {kind: 'files', files}";
                Err(Error::new(ErrorKind::Config, "the model is of no known kind", help))
            }
        }
    }
}

impl Source {
    /// How the model is called in messages.
    pub(crate) fn name(&self) -> &str {
        match self {
            Source::Demo => "demo",
            Source::Preset(name) => name,
            Source::Files(_) => "model",
        }
    }

    /// The model without its weights; `None` for the demo's.
    pub(crate) fn shape(&self) -> Result<Option<ModelFiles>> {
        match self {
            Source::Demo => Ok(None),
            Source::Preset(name) => fresh(name).map(Some),
            Source::Files(files) => ModelFiles::parse(self.name(), files).map(Some),
        }
    }

    /// All of the model's files; `None` for the demo's. Fresh weights are drawn from `seed`.
    pub(crate) fn files(self, seed: u64) -> Result<Option<Vec<File>>> {
        match self {
            Source::Demo => Ok(None),
            Source::Preset(name) => {
                let model = fresh(&name)?;
                let weights = model.config.fresh_weights(seed)?;
                Ok(Some(model.with_weights(weights)))
            }
            Source::Files(files) => Ok(Some(files)),
        }
    }
}

fn fresh(preset: &str) -> Result<ModelFiles> {
    let (config, tokenizer): (ModelConfig, Tokenizer) = ModelConfig::fresh(preset)?;
    Ok(ModelFiles::fresh(preset, config, tokenizer))
}

/// A run's parts, copied out of JavaScript.
pub(crate) struct Spec {
    pub model: Source,
    pub data: Vec<File>,
    pub eval: Vec<File>,
    /// Of an online run.
    pub prompts: Option<File>,
    pub eval_prompts: Option<File>,
    pub settings: Value,
}

impl RunSpec {
    pub(crate) fn read(&self) -> Result<Spec> {
        let file = |file: DataFile| -> File { (file.name(), file.bytes().to_vec()) };
        let files =
            |files: Option<Vec<DataFile>>| -> Vec<File> { files.into_iter().flatten().map(file).collect() };
        Ok(Spec {
            model: self.model().read()?,
            data: files(self.data()),
            eval: files(self.held_out()),
            prompts: self.prompts().map(file),
            eval_prompts: self.eval_prompts().map(file),
            settings: from_js(&self.settings())?,
        })
    }
}

impl Spec {
    /// What a run other than the demo is started from.
    pub(crate) fn given(self, options: &Options) -> Result<Given> {
        let Spec { model, data, eval, prompts, eval_prompts, .. } = self;
        let name = model.name().to_owned();
        let model = model.files(options.seed.unwrap_or_default())?.unwrap_or_default();
        Ok(Given { name, model, data, eval, prompts, eval_prompts })
    }
}

/// The files of an object whose keys are their names.
fn entries(files: &Object) -> Vec<File> {
    let named = Object::entries(files).into_iter().map(|entry| {
        let entry: js_sys::Array = entry.unchecked_into();
        (entry.get(0).as_string().unwrap_or_default(), Uint8Array::new(&entry.get(1)).to_vec())
    });
    named.collect()
}
