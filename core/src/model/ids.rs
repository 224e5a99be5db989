//! The numbers of a decoder's parameters in the parameter table, by role.

use super::params::ParamSpec;

/// One layer's parameters.
#[derive(Clone, Debug)]
pub struct LayerIds {
    /// (C)
    pub attn_norm: usize,
    /// ((H + 2K) * D, C)
    pub qkv: usize,
    /// ((H + 2K) * D)
    pub qkv_bias: Option<usize>,
    /// (C, H * D)
    pub o: usize,
    /// (C)
    pub o_bias: Option<usize>,
    /// (C)
    pub mlp_norm: usize,
    /// (2F, C)
    pub gate_up: usize,
    /// (2F)
    pub gate_up_bias: Option<usize>,
    /// (C, F)
    pub down: usize,
    /// (C)
    pub down_bias: Option<usize>,
}

/// All parameters.
#[derive(Clone, Debug)]
pub struct Ids {
    /// (V, C)
    pub embed: usize,
    /// From the first to the last.
    pub layers: Vec<LayerIds>,
    /// (C)
    pub norm: usize,
    /// (V, C): the embedding's where they are tied.
    pub head: usize,
}

impl Ids {
    /// Looks every role up by name.
    ///
    /// # Panics
    /// When a parameter is missing from the table: the table and this list are made for each other.
    pub fn new(specs: &[ParamSpec], layers: usize) -> Ids {
        let find = |name: &str| specs.iter().position(|spec| spec.name == name);
        let need = |name: &str| find(name).unwrap_or_else(|| panic!("the parameter table has no `{name}`"));
        let layer = |i: usize| {
            let name = |what: &str| format!("layers.{i}.{what}");
            LayerIds {
                attn_norm: need(&name("attn_norm.weight")),
                qkv: need(&name("qkv.weight")),
                qkv_bias: find(&name("qkv.bias")),
                o: need(&name("o.weight")),
                o_bias: find(&name("o.bias")),
                mlp_norm: need(&name("mlp_norm.weight")),
                gate_up: need(&name("gate_up.weight")),
                gate_up_bias: find(&name("gate_up.bias")),
                down: need(&name("down.weight")),
                down_bias: find(&name("down.bias")),
            }
        };
        let embed = need("embed.weight");
        Ids {
            embed,
            layers: (0..layers).map(layer).collect(),
            norm: need("norm.weight"),
            head: find("head.weight").unwrap_or(embed),
        }
    }
}
