//! Counter-based random numbers on the host: value `i` of a stream is a pure function of (seed, stream, i), so
//! nothing depends on the order in which numbers are drawn, and a resumed run draws the same ones.

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One stream of random numbers, named by a seed and a stream number.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: u64,
}

impl Stream {
    /// The stream `stream` of `seed`; distinct pairs give unrelated streams.
    pub fn new(seed: u64, stream: u64) -> Self {
        Stream { key: mix(mix(seed.wrapping_add(GOLDEN)).wrapping_add(stream.wrapping_mul(GOLDEN))) }
    }

    /// The stream of `seed` named by a text (its FNV-1a hash is the stream number).
    pub fn named(seed: u64, name: &str) -> Self {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        Stream::new(seed, hash)
    }

    /// 64 random bits: SplitMix64's output number `i`.
    pub fn bits(&self, i: u64) -> u64 {
        mix(self.key.wrapping_add(i.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Number `i`, uniform in the open interval (0, 1), 53 bits.
    pub fn uniform(&self, i: u64) -> f64 {
        ((self.bits(i) >> 11) as f64 + 0.5) * (-53f64).exp2()
    }

    /// Number `i`, uniform in `0..n`; the bias of at most n / 2^64 is below what any caller can see. 0 when `n` is 0.
    pub fn below(&self, i: u64, n: u64) -> u64 {
        ((u128::from(self.bits(i)) * u128::from(n)) >> 64) as u64
    }

    /// Standard normal numbers 2i and 2i+1 (Box-Muller on uniforms 2i and 2i+1).
    pub fn normal_pair(&self, i: u64) -> (f64, f64) {
        let radius = (-2.0 * self.uniform(2 * i).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform(2 * i + 1)).sin_cos();
        (radius * cos, radius * sin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_depend_on_seed_stream_and_counter_only() {
        let s = Stream::new(1, 2);
        assert_eq!(s.bits(7), Stream::new(1, 2).bits(7));
        assert_ne!(s.bits(7), s.bits(8));
        assert_ne!(s.bits(7), Stream::new(1, 3).bits(7));
        assert_ne!(s.bits(7), Stream::new(2, 2).bits(7));
        assert_ne!(Stream::named(0, "a").bits(0), Stream::named(0, "b").bits(0));
    }

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let n = 50_000;
        let s = Stream::new(3, 0);
        let x: Vec<f64> = (0..n / 2).flat_map(|i| <[f64; 2]>::from(s.normal_pair(i))).collect();
        let moment = |k: i32| x.iter().map(|v| v.powi(k)).sum::<f64>() / n as f64;
        // Four standard errors of the estimates: sqrt(1/n), sqrt(2/n), sqrt(96/n).
        for (k, want, var) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (4, 3.0, 96.0)] {
            let diff = (moment(k) - want).abs();
            assert!(diff <= 4.0 * (var / n as f64).sqrt(), "moment {k}: off by {diff}");
        }
    }

    #[test]
    fn below_covers_its_range_and_nothing_else() {
        let s = Stream::new(9, 9);
        let mut seen = [0u32; 5];
        (0..1000).for_each(|i| seen[s.below(i, 5) as usize] += 1);
        assert!(seen.iter().all(|&c| c > 120), "{seen:?}");
        assert_eq!(s.below(0, 1), 0);
    }
}
