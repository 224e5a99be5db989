//! Where one run's files lie. Paths are relative to the run, with `/` between names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::error::Result;

/// One run's folder. Nothing here needs to be [`Send`]: a browser's handles are not.
#[allow(async_fn_in_trait)]
pub trait Store {
    /// The bytes of a file; `None` where there is none.
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>>;

    /// Replaces a file, making its folders: whatever happens meanwhile, a reader finds the old bytes or the new.
    async fn write(&self, path: &str, bytes: &[u8]) -> Result<()>;

    /// Adds to a file's end, making the file. A kill may leave a part of `bytes`.
    async fn append(&self, path: &str, bytes: &[u8]) -> Result<()>;

    /// The names in a folder, files and folders, in any order; none where there is no such folder.
    async fn list(&self, dir: &str) -> Result<Vec<String>>;

    /// Removes a file, or a folder with all in it; that there is none is no error.
    async fn remove(&self, path: &str) -> Result<()>;

    /// Makes what was appended to a file survive a power cut, where the system has a call for that.
    async fn sync(&self, _path: &str) -> Result<()> {
        Ok(())
    }

    /// Replaces a folder by one that holds `files` (name, bytes). The last of them is written last: where it lies, all
    /// of them do.
    async fn publish(&self, dir: &str, files: &[(&str, &[u8])]) -> Result<()> {
        if let Some((marker, _)) = files.last() {
            self.retract(dir, marker).await?;
        }
        for (name, bytes) in files {
            self.write(&format!("{dir}/{name}"), bytes).await?;
        }
        Ok(())
    }

    /// Removes a folder that [`Store::publish`] wrote: first the file that says that it is whole.
    async fn retract(&self, dir: &str, marker: &str) -> Result<()> {
        self.remove(&format!("{dir}/{marker}")).await?;
        self.remove(dir).await
    }

    /// How a file is called in messages.
    fn place(&self, path: &str) -> String {
        path.to_owned()
    }

    /// The run's name.
    fn name(&self) -> String {
        "run".to_owned()
    }
}

impl<S: Store> Store for Rc<S> {
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        (**self).read(path).await
    }

    async fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        (**self).write(path, bytes).await
    }

    async fn append(&self, path: &str, bytes: &[u8]) -> Result<()> {
        (**self).append(path, bytes).await
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>> {
        (**self).list(dir).await
    }

    async fn remove(&self, path: &str) -> Result<()> {
        (**self).remove(path).await
    }

    async fn sync(&self, path: &str) -> Result<()> {
        (**self).sync(path).await
    }

    async fn publish(&self, dir: &str, files: &[(&str, &[u8])]) -> Result<()> {
        (**self).publish(dir, files).await
    }

    async fn retract(&self, dir: &str, marker: &str) -> Result<()> {
        (**self).retract(dir, marker).await
    }

    fn place(&self, path: &str) -> String {
        (**self).place(path)
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

/// A run in memory. Clones share it, so that a second can look at what the first has written.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    files: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
}

impl MemoryStore {
    /// What lies in it now, in a store of its own.
    #[cfg(test)]
    pub(crate) fn copy(&self) -> MemoryStore {
        MemoryStore { files: Rc::new(RefCell::new(self.files.borrow().clone())) }
    }
}

impl Store for MemoryStore {
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.files.borrow().get(path).cloned())
    }

    async fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.files.borrow_mut().insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn append(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.files.borrow_mut().entry(path.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>> {
        let files = self.files.borrow();
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let within = files.keys().filter_map(|path| path.strip_prefix(&prefix));
        let mut names: Vec<String> =
            within.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        Ok(names)
    }

    async fn remove(&self, path: &str) -> Result<()> {
        let folder = format!("{path}/");
        self.files.borrow_mut().retain(|file, _| file != path && !file.starts_with(&folder));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_folder_is_replaced_and_its_last_file_says_that_it_is_whole() {
        let store = MemoryStore::default();
        pollster::block_on(async {
            store.publish("a/b", &[("old", b"1"), ("mark", b"")]).await.unwrap();
            store.publish("a/b", &[("new", b"2"), ("mark", b"")]).await.unwrap();
            assert_eq!(store.list("a/b").await.unwrap(), ["mark", "new"]);
            store.write("a/bc", b"another").await.unwrap();
            store.retract("a/b", "mark").await.unwrap();
            assert_eq!(store.list("a").await.unwrap(), ["bc"]);
            assert_eq!(store.list("").await.unwrap(), ["a"]);
        });
    }
}
