//! Which variant of each family runs on a device: a fixed table where a processor pretends to be a GPU, the tuner's
//! measurements elsewhere.

use std::collections::BTreeMap;

use super::Widths;
use super::matmul::MatmulVariants;
use crate::gpu::Caps;
use crate::gpu::kernels::{adamw, attention, cache, head, matmul, mlp, norm, rope, sample};

/// The names of the variants of all families, as a checkpoint and the tuner's cache keep them.
pub type Names = BTreeMap<String, String>;

/// One variant per family that has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variants {
    /// RMSNorm.
    pub norm: Widths<norm::Variant>,
    /// Matrix products.
    pub matmul: MatmulVariants,
    /// Attention.
    pub attention: attention::Variant,
    /// Rotary embedding.
    pub rope: rope::Variant,
    /// SwiGLU.
    pub mlp: Widths<mlp::Variant>,
    /// The head's statistics.
    pub head: Widths<head::Variant>,
    /// The optimizer.
    pub adamw: adamw::Variant,
    /// The KV cache.
    pub cache: cache::Variant,
    /// Sampling.
    pub sample: sample::Variant,
    /// Whether a small model's decode step is one dispatch.
    pub step_at_once: bool,
}

impl Variants {
    /// The table for `caps` and a model whose heads have `head_dim` channels.
    pub fn table(caps: &Caps, head_dim: usize) -> Variants {
        let attention = attention_variant(caps, head_dim);
        if caps.software {
            let (scalar, vec4) = if caps.lavapipe() {
                (matmul::Variant::LaneSg, matmul::Variant::LaneSgVec4)
            } else if caps.subgroups_of(4) {
                (matmul::Variant::LaneQuad, matmul::Variant::LaneQuadTallVec4)
            } else {
                (matmul::Variant::Lane, matmul::Variant::LaneVec4)
            };
            Variants {
                norm: Widths { scalar: norm::Variant::Lane, vec4: norm::Variant::LaneVec4 },
                matmul: MatmulVariants { scalar, vec4, tokens_at_once: 512 },
                attention,
                rope: rope::Variant::Lane,
                mlp: Widths { scalar: mlp::Variant::Lane, vec4: mlp::Variant::LaneVec4 },
                head: Widths { scalar: head::Variant::Lane, vec4: head::Variant::LaneVec4 },
                adamw: adamw::Variant::Lane,
                cache: cache_variant(caps, head_dim),
                sample: sample::Variant::Lane,
                step_at_once: caps.lavapipe(),
            }
        } else {
            Variants {
                norm: Widths { scalar: norm::Variant::Tile, vec4: norm::Variant::Tile },
                matmul: MatmulVariants {
                    scalar: matmul::Variant::Tile,
                    vec4: matmul::Variant::TileVec4,
                    tokens_at_once: usize::MAX,
                },
                attention,
                rope: rope::Variant::Tile,
                mlp: Widths { scalar: mlp::Variant::Tile, vec4: mlp::Variant::Tile },
                head: Widths { scalar: head::Variant::Tile, vec4: head::Variant::TileVec4 },
                adamw: adamw::Variant::Tile,
                cache: cache_variant(caps, head_dim),
                sample: sample::Variant::Tile,
                step_at_once: false,
            }
        }
    }
}

impl Variants {
    /// The names of all of them.
    pub fn names(&self) -> Names {
        let name = |family: &str, name: &str| (family.to_owned(), name.to_owned());
        BTreeMap::from([
            name("norm", self.norm.scalar.name()),
            name("norm.vec4", self.norm.vec4.name()),
            name("matmul", self.matmul.scalar.name()),
            name("matmul.vec4", self.matmul.vec4.name()),
            name("matmul.tokens_at_once", &self.matmul.tokens_at_once.to_string()),
            name("attention", self.attention.name()),
            name("rope", self.rope.name()),
            name("mlp", self.mlp.scalar.name()),
            name("mlp.vec4", self.mlp.vec4.name()),
            name("head", self.head.scalar.name()),
            name("head.vec4", self.head.vec4.name()),
            name("adamw", self.adamw.name()),
            name("cache", self.cache.name()),
            name("sample", self.sample.name()),
            name("step_at_once", &self.step_at_once.to_string()),
        ])
    }

    /// What [`Variants::names`] wrote; `None` when one of them does not exist here.
    pub fn parse(names: &Names) -> Option<Variants> {
        let get = |family: &str| names.get(family).map(String::as_str);
        Some(Variants {
            norm: Widths {
                scalar: norm::Variant::parse(get("norm")?)?,
                vec4: norm::Variant::parse(get("norm.vec4")?)?,
            },
            matmul: MatmulVariants {
                scalar: matmul::Variant::parse(get("matmul")?)?,
                vec4: matmul::Variant::parse(get("matmul.vec4")?)?,
                tokens_at_once: get("matmul.tokens_at_once")?.parse().ok()?,
            },
            attention: attention::Variant::parse(get("attention")?)?,
            rope: rope::Variant::parse(get("rope")?)?,
            mlp: Widths {
                scalar: mlp::Variant::parse(get("mlp")?)?,
                vec4: mlp::Variant::parse(get("mlp.vec4")?)?,
            },
            head: Widths {
                scalar: head::Variant::parse(get("head")?)?,
                vec4: head::Variant::parse(get("head.vec4")?)?,
            },
            adamw: adamw::Variant::parse(get("adamw")?)?,
            cache: cache::Variant::parse(get("cache")?)?,
            sample: sample::Variant::parse(get("sample")?)?,
            // Names from before there was a choice.
            step_at_once: get("step_at_once").is_some_and(|at_once| at_once == "true"),
        })
    }

    /// For each family in turn, what else might be faster on a real GPU than the table's choice. Every candidate takes
    /// every size, and none changes the data type.
    pub fn candidates(head_dim: usize) -> Vec<Vec<fn(&mut Variants)>> {
        let mut all: Vec<Vec<fn(&mut Variants)>> = vec![
            vec![
                |v| v.matmul.vec4 = matmul::Variant::TileVec4,
                |v| v.matmul.vec4 = matmul::Variant::TileTallVec4,
                |v| v.matmul.vec4 = matmul::Variant::TileSmall,
            ],
            vec![|v| v.matmul.scalar = matmul::Variant::Tile, |v| {
                v.matmul.scalar = matmul::Variant::TileSmall
            }],
            vec![|v| v.matmul.tokens_at_once = usize::MAX, |v| v.matmul.tokens_at_once = 2048],
            vec![|v| v.norm = Widths { scalar: norm::Variant::Tile, vec4: norm::Variant::Tile }, |v| {
                v.norm = Widths { scalar: norm::Variant::Lane, vec4: norm::Variant::LaneVec4 }
            }],
            vec![|v| v.head = Widths { scalar: head::Variant::Tile, vec4: head::Variant::TileVec4 }, |v| {
                v.head = Widths { scalar: head::Variant::Lane, vec4: head::Variant::LaneVec4 }
            }],
        ];
        use attention::Variant as A;
        all.push(match head_dim {
            d if !d.is_multiple_of(4) => vec![|v| v.attention = A::TileAny, |v| v.attention = A::LaneAny],
            0..=16 => vec![|v| v.attention = A::TileD32, |v| v.attention = A::LaneD16],
            17..=32 => vec![|v| v.attention = A::TileD32, |v| v.attention = A::LaneD32],
            33..=64 => vec![|v| v.attention = A::TileD64, |v| v.attention = A::LaneD64],
            _ => vec![|v| v.attention = A::TileD128, |v| v.attention = A::LaneD128],
        });
        all
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
        (true, true) if caps.lavapipe() => [A::LaneSgD16, A::LaneSgD32, A::LaneSgD64, A::LaneSgD128][width],
        // None for the widest heads: four rows of them are too many registers.
        (true, true) if caps.subgroups_of(4) => {
            [A::LaneQuadD16, A::LaneQuadD32, A::LaneQuadD64, A::LaneD128][width]
        }
        (true, true) => [A::LaneD16, A::LaneD32, A::LaneD64, A::LaneD128][width],
        (false, true) => [A::TileD32, A::TileD32, A::TileD64, A::TileD128][width],
    }
}

/// As [`attention_variant`]; the halves of a head that turn together are vec4 too.
fn cache_variant(caps: &Caps, head_dim: usize) -> cache::Variant {
    use cache::Variant as C;
    match (caps.software, head_dim) {
        (true, d) if !d.is_multiple_of(8) => C::Lane,
        (false, d) if !d.is_multiple_of(8) => C::Tile,
        (true, 0..=16) if caps.lavapipe() => C::LaneWideD16,
        (true, 17..=32) if caps.lavapipe() => C::LaneWideD32,
        (true, _) if caps.lavapipe() => C::LaneWideD128,
        (true, 0..=16) => C::LaneVec4D16,
        (true, 17..=32) => C::LaneVec4D32,
        (true, _) => C::LaneVec4D128,
        (false, 0..=32) => C::TileVec4D32,
        (false, 33..=64) => C::TileVec4D64,
        (false, _) => C::TileVec4D128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let caps = Caps {
            software: false,
            subgroups: true,
            subgroup_size: 32,
            f16: false,
            int64: false,
            timestamps: false,
            pipeline_cache: false,
            max_binding: 1 << 27,
            max_buffer: 1 << 28,
            max_groups: 65_535,
        };
        for software in [false, true] {
            let variants = Variants::table(&Caps { software, ..caps.clone() }, 64);
            assert_eq!(Variants::parse(&variants.names()), Some(variants));
        }
        let mut names = Variants::table(&caps, 64).names();
        names.insert("norm".into(), "no such variant".into());
        assert_eq!(Variants::parse(&names), None);
    }
}
