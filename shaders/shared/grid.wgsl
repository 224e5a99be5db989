// One-dimensional grids, folded into (x, y) by the host where they exceed 65,535 groups. The last row of a folded grid
// may hold groups beyond the work, which every kernel ignores.
fn group_index(wid: vec3<u32>, nwg: vec3<u32>) -> u32 {
    return wid.y * nwg.x + wid.x;
}
