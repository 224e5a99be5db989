//! `metrics.jsonl`: one JSON object per optimizer step, each with its number in `step`.

use serde_json::Value;

use super::store::Store;
use crate::error::{Error, ErrorKind, Result};

/// One line per step.
pub(super) const METRICS: &str = "metrics.jsonl";

/// Prepares the file for a run that continues after `last_step` (`None`: from the beginning): later lines, and one that
/// a kill left half-written, are removed, so that every step ends up with exactly one line.
///
/// # Errors
/// [`ErrorKind::Store`]; [`ErrorKind::Checkpoint`] when a line that stays is not what a run writes.
pub(super) async fn rewind(store: &impl Store, last_step: Option<u64>) -> Result<()> {
    let text = match last_step {
        Some(_) => store.read(METRICS).await?.unwrap_or_default(),
        None => Vec::new(),
    };
    let kept = up_to(&text, last_step.unwrap_or(0)).map_err(|line| {
        let what = format!("{}:{line}: not the line of the next step", store.place(METRICS));
        Error::new(ErrorKind::Checkpoint, what, "the file was changed by hand: restore it, or start again")
    })?;
    store.write(METRICS, kept).await
}

/// Adds a line, at once.
pub(super) async fn append(store: &impl Store, line: &Value) -> Result<()> {
    store.append(METRICS, format!("{line}\n").as_bytes()).await
}

/// The lines that are there.
pub(super) async fn all(store: &impl Store) -> Result<Vec<Value>> {
    let text = store.read(METRICS).await?.unwrap_or_default();
    Ok(text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The whole lines of steps up to `last_step`; the number of the first line that is none.
fn up_to(text: &[u8], last_step: u64) -> Result<&[u8], usize> {
    let mut end = 0;
    let mut previous = None;
    for (i, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            break;
        }
        let step = serde_json::from_slice::<Value>(line).ok().and_then(|value| value["step"].as_u64());
        match step {
            Some(step) if step > last_step => break,
            Some(step) if previous < Some(step) => end += line.len(),
            _ => return Err(i + 1),
        }
        previous = step;
    }
    Ok(&text[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::MemoryStore;

    #[test]
    fn a_resume_leaves_one_line_per_step() {
        let store = MemoryStore::default();
        pollster::block_on(async {
            rewind(&store, None).await.unwrap();
            for step in 1..=5 {
                append(&store, &json!({"step": step, "loss": 0.1})).await.unwrap();
            }
            store.append(METRICS, b"{\"step\": 6, \"lo").await.unwrap();
            for last in [9, 3] {
                rewind(&store, Some(last)).await.unwrap();
                append(&store, &json!({"step": last + 1})).await.unwrap();
            }
            let steps: Vec<Value> =
                all(&store).await.unwrap().iter().map(|line| line["step"].clone()).collect();
            assert_eq!(steps, [1, 2, 3, 4]);
            rewind(&store, None).await.unwrap();
            assert!(all(&store).await.unwrap().is_empty());
        });
    }

    #[test]
    fn a_line_that_no_run_writes_is_named() {
        let store = MemoryStore::default();
        for second in ["nonsense", "{\"step\":1}"] {
            let text = format!("{{\"step\":1}}\n{second}\n");
            let error = pollster::block_on(async {
                store.write(METRICS, text.as_bytes()).await.unwrap();
                rewind(&store, Some(7)).await.unwrap_err()
            });
            assert!(error.what.contains("metrics.jsonl:2"), "{error}");
        }
    }
}
