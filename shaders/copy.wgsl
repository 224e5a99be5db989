// Copies an array: WebGPU's own copies refuse a source and a destination in one buffer, where tensors of a plan lie.

#import shared/grid

const WG: u32 = 64u;

struct CopyParams {
    count: u32,
}

@group(0) @binding(0) var<uniform> p: CopyParams;

@group(0) @binding(1) var<storage, read> x: array<f32>; // (count)
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // (count)

@compute @workgroup_size(WG)
fn copy_fwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = group_index(wid, nwg) * WG + lid;
    if i < p.count {
        out[i] = x[i];
    }
}
