// The names of shared/quad.wgsl, for arrays that are loaded number by number.
alias Quad = f32;
alias Loaded = f32;
const WIDTH: u32 = 1u;

fn floats(x: Quad) -> Loaded {
    return x;
}

fn stored(x: Loaded) -> Quad {
    return x;
}

fn inner(a: Loaded, b: Loaded) -> f32 {
    return a * b;
}
