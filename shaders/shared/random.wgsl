// Counter-based random numbers: the same (seed, stream, counter) gives the same number, whoever asks and whenever.
// PCG3D (Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020), its first word.

fn random(seed: u32, stream: u32, counter: u32) -> u32 {
    var v = vec3(seed, stream, counter) * 1664525u + 1013904223u;
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v ^= v >> vec3(16u);
    v.x += v.y * v.z;
    return v.x;
}

// In [0, 1), 24 bits.
fn random_unit(seed: u32, stream: u32, counter: u32) -> f32 {
    return f32(random(seed, stream, counter) >> 8u) * 5.9604644775390625e-8;
}
