//! Which variant of each family runs on a device: a fixed table where a processor pretends to be a GPU, the tuner's
//! measurements elsewhere.

use super::head::HeadVariants;
use super::matmul::MatmulVariants;
use crate::gpu::Caps;
use crate::gpu::kernels::{adamw, attention, cache, head, matmul, norm, sample};

/// One variant per family that has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variants {
    /// RMSNorm.
    pub norm: norm::Variant,
    /// Matrix products.
    pub matmul: MatmulVariants,
    /// Attention.
    pub attention: attention::Variant,
    /// The head's statistics.
    pub head: HeadVariants,
    /// The optimizer.
    pub adamw: adamw::Variant,
    /// The KV cache.
    pub cache: cache::Variant,
    /// Sampling.
    pub sample: sample::Variant,
}

impl Variants {
    /// The table for `caps` and a model whose heads have `head_dim` channels.
    pub fn table(caps: &Caps, head_dim: usize) -> Variants {
        let attention = attention_variant(caps, head_dim);
        if caps.software {
            let (scalar, vec4) = if caps.subgroups_of_eight() {
                (matmul::Variant::LaneSg, matmul::Variant::LaneSgVec4)
            } else {
                (matmul::Variant::Lane, matmul::Variant::LaneVec4)
            };
            Variants {
                norm: norm::Variant::Lane,
                matmul: MatmulVariants { scalar, vec4, tokens_at_once: 512 },
                attention,
                head: HeadVariants { scalar: head::Variant::Lane, vec4: head::Variant::LaneVec4 },
                adamw: adamw::Variant::Lane,
                cache: cache::Variant::Lane,
                sample: sample::Variant::Lane,
            }
        } else {
            Variants {
                norm: norm::Variant::Tile,
                matmul: MatmulVariants {
                    scalar: matmul::Variant::Tile,
                    vec4: matmul::Variant::TileVec4,
                    tokens_at_once: usize::MAX,
                },
                attention,
                head: HeadVariants { scalar: head::Variant::Tile, vec4: head::Variant::TileVec4 },
                adamw: adamw::Variant::Tile,
                cache: cache::Variant::Tile,
                sample: sample::Variant::Tile,
            }
        }
    }
}

/// The narrowest variant whose registers hold a head; vec4 loads need a multiple of 4 channels.
fn attention_variant(caps: &Caps, head_dim: usize) -> attention::Variant {
    use attention::Variant as A;
    let width = match head_dim {
        0..=16 => 0,
        17..=32 => 1,
        33..=64 => 2,
        _ => 3,
    };
    match (caps.software, head_dim.is_multiple_of(4)) {
        (true, false) => A::LaneAny,
        (false, false) => A::TileAny,
        (true, true) if caps.subgroups_of_eight() => {
            [A::LaneSgD16, A::LaneSgD32, A::LaneSgD64, A::LaneSgD128][width]
        }
        (true, true) => [A::LaneD16, A::LaneD32, A::LaneD64, A::LaneD128][width],
        (false, true) => [A::TileD32, A::TileD32, A::TileD64, A::TileD128][width],
    }
}
