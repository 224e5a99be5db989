// Sums and maxima over a workgroup of WG invocations; every invocation receives the result. The root file defines
// WG, a power of two. The order of a reduction depends on WG alone.

var<workgroup> sh_reduce: array<f32, WG>;

fn reduce_sum(lid: u32, value: f32) -> f32 {
    sh_reduce[lid] = value;
    for (var width = WG / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lid < width {
            sh_reduce[lid] += sh_reduce[lid + width];
        }
    }
    workgroupBarrier();
    let total = sh_reduce[0];
    // Without this barrier the next reduction would overwrite the total before every invocation has read it.
    workgroupBarrier();
    return total;
}

fn reduce_max(lid: u32, value: f32) -> f32 {
    sh_reduce[lid] = value;
    for (var width = WG / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lid < width {
            sh_reduce[lid] = max(sh_reduce[lid], sh_reduce[lid + width]);
        }
    }
    workgroupBarrier();
    let total = sh_reduce[0];
    workgroupBarrier();
    return total;
}
