//! Which variant of each family runs on a device: a fixed table where a processor pretends to be a GPU, the tuner's
//! measurements elsewhere.

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
    pub head: head::Variant,
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
        let attention = attention_variant(caps.software, head_dim);
        if caps.software {
            // The subgroup kernels are written for the width of lavapipe's registers.
            let wide = caps.subgroups && caps.subgroup_size == 8;
            let matmul = if wide {
                MatmulVariants { scalar: matmul::Variant::LaneSg, vec4: matmul::Variant::LaneSgVec4 }
            } else {
                MatmulVariants { scalar: matmul::Variant::Lane, vec4: matmul::Variant::LaneVec4 }
            };
            Variants {
                norm: norm::Variant::Lane,
                matmul,
                attention,
                head: head::Variant::Lane,
                adamw: adamw::Variant::Lane,
                cache: cache::Variant::Lane,
                sample: sample::Variant::Lane,
            }
        } else {
            Variants {
                norm: norm::Variant::Tile,
                matmul: MatmulVariants { scalar: matmul::Variant::Tile, vec4: matmul::Variant::TileVec4 },
                attention,
                head: head::Variant::Tile,
                adamw: adamw::Variant::Tile,
                cache: cache::Variant::Tile,
                sample: sample::Variant::Tile,
            }
        }
    }
}

/// The narrowest variant whose registers hold a head.
fn attention_variant(software: bool, head_dim: usize) -> attention::Variant {
    use attention::Variant as A;
    let of = |lane, tile| if software { lane } else { tile };
    match head_dim {
        0..=16 => of(A::LaneD16, A::TileD32),
        17..=32 => of(A::LaneD32, A::TileD32),
        33..=64 => of(A::LaneD64, A::TileD64),
        _ => of(A::LaneD128, A::TileD128),
    }
}
