//! One run's folder, as the worker keeps it in the browser's private file system.

use js_sys::{Array, Reflect, Uint8Array};
use tbrm_core::run::Store;
use tbrm_core::{Error, ErrorKind, Result};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The worker's object; what each of its calls does is said in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Store")]
    #[derive(Clone, Debug)]
    pub type JsStore;

    #[wasm_bindgen(method, catch)]
    async fn read(this: &JsStore, path: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn write(this: &JsStore, path: &str, bytes: Uint8Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn append(this: &JsStore, path: &str, bytes: Uint8Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn list(this: &JsStore, dir: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn remove(this: &JsStore, path: &str) -> Result<JsValue, JsValue>;
}

/// Bytes go over as copies: the wasm's memory moves when it grows, which it may while a promise is pending.
impl Store for JsStore {
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let found = JsStore::read(self, path).await.map_err(|thrown| refused("read", path, &thrown))?;
        if found.is_undefined() || found.is_null() {
            return Ok(None);
        }
        match found.dyn_into::<Uint8Array>() {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(other) => Err(refused("read", path, &other)),
        }
    }

    async fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let written = JsStore::write(self, path, Uint8Array::from(bytes)).await;
        written.map(drop).map_err(|thrown| refused("write", path, &thrown))
    }

    async fn append(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let written = JsStore::append(self, path, Uint8Array::from(bytes)).await;
        written.map(drop).map_err(|thrown| refused("write", path, &thrown))
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>> {
        let names = JsStore::list(self, dir).await.map_err(|thrown| refused("list", dir, &thrown))?;
        Ok(Array::from(&names).iter().filter_map(|name| name.as_string()).collect())
    }

    async fn remove(&self, path: &str) -> Result<()> {
        let removed = JsStore::remove(self, path).await;
        removed.map(drop).map_err(|thrown| refused("remove", path, &thrown))
    }
}

/// The error of what a call threw: the worker's own words, where it threw a `Fault`.
fn refused(verb: &str, path: &str, thrown: &JsValue) -> Error {
    let text = |key: &str| Reflect::get(thrown, &key.into()).ok()?.as_string();
    if let (Some(what), Some(help)) = (text("what"), text("help")) {
        return Error::new(ErrorKind::Store, what, help);
    }
    let why = text("message").unwrap_or_else(|| format!("{thrown:?}"));
    let help = "reload the page: the run goes on from its last checkpoint";
    Error::new(ErrorKind::Store, format!("cannot {verb} {path}: {why}"), help)
}
