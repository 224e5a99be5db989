// SwiGLU between the fused gate-and-up projection and the down projection: act = silu(gate) * up, with
// silu(g) = g * sigmoid(g). Refuses to store sigmoid(gate): the backward reads gate_up again and recomputes it.
// T tokens, F the feed-forward width. A workgroup has a row: dividing an index by F for every element would cost a
// software adapter more than the exponential.
//
// Variants: on CPU adapters every 4 or 8 invocations of a workgroup, and every turn of a loop, cost as much as a few
// elements, whence `lane`: narrow groups. `vec4` wants F to be a multiple of 4.
#variant tile Element:f32 WIDTH=1u WG=32u
#variant lane Element:f32 WIDTH=1u WG=8u
#variant lane_vec4 Element:vec4<f32> WIDTH=4u WG=8u
#import shared/grid

struct MlpParams {
  rows: u32, // T
  cols: u32, // F
}

@group(0) @binding(0) var<uniform> p: MlpParams;
@group(0) @binding(1) var<storage, read> gate_up: array<Element>; // (T, 2F) gate, then up
@group(0) @binding(2) var<storage, read_write> act: array<Element>; // (T, F)
@group(0) @binding(3) var<storage, read> dact: array<Element>; // (T, F)
@group(0) @binding(4) var<storage, read_write> dgate_up: array<Element>; // (T, 2F) =

fn sigmoid(g: Element) -> Element {
  return 1.0 / (1.0 + exp(-g));
}

// act = silu(gate) * up
@compute @workgroup_size(WG)
fn mlp_fwd(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) nwg: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(wid, nwg);
  if row >= p.rows {
    return;
  }
  let cols = p.cols / WIDTH;
  for (var c = lane; c < cols; c += WG) {
    let gate = 2u * row * cols + c;
    let g = gate_up[gate];
    act[row * cols + c] = g * sigmoid(g) * gate_up[gate + cols];
  }
}

// dgate = dact * up * silu'(gate), dup = dact * silu(gate), with silu'(g) = s + g * s * (1 - s), s = sigmoid(g)
@compute @workgroup_size(WG)
fn mlp_bwd(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) nwg: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(wid, nwg);
  if row >= p.rows {
    return;
  }
  let cols = p.cols / WIDTH;
  for (var c = lane; c < cols; c += WG) {
    let gate = 2u * row * cols + c;
    let g = gate_up[gate];
    let s = sigmoid(g);
    let d = dact[row * cols + c];
    dgate_up[gate] = d * gate_up[gate + cols] * (s + g * s * (1.0 - s));
    dgate_up[gate + cols] = d * g * s;
  }
}
