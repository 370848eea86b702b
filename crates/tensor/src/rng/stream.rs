//! A separate generator for each sampled word.

use super::unit_f64;

/// A small generator, stream `i` of a seed, from which sampled word `i` is drawn.
///
/// Word `i` of a seed is the same however many words are sampled, in whatever order and on however many
/// threads. Seeding a Mersenne Twister costs more than a word's few draws, so this is xoshiro256++, with four
/// words of SplitMix64 started at `mix(mix(seed) ^ i)`, which differs for every `i`. The numbers never
/// change.
///
/// ```
/// use charloom_tensor::rng::StreamRng;
/// let first: Vec<f64> = (0..3).map(|i| StreamRng::new(42, i).uniform_f64()).collect();
/// assert!(first.iter().all(|u| (0.0..1.0).contains(u)));
/// assert_eq!(StreamRng::new(42, 2).uniform_f64(), first[2]);
/// ```
///
/// # Source
/// Blackman and Vigna 2021, "Scrambled linear pseudorandom number generators"; Steele, Lea and Flood
/// 2014, "Fast splittable pseudorandom number generators".
#[derive(Clone, Debug)]
pub struct StreamRng {
    words: [u64; 4],
}

impl StreamRng {
    /// Stream `i` of `seed`.
    pub fn new(seed: u64, i: u64) -> Self {
        let mut state = mix(mix(seed.wrapping_add(GAMMA)) ^ i);
        let words = std::array::from_fn(|_| {
            state = state.wrapping_add(GAMMA);
            mix(state)
        });
        Self { words }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.words;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.words = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub fn uniform_f64(&mut self) -> f64 {
        unit_f64(self.next_u64() >> 11)
    }
}

/// SplitMix64's increment: 2^64 over the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finalizer: a bijection in which every input bit affects all output bits.
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
