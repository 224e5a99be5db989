//! Checkpoints: model directories that a run can go on from.

use super::File;
use super::files::{ModelFiles, WEIGHTS, Weights};
use super::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::train::{Checkpoint, State};

/// Their folder.
const CHECKPOINTS: &str = "checkpoints";
/// Says where the run stood; written last, so that where it lies the checkpoint is whole.
const STATE: &str = "state.json";
/// The optimizer's moments.
const OPTIMIZER: &str = "optimizer.safetensors";
/// The reference's log-probs: the run's, and of a checkpoint whose reference is no longer the initial model.
pub(super) const REFERENCE: &str = "reference.safetensors";

/// Of an online run: the completions that its next steps may draw from.
const ROLLOUTS: &str = "rollouts.safetensors";
/// Of an online run whose reference is no longer the initial model: its weights.
const REFERENCE_MODEL: &str = "reference-model.safetensors";

/// Where a run goes on.
pub struct Point {
    /// Its folder.
    pub path: String,
    /// Where the run stood.
    pub state: State,
    /// The weights at that time.
    pub weights: Weights,
    pub(crate) optimizer: Vec<u8>,
    pub(super) reference: Option<Vec<u8>>,
    pub(super) rollouts: Option<Vec<u8>>,
    pub(super) reference_model: Option<Vec<u8>>,
}

impl Point {
    /// The newest checkpoint of the run in `store`.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when it is damaged; [`ErrorKind::Store`].
    pub async fn newest(store: &impl Store) -> Result<Option<Point>> {
        for step in steps(store).await?.into_iter().rev() {
            let point = Point::read(store, &path(step)).await?;
            // What a kill left half-written is none.
            if point.is_some() {
                return Ok(point);
            }
        }
        Ok(None)
    }

    /// The checkpoint in the folder `path`; `None` where there is none that is whole.
    ///
    /// # Errors
    /// As [`Point::newest`].
    pub(crate) async fn read(store: &impl Store, path: &str) -> Result<Option<Point>> {
        let Some(state) = store.read(&format!("{path}/{STATE}")).await? else { return Ok(None) };
        let place = store.place(path);
        let state = State::parse(&state).map_err(|error| error.at(&place))?;
        let optimizer = store.read(&format!("{path}/{OPTIMIZER}")).await?.ok_or_else(|| {
            let what = format!("{place}: {OPTIMIZER} is missing");
            Error::new(ErrorKind::Checkpoint, what, "restore it, remove the checkpoint, or start again")
        })?;
        let weights = weights(store, path).await?;
        let reference = store.read(&format!("{path}/{REFERENCE}")).await?;
        let rollouts = store.read(&format!("{path}/{ROLLOUTS}")).await?;
        let reference_model = store.read(&format!("{path}/{REFERENCE_MODEL}")).await?;
        let path = path.to_owned();
        Ok(Some(Point { path, state, weights, optimizer, reference, rollouts, reference_model }))
    }
}

/// The weights of the model in the folder `path`, as a run wrote it.
pub(crate) async fn weights(store: &impl Store, path: &str) -> Result<Weights> {
    let file: Option<File> =
        store.read(&format!("{path}/{WEIGHTS}")).await?.map(|bytes| (WEIGHTS.to_owned(), bytes));
    Weights::take(&store.place(path), file.into_iter().collect())
}

/// The folder of the checkpoint after `step` optimizer steps.
pub(super) fn path(step: u64) -> String {
    format!("{CHECKPOINTS}/step_{step:06}")
}

/// The steps of the checkpoints that there are, in order.
async fn steps(store: &impl Store) -> Result<Vec<u64>> {
    let names = store.list(CHECKPOINTS).await?;
    let mut steps: Vec<u64> =
        names.iter().filter_map(|name| name.strip_prefix("step_")?.parse().ok()).collect();
    steps.sort_unstable();
    Ok(steps)
}

/// Publishes a checkpoint in the folder `path`.
pub(crate) async fn write(
    store: &impl Store,
    path: &str,
    model: &ModelFiles,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let state = checkpoint.state.to_json()?;
    let files = model.with_weights(checkpoint.model.clone());
    let mut all: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    all.push((OPTIMIZER, &checkpoint.optimizer));
    for (name, bytes) in [
        (REFERENCE, &checkpoint.reference),
        (ROLLOUTS, &checkpoint.rollouts),
        (REFERENCE_MODEL, &checkpoint.reference_model),
    ] {
        all.extend(bytes.as_deref().map(|bytes| (name, bytes)));
    }
    all.push((STATE, state.as_bytes()));
    store.publish(path, &all).await
}

/// Makes the checkpoint in the folder `path` a model and nothing else.
pub(crate) async fn strip(store: &impl Store, path: &str) -> Result<()> {
    for file in [STATE, OPTIMIZER, REFERENCE, ROLLOUTS, REFERENCE_MODEL] {
        store.remove(&format!("{path}/{file}")).await?;
    }
    Ok(())
}

/// Publishes a model in the folder `path`.
pub(super) async fn write_model(
    store: &impl Store,
    path: &str,
    model: &ModelFiles,
    weights: Vec<u8>,
) -> Result<()> {
    let files = model.with_weights(weights);
    let all: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    store.publish(path, &all).await
}

/// Removes all checkpoints but the last `keep` and the one of step `best`.
pub(super) async fn prune(store: &impl Store, keep: usize, best: Option<u64>) -> Result<()> {
    let steps = steps(store).await?;
    for &step in steps[..steps.len().saturating_sub(keep)].iter().filter(|step| Some(**step) != best) {
        store.retract(&path(step), STATE).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::MemoryStore;

    #[test]
    fn the_last_checkpoints_and_the_best_are_kept() {
        let store = MemoryStore::default();
        pollster::block_on(async {
            for step in [10, 20, 1_000_000, 30] {
                store.publish(&path(step), &[(STATE, b"{}")]).await.unwrap();
            }
            store.write("checkpoints/mine/notes.txt", b"mine").await.unwrap();
            assert_eq!(steps(&store).await.unwrap(), [10, 20, 30, 1_000_000]);
            prune(&store, 1, Some(20)).await.unwrap();
            assert_eq!(steps(&store).await.unwrap(), [20, 1_000_000]);
            assert!(store.read("checkpoints/mine/notes.txt").await.unwrap().is_some());
        });
    }

    #[test]
    fn a_half_written_checkpoint_does_not_count() {
        let store = MemoryStore::default();
        pollster::block_on(async {
            store.write("checkpoints/step_000002/model.safetensors", b"half").await.unwrap();
            assert!(Point::newest(&store).await.unwrap().is_none());
            store.write("checkpoints/step_000002/state.json", b"{}").await.unwrap();
            let error = Point::newest(&store).await.err().expect("damaged");
            assert!(error.what.starts_with("checkpoints/step_000002: state.json"), "{error}");
        });
    }
}
