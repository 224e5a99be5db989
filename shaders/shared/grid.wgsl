// Grids are one-dimensional and folded into (x, y) above 65,535 workgroups: the last row of the fold may hold groups
// beyond the work, which every kernel ignores.
fn group_index(wid: vec3<u32>, nwg: vec3<u32>) -> u32 {
  return wid.y * nwg.x + wid.x;
}
