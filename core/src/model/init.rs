//! Fresh weights: seeded normal numbers, or the hash weights of the benchmark's peers.

use super::params::{ParamKind, ParamSpec};
use crate::rng::Stream;
use crate::{Error, ErrorKind, Result};

/// A fresh parameter: embeddings and matrices normal(0, `std`), norms 1, biases 0.
///
/// Number `i` of a tensor depends on the seed, the Hugging Face tensor's name and `i` alone, so neither the fused
/// layout nor the order of the parameters matters. Logarithm and cosine come from the platform's mathematics library:
/// bits may differ between platforms in the last place.
pub fn init_param(spec: &ParamSpec, std: f64, seed: u64) -> Vec<f32> {
    match spec.kind {
        ParamKind::Norm => vec![1.0; spec.numel()],
        ParamKind::Bias => vec![0.0; spec.numel()],
        ParamKind::Embedding | ParamKind::Matrix => {
            let mut values = Vec::with_capacity(spec.numel() + 1);
            for source in &spec.sources {
                let stream = Stream::named(seed, &source.name);
                let n = (source.rows * spec.shape[1]) as u64;
                let end = values.len() + n as usize;
                for i in 0..n.div_ceil(2) {
                    let (a, b) = stream.normal_pair(i);
                    values.extend([(a * std) as f32, (b * std) as f32]);
                }
                values.truncate(end);
            }
            values
        }
    }
}

/// The hash that the benchmark's peers draw weights and token ids from.
pub fn peer_hash(i: u32, k: u32) -> u32 {
    let mut h = i.wrapping_mul(2_654_435_761).wrapping_add(k.wrapping_mul(40_503)).wrapping_add(12_345);
    h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519);
    h = (h ^ (h >> 13)).wrapping_mul(3_266_489_917);
    h ^ (h >> 16)
}

/// The token ids of the peers' batch: `n` ids below `vocab_size`.
pub fn peer_tokens(n: usize, vocab_size: usize) -> Vec<u32> {
    (0..n as u32).map(|i| peer_hash(i, 999) % vocab_size as u32).collect()
}

/// A parameter of the peers' exact work: uniform with standard deviation 0.02, computed in f64, norms 1.
///
/// Their matrices are [in, out], one hash stream each: 1 for the embedding (V, C), 2 + 7l + (0..7) for q, k, v, o,
/// gate, up and down of layer l. Here they are transposed into the Hugging Face layout.
///
/// Errors where the peers' model has no such parameter: biases and an untied head.
pub fn peer_param(spec: &ParamSpec) -> Result<Vec<f32>> {
    let value = |i: usize, k: u32| {
        let unit = f64::from(peer_hash(i as u32, k)) / 4_294_967_296.0;
        ((unit - 0.5) * 0.02 * 12f64.sqrt()) as f32
    };
    let no_such = || {
        Error::new(
            ErrorKind::Config,
            format!("hash weights have no {}", spec.name),
            "use `--weights hash` with a preset: tied embeddings, no biases",
        )
    };
    match spec.kind {
        ParamKind::Norm => Ok(vec![1.0; spec.numel()]),
        ParamKind::Embedding => Ok((0..spec.numel()).map(|i| value(i, 1)).collect()),
        ParamKind::Bias => Err(no_such()),
        ParamKind::Matrix => {
            let mut name = spec.name.split('.').skip(1);
            let layer: u32 = name.next().and_then(|l| l.parse().ok()).ok_or_else(no_such)?;
            let first = match name.next() {
                Some("qkv") => 0,
                Some("o") => 3,
                Some("gate_up") => 4,
                Some("down") => 6,
                _ => return Err(no_such()),
            };
            let cols = spec.shape[1];
            let mut values = Vec::with_capacity(spec.numel());
            for (source, k) in spec.sources.iter().zip(2 + 7 * layer + first..) {
                let at = |row: usize, col: usize| value(col * source.rows + row, k);
                values.extend((0..source.rows).flat_map(|row| (0..cols).map(move |col| at(row, col))));
            }
            Ok(values)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;

    #[test]
    fn fresh_weights_have_the_asked_spread_and_follow_the_seed() {
        let specs = ModelConfig::preset("tiny").unwrap().params();
        for spec in &specs {
            let x = init_param(spec, 0.02, 5);
            assert_eq!(x.len(), spec.numel());
            match spec.kind {
                ParamKind::Norm => assert!(x.iter().all(|&v| v == 1.0)),
                ParamKind::Bias => assert!(x.iter().all(|&v| v == 0.0)),
                _ => {
                    let n = x.len() as f64;
                    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
                    let var = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
                    assert!(mean.abs() <= 5.0 * 0.02 / n.sqrt(), "{} mean {mean}", spec.name);
                    assert!(
                        (var.sqrt() / 0.02 - 1.0).abs() <= 5.0 / (2.0 * n).sqrt(),
                        "{} std {}",
                        spec.name,
                        var.sqrt()
                    );
                    assert_eq!(x, init_param(spec, 0.02, 5));
                    assert_ne!(x, init_param(spec, 0.02, 6));
                }
            }
        }
    }

    #[test]
    fn a_layer_draws_other_numbers_than_its_neighbour() {
        let specs = ModelConfig::preset("nano").unwrap().params();
        let of = |name: &str| init_param(specs.iter().find(|s| s.name == name).unwrap(), 1.0, 0);
        assert_ne!(of("layers.0.o.weight"), of("layers.1.o.weight"));
        let qkv = of("layers.0.qkv.weight");
        assert_ne!(qkv[..64], qkv[64 * 64..64 * 64 + 64]);
    }

    #[test]
    fn hash_weights_are_the_peers() {
        // From the definition in the peers' sources, evaluated by a separate Python program (numpy, float64).
        PEER_HASHES.iter().for_each(|&(i, k, want)| assert_eq!(peer_hash(i, k), want, "hash({i}, {k})"));
        let specs = ModelConfig::preset("nano").unwrap().params();
        for &(name, at, want) in PEER_WEIGHTS {
            let spec = specs.iter().find(|s| s.name == name).unwrap();
            assert_eq!(peer_param(spec).unwrap()[at], want, "{name}[{at}]");
        }
        assert_eq!(peer_tokens(5, 128), PEER_TOKENS);
    }

    #[test]
    fn hash_weights_refuse_what_the_peers_lack() {
        let mut config = ModelConfig::preset("nano").unwrap();
        (config.mlp_bias, config.tie_word_embeddings) = (true, false);
        let refused: Vec<_> =
            config.params().into_iter().filter(|s| peer_param(s).is_err()).map(|s| s.name).collect();
        assert!(
            refused.contains(&"head.weight".to_owned()) && refused.contains(&"layers.0.down.bias".to_owned())
        );
        assert_eq!(refused.len(), 5);
    }

    const PEER_HASHES: &[(u32, u32, u32)] =
        &[(0, 1, 1951274912), (7, 3, 2404267573), (100000, 999, 220676643), (4294967, 15, 3875804632)];
    const PEER_WEIGHTS: &[(&str, usize, f32)] = &[
        ("embed.weight", 65, -0.012140446),
        ("layers.0.qkv.weight", 3, 0.027085787),
        ("layers.0.qkv.weight", 6149, -0.0015112665),
        ("layers.0.qkv.weight", 12286, -0.01755176),
        ("layers.0.o.weight", 3, -0.02171417),
        ("layers.0.o.weight", 2053, 0.019660618),
        ("layers.0.o.weight", 4094, 0.022929285),
        ("layers.0.gate_up.weight", 3, -0.029427499),
        ("layers.0.gate_up.weight", 12293, -0.028592363),
        ("layers.0.gate_up.weight", 24574, -0.025623804),
        ("layers.0.down.weight", 3, 0.02733074),
        ("layers.0.down.weight", 6149, -0.005189868),
        ("layers.0.down.weight", 12286, 0.005716868),
        ("layers.1.qkv.weight", 3, -0.029489446),
        ("layers.1.qkv.weight", 6149, -0.011152345),
        ("layers.1.qkv.weight", 12286, 0.002798852),
        ("layers.1.o.weight", 3, 0.022313442),
        ("layers.1.o.weight", 2053, -0.006177582),
        ("layers.1.o.weight", 4094, 0.014586673),
        ("layers.1.gate_up.weight", 3, 0.002975247),
        ("layers.1.gate_up.weight", 12293, -0.024071181),
        ("layers.1.gate_up.weight", 24574, -0.005035813),
        ("layers.1.down.weight", 3, 0.03392159),
        ("layers.1.down.weight", 6149, -0.032995414),
        ("layers.1.down.weight", 12286, 0.034428544),
    ];
    const PEER_TOKENS: [u32; 5] = [102, 40, 82, 82, 80];
}
