//! The reference's log-probs: one pass over the data by the initial weights, kept with the run, so that no second model
//! stays in memory.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::config::Calibrate;
use super::engine::Scored;
use crate::error::{Error, ErrorKind, Result};

/// Log-probs of every record's completion tokens, and the value of its prompt, by the reference model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// Per record, per completion token.
    pub logp: Vec<Vec<f32>>,
    /// Per record.
    pub v1: Vec<f32>,
}

impl Reference {
    /// What the reference model scored.
    pub fn new(scored: Vec<Scored>) -> Reference {
        let v1 = scored.iter().map(|s| s.v1).collect();
        Reference { logp: scored.into_iter().map(|s| s.logp).collect(), v1 }
    }

    /// A reference that gives every token probability 1, for objectives that need none.
    pub fn none(lengths: impl Iterator<Item = usize>) -> Reference {
        let logp: Vec<Vec<f32>> = lengths.map(|n| vec![0.0; n]).collect();
        Reference { v1: vec![0.0; logp.len()], logp }
    }

    /// What `calibrate` subtracts from the V_1 of record `index`.
    pub(crate) fn origin(&self, calibrate: Calibrate, index: usize) -> f32 {
        origin(calibrate, self.v1[index])
    }

    /// The bytes of `reference.safetensors`, marked with `key`: hashes of the data and of the model.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when the format refuses, which more than 2^53 tokens would make it do.
    pub fn to_bytes(&self, key: &str) -> Result<Vec<u8>> {
        let logp: Vec<f32> = self.logp.concat();
        let mut ends: Vec<u32> = Vec::with_capacity(self.logp.len());
        let mut end = 0;
        for row in &self.logp {
            end += row.len() as u32;
            ends.push(end);
        }
        let tensors = [
            ("logp", view(Dtype::F32, &[logp.len()], bytemuck::cast_slice(&logp))?),
            ("ends", view(Dtype::U32, &[ends.len()], bytemuck::cast_slice(&ends))?),
            ("v1", view(Dtype::F32, &[self.v1.len()], bytemuck::cast_slice(&self.v1))?),
        ];
        let metadata = HashMap::from([("key".to_owned(), key.to_owned())]);
        safetensors::serialize(tensors, Some(metadata)).map_err(|e| damaged(&e.to_string()))
    }

    /// Reads what [`Reference::to_bytes`] wrote; `None` when it was written for another `key`.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when it is damaged.
    pub fn from_bytes(bytes: &[u8], key: &str) -> Result<Option<Reference>> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e.to_string()))?;
        if header.metadata().as_ref().and_then(|m| m.get("key")).is_none_or(|k| k != key) {
            return Ok(None);
        }
        let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(&e.to_string()))?;
        let data = |name: &str| file.tensor(name).map_err(|e| damaged(&e.to_string()));
        let logp: Vec<f32> = bytemuck::pod_collect_to_vec(data("logp")?.data());
        let ends: Vec<u32> = bytemuck::pod_collect_to_vec(data("ends")?.data());
        let v1: Vec<f32> = bytemuck::pod_collect_to_vec(data("v1")?.data());
        let sorted = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        if v1.len() != ends.len() || ends.last().map_or(0, |&e| e as usize) != logp.len() || !sorted {
            return Err(damaged("its parts do not fit each other"));
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let logp =
            starts.zip(&ends).map(|(start, &end)| logp[start as usize..end as usize].to_vec()).collect();
        Ok(Some(Reference { logp, v1 }))
    }
}

/// What `calibrate` subtracts from V_1 where the reference's is `v1`.
pub(crate) fn origin(calibrate: Calibrate, v1: f32) -> f32 {
    match calibrate {
        Calibrate::VRef => v1,
        Calibrate::None => 0.0,
    }
}

fn view<'a>(dtype: Dtype, shape: &[usize], bytes: &'a [u8]) -> Result<TensorView<'a>> {
    TensorView::new(dtype, shape.to_vec(), bytes).map_err(|e| damaged(&e.to_string()))
}

fn damaged(why: &str) -> Error {
    Error::new(
        ErrorKind::Checkpoint,
        format!("reference.safetensors is damaged: {why}"),
        "delete it: it is computed again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_key() {
        let reference =
            Reference { logp: vec![vec![-1.0, -2.5], vec![], vec![-0.25]], v1: vec![3.0, 4.0, 5.0] };
        let bytes = reference.to_bytes("a").unwrap();
        assert_eq!(Reference::from_bytes(&bytes, "a").unwrap(), Some(reference));
        assert_eq!(Reference::from_bytes(&bytes, "b").unwrap(), None);
        assert!(Reference::from_bytes(&bytes[..bytes.len() - 1], "a").is_err());
    }
}
