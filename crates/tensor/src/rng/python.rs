//! CPython's `random` module: the part needed to shuffle a data set.

use super::mt19937::Mt19937;

/// CPython's `random.Random(seed)` for an integer seed.
///
/// ```
/// use charloom_tensor::rng::PythonRandom;
/// let mut words = ["a", "b", "c", "d", "e"];
/// PythonRandom::new(42).shuffle(&mut words);
/// assert_eq!(words, ["d", "b", "c", "e", "a"]);
/// ```
///
/// # Source
/// `random.seed`, `random.random`, `random.uniform`, `random.getrandbits`, `random.shuffle` of Python 3.
#[derive(Clone, Debug)]
pub struct PythonRandom {
    twister: Mt19937,
}

impl PythonRandom {
    /// The state after `random.seed(seed)`.
    pub fn new(seed: u64) -> Self {
        let (low, high) = (seed as u32, (seed >> 32) as u32);
        let key: &[u32] = if high == 0 { &[low] } else { &[low, high] };
        Self { twister: Mt19937::from_key(key) }
    }

    /// A number in `[0, 1)` with 53 random bits: `random.random()`.
    pub fn random(&mut self) -> f64 {
        let high = u64::from(self.twister.next_u32() >> 5);
        let low = u64::from(self.twister.next_u32() >> 6);
        (high << 26 | low) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// `a + (b - a) * random()`: `random.uniform(a, b)`.
    pub fn uniform(&mut self, a: f64, b: f64) -> f64 {
        a + (b - a) * self.random()
    }

    /// An integer of `bits` random bits, at most 64: `random.getrandbits(bits)`.
    ///
    /// # Panics
    /// If `bits` is above 64.
    pub fn getrandbits(&mut self, bits: u32) -> u64 {
        assert!(bits <= 64, "getrandbits: {bits} bits do not fit in 64; ask for at most 64");
        match bits {
            0 => 0,
            1..=32 => u64::from(self.twister.next_u32() >> (32 - bits)),
            _ => {
                let low = u64::from(self.twister.next_u32());
                low | u64::from(self.twister.next_u32() >> (64 - bits)) << 32
            }
        }
    }

    /// An integer in `[0, n)`, uniformly: `random.randrange(n)`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn randbelow(&mut self, n: u64) -> u64 {
        assert!(n > 0, "randbelow: no integer lies in [0, 0); n must be at least 1");
        let bits = u64::BITS - n.leading_zeros();
        loop {
            let value = self.getrandbits(bits);
            if value < n {
                return value;
            }
        }
    }

    /// Shuffles in place: `random.shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.randbelow(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}
