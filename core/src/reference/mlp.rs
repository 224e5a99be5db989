//! Twin of `shaders/mlp.wgsl`: the gated activation between the MLP's two linear layers (SwiGLU).

/// `act = silu(gate) * up`: `act (T, F)` from `gate_up (T, 2F)`, each row gate first, then up.
pub fn forward(gate_up: &[f64], ffn: usize) -> Vec<f64> {
    let mut act = Vec::with_capacity(gate_up.len() / 2);
    for row in gate_up.chunks_exact(2 * ffn) {
        let (gate, up) = row.split_at(ffn);
        act.extend(gate.iter().zip(up).map(|(gate, up)| gate * sigmoid(*gate) * up));
    }
    act
}

/// Returns `dgate_up (T, 2F)` of `dact (T, F)`.
pub fn backward(gate_up: &[f64], dact: &[f64], ffn: usize) -> Vec<f64> {
    assert_eq!(gate_up.len(), 2 * dact.len());
    let mut dgate_up = vec![0.0; gate_up.len()];
    for (t, dact) in dact.chunks_exact(ffn).enumerate() {
        for (f, &dact) in dact.iter().enumerate() {
            let (gate_at, up_at) = (t * 2 * ffn + f, t * 2 * ffn + ffn + f);
            let (gate, up) = (gate_up[gate_at], gate_up[up_at]);
            let s = sigmoid(gate);
            dgate_up[gate_at] = dact * up * (s + gate * s * (1.0 - s));
            dgate_up[up_at] = dact * gate * s;
        }
    }
    dgate_up
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
