//! Weights from and to safetensors: Hugging Face tensor names outside, the fused parameters inside.

use std::collections::{BTreeMap, HashMap};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;

use super::params::{ParamSpec, Source};
use crate::{Error, ErrorKind, Result};

/// Reads the parameters `specs` from the safetensors `files` (name, bytes), one file or the shards that `index` (the
/// text of `model.safetensors.index.json`) lists, and hands each to `sink` as f32, in the order of `specs`.
///
/// Everything about names, shapes and types is checked before `sink` sees the first parameter. Tensor names may lack
/// their `model.` prefix. Rotary frequencies are ignored, and so is `lm_head.weight` where the head is the embedding.
///
/// Errors: a damaged or truncated file, a tensor missing, unexpected, in two files, of another shape or of a type
/// other than f32, f16 and bf16, a weight that is not finite, and whatever `sink` returns.
pub fn load(
    specs: &[ParamSpec],
    files: &[(&str, &[u8])],
    index: Option<&str>,
    mut sink: impl FnMut(usize, Vec<f32>) -> Result<()>,
) -> Result<()> {
    let parsed = files.iter().map(|&(name, bytes)| open(name, bytes)).collect::<Result<Vec<_>>>()?;
    let mut tensors = BTreeMap::new();
    for ((file, _), shard) in files.iter().zip(&parsed) {
        for (name, view) in shard.iter() {
            if tensors.insert(name, (*file, view)).is_some() {
                return Err(bad_weights(format!("{file}: tensor {name} stands in two files")));
            }
        }
    }
    if let Some(index) = index {
        check_index(index, files, &tensors)?;
    }
    let plan = find_sources(specs, &mut tensors)?;
    let tied = specs.iter().all(|s| s.name != "head.weight");
    let ignorable = |name: &str| name.ends_with("rotary_emb.inv_freq") || (tied && name == "lm_head.weight");
    if let Some((name, (file, _))) = tensors.iter().find(|(name, _)| !ignorable(name)) {
        return Err(bad_weights(format!(
            "{file}: tensor {name} is no part of the model that config.json describes"
        )));
    }
    for (i, (spec, views)) in specs.iter().zip(plan).enumerate() {
        let mut values = Vec::with_capacity(spec.numel());
        for (source, (file, view)) in spec.sources.iter().zip(views) {
            append(&mut values, &view);
            let start = source.row * spec.shape[1];
            if let Some(at) = values[start..].iter().position(|x| !x.is_finite()) {
                let (name, x) = (&source.name, values[start + at]);
                let place = index_text(at, &spec.source_shape(source));
                return Err(bad_weights(format!("{file}: tensor {name} has {x} at {place}")));
            }
        }
        sink(i, values)?;
    }
    Ok(())
}

/// The bytes of a `model.safetensors` (f32, metadata `format: pt`) with the parameters `params`, one slice per spec.
/// `transformers` loads it beside [`super::ModelConfig::to_json`].
///
/// # Panics
/// Where a slice's length is not its spec's.
pub fn save(specs: &[ParamSpec], params: &[&[f32]]) -> Result<Vec<u8>> {
    assert_eq!(specs.len(), params.len(), "one slice per parameter");
    let mut views = Vec::new();
    for (spec, values) in specs.iter().zip(params) {
        assert_eq!(values.len(), spec.numel(), "{}", spec.name);
        for source in &spec.sources {
            let cols = spec.shape[1];
            let rows = &values[source.row * cols..(source.row + source.rows) * cols];
            let view = TensorView::new(Dtype::F32, spec.source_shape(source), bytemuck::cast_slice(rows));
            views.push((
                source.name.as_str(),
                view.map_err(|e| bad_weights(format!("{}: {e}", source.name)))?,
            ));
        }
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|e| bad_weights(format!("model.safetensors: {e}")))
}

type Found<'a> = (&'a str, TensorView<'a>);

fn open<'a>(name: &str, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|e| {
        bad_weights(format!("{name}: truncated or damaged safetensors file ({} bytes): {e}", bytes.len()))
    })
}

/// Takes the tensors that `specs` need out of `tensors`.
fn find_sources<'a>(
    specs: &[ParamSpec],
    tensors: &mut BTreeMap<&str, Found<'a>>,
) -> Result<Vec<Vec<Found<'a>>>> {
    let one = |spec: &ParamSpec, source: &Source, tensors: &mut BTreeMap<&str, Found<'a>>| {
        let name = source.name.as_str();
        let short = name.strip_prefix("model.").unwrap_or(name);
        let Some((file, view)) = tensors.remove(name).or_else(|| tensors.remove(short)) else {
            return Err(bad_weights(format!("tensor {name} is missing")));
        };
        let want = spec.source_shape(source);
        if view.shape() != want {
            return Err(bad_weights(format!(
                "{file}: tensor {name} has shape {:?}, config.json asks for {want:?}",
                view.shape()
            )));
        }
        if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(bad_weights(format!(
                "{file}: tensor {name} is {:?}; F32, F16 and BF16 are supported",
                view.dtype()
            )));
        }
        Ok((file, view))
    };
    specs.iter().map(|spec| spec.sources.iter().map(|s| one(spec, s, tensors)).collect()).collect()
}

/// Every tensor of the index stands in the file that the index names. What else a shard holds is judged by its name.
fn check_index(index: &str, files: &[(&str, &[u8])], tensors: &BTreeMap<&str, Found<'_>>) -> Result<()> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let place = "model.safetensors.index.json";
    let index: Index = serde_json::from_str(index).map_err(|e| bad_weights(format!("{place}: {e}")))?;
    for (tensor, file) in &index.weight_map {
        if !files.iter().any(|(name, _)| name == file) {
            return Err(bad_weights(format!("{place} lists {file}, which is missing")));
        }
        if tensors.get(tensor.as_str()).is_none_or(|(found, _)| found != file) {
            return Err(bad_weights(format!("{file}: tensor {tensor} is missing, though {place} lists it")));
        }
    }
    Ok(())
}

/// Appends a tensor's numbers as f32. Files promise no alignment, so the bytes are read in pieces.
fn append(out: &mut Vec<f32>, view: &TensorView<'_>) {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F16 => out.extend(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32())),
        Dtype::BF16 => out.extend(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32())),
        _ => out.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
    }
}

fn index_text(flat: usize, shape: &[usize]) -> String {
    match shape {
        [_, cols] => format!("[{}, {}]", flat / cols, flat % cols),
        _ => format!("[{flat}]"),
    }
}

fn bad_weights(what: String) -> Error {
    Error::new(
        ErrorKind::Model,
        what,
        "download or export the model's safetensors files again; config.json must be theirs",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelConfig, init};

    fn small() -> (ModelConfig, Vec<ParamSpec>, Vec<Vec<f32>>) {
        let mut config = ModelConfig::preset("nano").unwrap();
        (config.vocab_size, config.hidden_size, config.head_dim, config.intermediate_size) = (10, 8, 2, 6);
        (config.attention_bias, config.num_key_value_heads) = (true, 2);
        let specs = config.params();
        let params = specs.iter().map(|s| init::init_param(s, 0.02, 7)).collect();
        (config, specs, params)
    }

    fn slices(params: &[Vec<f32>]) -> Vec<&[f32]> {
        params.iter().map(Vec::as_slice).collect()
    }

    fn read(specs: &[ParamSpec], files: &[(&str, &[u8])], index: Option<&str>) -> Result<Vec<Vec<f32>>> {
        let mut out = Vec::new();
        load(specs, files, index, |i, values| {
            assert_eq!(i, out.len());
            out.push(values);
            Ok(())
        })?;
        Ok(out)
    }

    /// Writes tensors of any type, changed by `edit`.
    fn file(
        specs: &[ParamSpec],
        params: &[Vec<f32>],
        edit: impl Fn(&str) -> Option<(String, Dtype, Vec<usize>)>,
    ) -> Vec<u8> {
        let mut data = Vec::new();
        for (spec, values) in specs.iter().zip(params) {
            for source in &spec.sources {
                let Some((name, dtype, shape)) = edit(&source.name) else { continue };
                let cols = spec.shape[1];
                let n = if shape.is_empty() { source.rows * cols } else { shape.iter().product() };
                let rows = values[source.row * cols..].iter().copied().cycle().take(n);
                let bytes: Vec<u8> = match dtype {
                    Dtype::F16 => rows.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect(),
                    Dtype::BF16 => rows.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect(),
                    Dtype::F64 => rows.flat_map(|x| f64::from(x).to_le_bytes()).collect(),
                    _ => rows.flat_map(f32::to_le_bytes).collect(),
                };
                data.push((
                    name,
                    dtype,
                    if shape.is_empty() { spec.source_shape(source) } else { shape },
                    bytes,
                ));
            }
        }
        let views = data.iter().map(|(n, d, s, b)| (n, TensorView::new(*d, s.clone(), b).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }

    fn as_is(name: &str) -> Option<(String, Dtype, Vec<usize>)> {
        Some((name.to_owned(), Dtype::F32, vec![]))
    }

    #[test]
    fn saved_parameters_come_back_bit_for_bit() {
        let (_, specs, params) = small();
        let bytes = save(&specs, &slices(&params)).unwrap();
        assert_eq!(read(&specs, &[("model.safetensors", &bytes)], None).unwrap(), params);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
        assert_eq!(metadata.info("model.layers.0.self_attn.k_proj.bias").unwrap().shape, [4]);
    }

    #[test]
    fn half_types_short_names_and_ignorable_tensors_load() {
        let (_, specs, params) = small();
        for dtype in [Dtype::F16, Dtype::BF16] {
            let bytes = file(&specs, &params, |n| {
                Some((n.strip_prefix("model.").unwrap_or(n).to_owned(), dtype, vec![]))
            });
            let got = read(&specs, &[("m", &bytes)], None).unwrap();
            for (x, y) in params.iter().flatten().zip(got.iter().flatten()) {
                let want = if dtype == Dtype::F16 {
                    f16::from_f32(*x).to_f32()
                } else {
                    bf16::from_f32(*x).to_f32()
                };
                assert_eq!(*y, want);
            }
        }
        let extra = [("lm_head.weight", 1), ("model.layers.0.self_attn.rotary_emb.inv_freq", 1)];
        let one = 1f32.to_le_bytes();
        let views = extra.map(|(n, k)| (n, TensorView::new(Dtype::F32, vec![k], &one).unwrap()));
        let ignorable = safetensors::serialize(views, None).unwrap();
        let bytes = save(&specs, &slices(&params)).unwrap();
        assert_eq!(read(&specs, &[("a", &bytes), ("b", &ignorable)], None).unwrap(), params);
    }

    #[test]
    fn shards_load_through_their_index() {
        let (_, specs, params) = small();
        let part = |first: bool| {
            file(&specs, &params, |n| if n.contains("layers.0") == first { as_is(n) } else { None })
        };
        let (a, b) = (part(true), part(false));
        let names = specs.iter().flat_map(|s| &s.sources).map(|s| &s.name);
        let map: BTreeMap<_, _> =
            names.map(|n| (n, if n.contains("layers.0") { "a" } else { "b" })).collect();
        let index = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
        assert_eq!(read(&specs, &[("a", &a), ("b", &b)], Some(&index)).unwrap(), params);
        let what = |files: &[(&str, &[u8])], index: &str| read(&specs, files, Some(index)).unwrap_err().what;
        assert_eq!(what(&[("a", &a)], &index), "model.safetensors.index.json lists b, which is missing");
        assert!(what(&[("a", &a), ("b", &a)], &index).contains("stands in two files"));
        assert!(what(&[("a", &b), ("b", &a)], &index).contains("is missing, though"));
        assert!(what(&[("a", &a)], "{").starts_with("model.safetensors.index.json: "));
    }

    #[test]
    fn each_fault_is_named() {
        let (_, specs, params) = small();
        let what = |bytes: &[u8]| read(&specs, &[("m", bytes)], None).unwrap_err().what;
        let good = save(&specs, &slices(&params)).unwrap();
        for cut in [0, 4, 40, good.len() - 1] {
            assert!(
                what(&good[..cut]).starts_with("m: truncated or damaged"),
                "{cut}: {}",
                what(&good[..cut])
            );
        }
        let up = "model.layers.1.mlp.up_proj.weight";
        let edit = |change: Option<(String, Dtype, Vec<usize>)>| {
            what(&file(&specs, &params, |n| if n == up { change.clone() } else { as_is(n) }))
        };
        assert_eq!(edit(None), format!("tensor {up} is missing"));
        assert!(
            edit(Some((up.into(), Dtype::F32, vec![8, 6])))
                .contains("has shape [8, 6], config.json asks for [6, 8]")
        );
        assert!(edit(Some((up.into(), Dtype::F64, vec![]))).contains("is F64;"));
        let mut views = file(&specs[..1], &params, |_| Some(("model.other".into(), Dtype::F32, vec![])));
        assert!(
            read(&specs, &[("m", &good), ("x", &views)], None)
                .unwrap_err()
                .what
                .starts_with("x: tensor model.other is no part")
        );
        views = file(&specs[..1], &params, as_is);
        assert!(
            read(&specs, &[("m", &good), ("x", &views)], None).unwrap_err().what.contains("in two files")
        );
    }

    #[test]
    fn a_weight_that_is_not_finite_is_named_with_its_place() {
        let (_, specs, params) = small();
        let qkv = specs.iter().position(|s| s.name == "layers.1.qkv.weight").unwrap();
        for bad in [f32::NAN, f32::INFINITY] {
            let mut params = params.clone();
            params[qkv][9 * 8 + 3] = bad;
            let bytes = save(&specs, &slices(&params)).unwrap();
            let error = read(&specs, &[("m", &bytes)], None).unwrap_err();
            assert_eq!(
                error.what,
                format!("m: tensor model.layers.1.self_attn.k_proj.weight has {bad} at [1, 3]")
            );
        }
    }
}
