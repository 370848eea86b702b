//! CPython's random numbers, so that the seed of a notebook gives the notebook's weights.

use std::f64::consts::TAU;

use rand_mt::Mt;

/// The generator of CPython's `random` module, seeded with an integer.
///
/// ```
/// use charloom_scalar::Random;
/// // random.seed(42); random.random()
/// assert_eq!(Random::seed(42).random(), 0.6394267984578837);
/// ```
pub struct Random {
    mt: Mt,
    /// `gauss` makes numbers in pairs; this is the second of a pair, if unused.
    next_gauss: Option<f64>,
}

impl Random {
    /// The state after `random.seed(seed)`, which ignores the sign of the seed.
    pub fn seed(seed: i64) -> Self {
        let n = seed.unsigned_abs();
        let (low, high) = (n as u32, (n >> 32) as u32);
        let key: &[u32] = if high == 0 { &[low] } else { &[low, high] };
        Self { mt: Mt::new_with_key(key.iter().copied()), next_gauss: None }
    }

    /// Uniform in [0, 1), with all 53 bits: `random.random()`.
    pub fn random(&mut self) -> f64 {
        let (high, low) = (self.mt.next_u32() >> 5, self.mt.next_u32() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// Uniform between `a` and `b`: `random.uniform(a, b)`.
    pub fn uniform(&mut self, a: f64, b: f64) -> f64 {
        a + (b - a) * self.random()
    }

    /// Normal with mean `mu` and standard deviation `sigma`: `random.gauss(mu, sigma)`.
    pub fn gauss(&mut self, mu: f64, sigma: f64) -> f64 {
        let z = self.next_gauss.take().unwrap_or_else(|| {
            let angle = self.random() * TAU;
            let radius = (-2.0 * (1.0 - self.random()).ln()).sqrt();
            self.next_gauss = Some(angle.sin() * radius);
            angle.cos() * radius
        });
        mu + z * sigma
    }
}
