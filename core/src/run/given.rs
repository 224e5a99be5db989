//! What a run is started from, as bytes; kept in its store, so that it can go on without being given them again.

use serde_json::Value;

use super::File;
use super::store::Store;
use crate::error::{Error, ErrorKind, Result};

/// The folder for it.
const INPUTS: &str = "inputs";

/// What an online run asks: keys of config.json, and files in the folder.
const PROMPTS: &str = "prompts";
const EVAL_PROMPTS: &str = "eval_prompts";

/// Files as they were given.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// How the model is called in messages.
    pub name: String,
    /// A Hugging Face model directory, its weights included: names and bytes.
    pub model: Vec<File>,
    /// Records to train on.
    pub data: Vec<File>,
    /// Held-out records; may be none.
    pub eval: Vec<File>,
    /// Of an online run: what the model is asked.
    pub prompts: Option<File>,
    /// And what it is asked to measure it.
    pub eval_prompts: Option<File>,
}

impl Given {
    /// Puts the files into `store`.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub async fn save(&self, store: &impl Store) -> Result<()> {
        store.remove(INPUTS).await?;
        for (name, bytes) in &self.model {
            store.write(&format!("{INPUTS}/model/{name}"), bytes).await?;
        }
        for (folder, files) in [("data", &self.data), ("eval", &self.eval)] {
            for (i, (_, bytes)) in files.iter().enumerate() {
                store.write(&format!("{INPUTS}/{folder}/{i}"), bytes).await?;
            }
        }
        for (name, file) in [(PROMPTS, &self.prompts), (EVAL_PROMPTS, &self.eval_prompts)] {
            if let Some((_, bytes)) = file {
                store.write(&format!("{INPUTS}/{name}"), bytes).await?;
            }
        }
        Ok(())
    }

    /// Reads what [`Given::save`] wrote for the run with this config.json, which has the data files' names: two of
    /// them may be the same.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] names a file that is missing; [`ErrorKind::Store`].
    pub async fn load(store: &impl Store, config: &Value) -> Result<Given> {
        let folder = format!("{INPUTS}/model");
        let mut model = Vec::new();
        for name in store.list(&folder).await? {
            let bytes = must_read(store, &format!("{folder}/{name}")).await?;
            model.push((name, bytes));
        }
        let names = |key: &str| -> Vec<String> {
            config[key]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|n| n.as_str().map(str::to_owned))
                .collect()
        };
        let mut given = Given { model, ..Given::default() };
        given.name = config["model"].as_str().unwrap_or_default().to_owned();
        for (folder, key, files) in
            [("data", "data", &mut given.data), ("eval", "eval_data", &mut given.eval)]
        {
            for (i, name) in names(key).into_iter().enumerate() {
                files.push((name, must_read(store, &format!("{INPUTS}/{folder}/{i}")).await?));
            }
        }
        for (name, file) in [(PROMPTS, &mut given.prompts), (EVAL_PROMPTS, &mut given.eval_prompts)] {
            // The name in config.json is that of the file; there is none where there were no prompts.
            if let Some(called) = config[name].as_str().filter(|called| !called.is_empty()) {
                let bytes = must_read(store, &format!("{INPUTS}/{name}")).await?;
                *file = Some((called.to_owned(), bytes));
            }
        }
        Ok(given)
    }
}

async fn must_read(store: &impl Store, path: &str) -> Result<Vec<u8>> {
    store.read(path).await?.ok_or_else(|| {
        let what = format!("{} is missing", store.place(path));
        Error::new(ErrorKind::Checkpoint, what, "restore it, or start again")
    })
}
