// Counter-based random numbers: the same (seed, stream, counter) gives the same number, whoever asks and whenever.

fn mix(x: u32) -> u32 {
    var h = x;
    h ^= h >> 16u;
    h *= 0x7feb352du;
    h ^= h >> 15u;
    h *= 0x846ca68bu;
    h ^= h >> 16u;
    return h;
}

fn random(seed: u32, stream: u32, counter: u32) -> u32 {
    return mix(mix(mix(seed) ^ stream) ^ counter);
}

// In [0, 1), 24 bits.
fn random_unit(seed: u32, stream: u32, counter: u32) -> f32 {
    return f32(random(seed, stream, counter) >> 8u) * 5.9604644775390625e-8;
}
