//! Twin of `shaders/adamw.wgsl`: AdamW with a global-norm clip, as PyTorch's `clip_grad_norm_` and `AdamW` compute
//! them (Loshchilov & Hutter, arXiv 1711.05101), but a clip that is exact: no epsilon beside the norm.

use super::decoder::Params;

/// The settings of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// This step's learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled: every parameter first shrinks by `lr * weight_decay`.
    pub weight_decay: f64,
    /// The largest norm that a step's whole gradient keeps; `None` never clips.
    pub grad_clip: Option<f64>,
}

/// The optimizer's memory: both moments of every parameter, and the steps applied so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Running mean of the clipped gradient.
    pub m: Params,
    /// Running mean of its square.
    pub v: Params,
    /// Steps applied: a skipped one does not count.
    pub step: i32,
}

/// What [`step`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applied {
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// False where the loss or the norm was not finite: then nothing changed.
    pub applied: bool,
}

/// One optimizer step on every parameter that `grads` names.
pub fn step(
    params: &mut Params,
    grads: &Params,
    loss: f64,
    state: &mut State,
    settings: &Settings,
) -> Applied {
    let grad_norm = global_norm(grads);
    if !(loss.is_finite() && grad_norm.is_finite()) {
        return Applied { grad_norm, applied: false };
    }
    let clip = match settings.grad_clip {
        Some(limit) if grad_norm > limit => limit / grad_norm,
        _ => 1.0,
    };
    state.step += 1;
    for (name, grad) in grads {
        let param = params.get_mut(name).unwrap_or_else(|| panic!("no parameter named {name}"));
        assert_eq!(param.len(), grad.len(), "{name}");
        let m = state.m.entry(name.clone()).or_insert_with(|| vec![0.0; grad.len()]);
        let v = state.v.entry(name.clone()).or_insert_with(|| vec![0.0; grad.len()]);
        for i in 0..grad.len() {
            let g = clip * grad[i];
            m[i] = settings.beta1 * m[i] + (1.0 - settings.beta1) * g;
            v[i] = settings.beta2 * v[i] + (1.0 - settings.beta2) * g * g;
            let m_hat = m[i] / (1.0 - settings.beta1.powi(state.step));
            let v_hat = v[i] / (1.0 - settings.beta2.powi(state.step));
            param[i] -= settings.lr * settings.weight_decay * param[i];
            param[i] -= settings.lr * m_hat / (v_hat.sqrt() + settings.eps);
        }
    }
    Applied { grad_norm, applied: true }
}

/// The Euclidean norm of all gradients as one vector.
pub fn global_norm(grads: &Params) -> f64 {
    grads.values().flatten().map(|g| g * g).sum::<f64>().sqrt()
}
