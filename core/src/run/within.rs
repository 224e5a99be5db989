//! A folder of a store, as the store of a run of its own.

use std::rc::Rc;

use super::store::Store;
use crate::error::Result;

/// What lies in `folder` of another store.
pub(crate) struct Within<S> {
    store: Rc<S>,
    folder: String,
}

impl<S> Within<S> {
    pub(crate) fn new(store: Rc<S>, folder: impl Into<String>) -> Within<S> {
        Within { store, folder: folder.into() }
    }

    fn path(&self, path: &str) -> String {
        if path.is_empty() { self.folder.clone() } else { format!("{}/{path}", self.folder) }
    }
}

impl<S: Store> Store for Within<S> {
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.store.read(&self.path(path)).await
    }

    async fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.store.write(&self.path(path), bytes).await
    }

    async fn append(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.store.append(&self.path(path), bytes).await
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>> {
        self.store.list(&self.path(dir)).await
    }

    async fn remove(&self, path: &str) -> Result<()> {
        self.store.remove(&self.path(path)).await
    }

    async fn sync(&self, path: &str) -> Result<()> {
        self.store.sync(&self.path(path)).await
    }

    async fn publish(&self, dir: &str, files: &[(&str, &[u8])]) -> Result<()> {
        self.store.publish(&self.path(dir), files).await
    }

    async fn retract(&self, dir: &str, marker: &str) -> Result<()> {
        self.store.retract(&self.path(dir), marker).await
    }

    fn place(&self, path: &str) -> String {
        self.store.place(&self.path(path))
    }

    fn name(&self) -> String {
        self.folder.clone()
    }
}
