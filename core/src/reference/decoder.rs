//! Twin of the whole model: a Llama decoder from packed tokens to the logits of the completion rows, and back to the
//! gradient of every named parameter.

use std::collections::BTreeMap;

use super::objective::{self, CriticOutcome, Objective, Outcome, Records, Settings};
use super::{Heads, attention, embed, head, matmul, mlp, norm, rope, value};

/// Parameters, or their gradients, by name. `[out, in]`, q, k, v fused into one weight and gate, up into another:
///
/// | name | shape |
/// |---|---|
/// | `embed.weight` | (V, C) |
/// | `layers.{i}.attn_norm.weight`, `layers.{i}.mlp_norm.weight`, `norm.weight` | (C) |
/// | `layers.{i}.qkv.weight`, `.bias` where `qkv_bias` | ((H+2K)*D, C), ((H+2K)*D) |
/// | `layers.{i}.o.weight`, `.bias` where `o_bias` | (C, H*D), (C) |
/// | `layers.{i}.gate_up.weight`, `.bias` where `mlp_bias` | (2F, C), (2F) |
/// | `layers.{i}.down.weight`, `.bias` where `mlp_bias` | (C, F), (C) |
/// | `head.weight` unless `tied` | (V, C) |
/// | `value.weight`, `value.bias` where ppo has a critic | (C), (1) |
pub type Params = BTreeMap<String, Vec<f64>>;

/// The sizes of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Vocabulary, V.
    pub vocab: usize,
    /// Layers, L.
    pub layers: usize,
    /// Channels, C.
    pub channels: usize,
    /// Attention's heads, H, K and D.
    pub heads: Heads,
    /// Width of the MLP, F.
    pub ffn: usize,
    /// Epsilon of every RMSNorm.
    pub norm_eps: f64,
    /// `(D/2)` from [`super::frequencies::inv_freq`].
    pub inv_freq: Vec<f64>,
    /// The head uses `embed.weight`.
    pub tied: bool,
    /// q, k and v have biases.
    pub qkv_bias: bool,
    /// Attention's output projection has a bias.
    pub o_bias: bool,
    /// The MLP's projections have biases.
    pub mlp_bias: bool,
}

impl Config {
    /// The length of every parameter by name, see [`Params`].
    pub fn lengths(&self) -> BTreeMap<String, usize> {
        let c = self.channels;
        let mut lengths =
            BTreeMap::from([("embed.weight".into(), self.vocab * c), ("norm.weight".into(), c)]);
        if !self.tied {
            lengths.insert("head.weight".into(), self.vocab * c);
        }
        for i in 0..self.layers {
            for norm in ["attn_norm", "mlp_norm"] {
                lengths.insert(format!("layers.{i}.{norm}.weight"), c);
            }
            for (name, outputs, inputs, bias) in [
                ("qkv", self.heads.qkv_width(), c, self.qkv_bias),
                ("o", c, self.heads.out_width(), self.o_bias),
                ("gate_up", 2 * self.ffn, c, self.mlp_bias),
                ("down", c, self.ffn, self.mlp_bias),
            ] {
                lengths.insert(format!("layers.{i}.{name}.weight"), outputs * inputs);
                if bias {
                    lengths.insert(format!("layers.{i}.{name}.bias"), outputs);
                }
            }
        }
        lengths
    }

    fn head_name(&self) -> &'static str {
        if self.tied { "embed.weight" } else { "head.weight" }
    }
}

/// Packed sequences without padding, each one trajectory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `(T)` token ids.
    pub tokens: Vec<u32>,
    /// `(T)` positions, from 0 in each sequence.
    pub positions: Vec<u32>,
    /// `(T)` packed index of the first token of the token's sequence.
    pub seq_start: Vec<u32>,
    /// `(T)` one past the packed index of the last token of the token's sequence.
    pub seq_end: Vec<u32>,
    /// `(R)` packed index of the token that predicts the action.
    pub rows: Vec<u32>,
    /// `(R)` the action: the next token.
    pub targets: Vec<u32>,
    /// `(S+1)` first row of each trajectory, and R.
    pub traj_start: Vec<u32>,
}

impl Batch {
    /// Packs sequences of a prompt and a completion, neither of them empty. The completion's last token is only a
    /// target: nothing follows it, so it is no input.
    pub fn pack(sequences: &[(&[u32], &[u32])]) -> Batch {
        let mut batch = Batch { traj_start: vec![0], ..Batch::default() };
        for (prompt, completion) in sequences {
            let start = batch.tokens.len() as u32;
            let inputs = prompt.iter().chain(&completion[..completion.len() - 1]);
            batch.tokens.extend(inputs);
            let end = batch.tokens.len() as u32;
            batch.positions.extend(0..end - start);
            batch.seq_start.extend((start..end).map(|_| start));
            batch.seq_end.extend((start..end).map(|_| end));
            batch.rows.extend(start + prompt.len() as u32 - 1..end);
            batch.targets.extend(*completion);
            batch.traj_start.push(batch.rows.len() as u32);
        }
        batch
    }
}

/// What the backward pass needs of a layer's forward pass.
struct Layer {
    x: Vec<f64>,
    attn_rstd: Vec<f64>,
    attn_in: Vec<f64>,
    qkv: Vec<f64>,
    attn_out: Vec<f64>,
    lse: Vec<f64>,
    x_mid: Vec<f64>,
    mlp_rstd: Vec<f64>,
    mlp_in: Vec<f64>,
    gate_up: Vec<f64>,
    act: Vec<f64>,
}

/// What [`forward`] computed.
pub struct Forward {
    layers: Vec<Layer>,
    x: Vec<f64>,
    rstd: Vec<f64>,
    hidden: Vec<f64>,
    /// `(R, V)` raw logits of the completion rows.
    pub logits: Vec<f64>,
}

/// Runs the model on `batch`.
pub fn forward(config: &Config, params: &Params, batch: &Batch) -> Forward {
    let c = config.channels;
    let mut x = embed::forward(&batch.tokens, &params["embed.weight"], c);
    let mut layers = Vec::with_capacity(config.layers);
    for i in 0..config.layers {
        let weight = |name: &str| params[&format!("layers.{i}.{name}.weight")].as_slice();
        let bias = |name: &str| params.get(&format!("layers.{i}.{name}.bias")).map(Vec::as_slice);

        let (attn_in, attn_rstd) = norm::forward(&x, weight("attn_norm"), config.norm_eps);
        let mut qkv = matmul::forward(&attn_in, weight("qkv"), bias("qkv"), None, c);
        rope::forward(&mut qkv, &batch.positions, &config.inv_freq, &config.heads);
        let (attn_out, lse) = attention::forward(&qkv, &batch.seq_start, &config.heads);
        let x_mid = matmul::forward(&attn_out, weight("o"), bias("o"), Some(&x), config.heads.out_width());

        let (mlp_in, mlp_rstd) = norm::forward(&x_mid, weight("mlp_norm"), config.norm_eps);
        let gate_up = matmul::forward(&mlp_in, weight("gate_up"), bias("gate_up"), None, c);
        let act = mlp::forward(&gate_up, config.ffn);
        let x_next = matmul::forward(&act, weight("down"), bias("down"), Some(&x_mid), config.ffn);

        layers.push(Layer {
            x,
            attn_rstd,
            attn_in,
            qkv,
            attn_out,
            lse,
            x_mid,
            mlp_rstd,
            mlp_in,
            gate_up,
            act,
        });
        x = x_next;
    }
    let (normed, rstd) = norm::forward(&x, &params["norm.weight"], config.norm_eps);
    // Only completion rows enter the head: picking them is the same gather as embedding.
    let hidden = embed::forward(&batch.rows, &normed, c);
    let logits = matmul::forward(&hidden, &params[config.head_name()], None, None, c);
    Forward { layers, x, rstd, hidden, logits }
}

/// The gradient of every parameter, from `dlogits (R, V)` and, where there is a critic, `dvalue (R)`.
pub fn backward(
    config: &Config,
    params: &Params,
    batch: &Batch,
    forward: &Forward,
    dlogits: &[f64],
    dvalue: Option<&[f64]>,
) -> Params {
    let c = config.channels;
    let grads = config.lengths().into_iter().map(|(name, length)| (name, vec![0.0; length])).collect();
    let mut back = Backward { params, grads };

    let mut dhidden = back.linear(config.head_name(), dlogits, &forward.hidden, c);
    if let Some(dvalue) = dvalue {
        let (mut dw, mut dbias) = (vec![0.0; c], 0.0);
        value::backward_w(&forward.hidden, dvalue, &mut dw, &mut dbias);
        value::backward_x(&params["value.weight"], dvalue, &mut dhidden);
        back.grads.insert("value.weight".into(), dw);
        back.grads.insert("value.bias".into(), vec![dbias]);
    }
    let mut dnormed = vec![0.0; forward.x.len()];
    embed::backward(&batch.rows, &dhidden, c, &mut dnormed);
    let mut dx = back.norm("norm.weight", &forward.x, &forward.rstd, &dnormed);

    for (i, layer) in forward.layers.iter().enumerate().rev() {
        let name = |part: &str| format!("layers.{i}.{part}.weight");

        let dact = back.linear(&name("down"), &dx, &layer.act, config.ffn);
        let dgate_up = mlp::backward(&layer.gate_up, &dact, config.ffn);
        let dmlp_in = back.linear(&name("gate_up"), &dgate_up, &layer.mlp_in, c);
        add(&mut dx, &back.norm(&name("mlp_norm"), &layer.x_mid, &layer.mlp_rstd, &dmlp_in));

        let dattn_out = back.linear(&name("o"), &dx, &layer.attn_out, config.heads.out_width());
        let mut dqkv = attention::backward(
            &layer.qkv,
            &layer.attn_out,
            &layer.lse,
            &dattn_out,
            &batch.seq_start,
            &config.heads,
        );
        rope::inverse(&mut dqkv, &batch.positions, &config.inv_freq, &config.heads);
        let dattn_in = back.linear(&name("qkv"), &dqkv, &layer.attn_in, c);
        add(&mut dx, &back.norm(&name("attn_norm"), &layer.x, &layer.attn_rstd, &dattn_in));
    }
    embed::backward(&batch.tokens, &dx, c, back.grad("embed.weight"));
    back.grads
}

/// Accumulates the gradients of named parameters on the way back.
struct Backward<'a> {
    params: &'a Params,
    grads: Params,
}

impl Backward<'_> {
    fn grad(&mut self, name: &str) -> &mut [f64] {
        self.grads.get_mut(name).unwrap_or_else(|| panic!("no parameter named {name}"))
    }

    /// Returns `dx` of the linear layer whose weight is `name`, with its bias, if it has one, beside it.
    fn linear(&mut self, name: &str, dy: &[f64], x: &[f64], inputs: usize) -> Vec<f64> {
        matmul::backward_w(dy, x, inputs, self.grad(name));
        if let Some(dbias) = self.grads.get_mut(&name.replace(".weight", ".bias")) {
            matmul::backward_bias(dy, dbias);
        }
        matmul::backward_x(dy, &self.params[name], inputs)
    }

    /// Returns `dx` of the norm whose weight is `name`.
    fn norm(&mut self, name: &str, x: &[f64], rstd: &[f64], dout: &[f64]) -> Vec<f64> {
        norm::backward_w(x, rstd, dout, self.grad(name));
        norm::backward_x(x, &self.params[name], rstd, dout)
    }
}

/// A micro-batch's part of a step.
pub struct Step {
    /// The loss: the sum of the trajectories' shares.
    pub loss: f64,
    /// The gradient of the loss by parameter.
    pub grads: Params,
    /// The statistics of every completion row.
    pub stats: head::Stats,
    /// The loss, trajectory by trajectory; of ppo with the critic's.
    pub outcome: Outcome,
    /// Of ppo.
    pub critic: Option<CriticOutcome>,
}

/// Forward, objective and backward.
pub fn loss_and_grads(
    config: &Config,
    params: &Params,
    batch: &Batch,
    records: &Records,
    settings: &Settings,
) -> Step {
    let kappa = settings.logit_scale;
    let forward = forward(config, params, batch);
    let stats = head::forward(&forward.logits, &batch.targets, kappa);
    let mut outcome = objective::evaluate(&stats, &batch.traj_start, records, settings);
    let critic = (settings.objective == Objective::Ppo).then(|| {
        let values = value::forward(&forward.hidden, &params["value.weight"], params["value.bias"][0]);
        objective::critic(&values, &batch.traj_start, records, settings)
    });
    if let Some(critic) = &critic {
        let shares = outcome.loss.iter_mut().zip(&critic.loss);
        shares.for_each(|(loss, of_critic)| *loss += settings.terms.value_coefficient * of_critic);
    }
    let dlogits = head::backward(&forward.logits, &batch.targets, kappa, &outcome.a, &outcome.b);
    let dvalue = critic.as_ref().map(|critic| critic.dvalue.as_slice());
    let grads = backward(config, params, batch, &forward, &dlogits, dvalue);
    Step { loss: outcome.loss.iter().sum(), grads, stats, outcome, critic }
}

fn add(x: &mut [f64], y: &[f64]) {
    assert_eq!(x.len(), y.len());
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
