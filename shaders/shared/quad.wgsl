// Four neighbouring floats of an array, as it is loaded. lavapipe loads for each lane by itself and each component by itself,
// whatever its size: WIDE loads two of 64 bits in place of four of 32.
#if WIDE
alias Quad = vec2<u64>;

fn floats(quad: Quad) -> vec4<f32> {
    let even = bitcast<vec2<f32>>(vec2<u32>(quad));
    let odd = bitcast<vec2<f32>>(vec2<u32>(quad >> vec2(32u)));
    return vec4(even.x, odd.x, even.y, odd.y);
}

fn stored(floats: vec4<f32>) -> Quad {
    let bits = bitcast<vec4<u32>>(floats);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2(32u));
}
#else
alias Quad = vec4<f32>;

fn floats(quad: Quad) -> vec4<f32> {
    return quad;
}

fn stored(floats: vec4<f32>) -> Quad {
    return floats;
}
#endif

// What one load brings, and how many numbers that are.
alias Loaded = vec4<f32>;
const WIDTH: u32 = 4u;

fn inner(a: Loaded, b: Loaded) -> f32 {
    return dot(a, b);
}
