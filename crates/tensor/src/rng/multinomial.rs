//! The two rules of `torch.multinomial` for drawing one category.

use super::TorchGenerator;

impl TorchGenerator {
    /// One standard exponential: `-ln(1 - u)` of one double u in `[0, 1)`, rounded to single precision.
    ///
    /// ```
    /// use charloom_tensor::rng::TorchGenerator;
    /// assert_eq!(TorchGenerator::new(42).exponential_f32(), 0.059_914_015);
    /// ```
    ///
    /// # Source
    /// `torch.empty(1).exponential_(1)`, which computes `-log1p(-u)`. Here `1 - u` is exact, so a plain
    /// logarithm is as accurate.
    pub fn exponential_f32(&mut self) -> f32 {
        -ln(1.0 - self.rand_f64()) as f32
    }

    /// One category by the exponential rule: argmax of p / q, where every q is a standard exponential.
    ///
    /// A category is drawn with probability p over the sum of p, so the p need not sum to 1; of equal
    /// quotients the first wins. It always draws V doubles.
    ///
    /// ```
    /// use charloom_tensor::rng::TorchGenerator;
    /// let mut g = TorchGenerator::new(42);
    /// let drawn: Vec<usize> = (0..8).map(|_| g.multinomial_exponential(&[0.5, 0.25, 0.25])).collect();
    /// assert_eq!(drawn, [0, 0, 2, 0, 2, 1, 2, 2]);
    /// ```
    ///
    /// # Shapes
    /// `probs`: (V,), none negative.
    ///
    /// # Panics
    /// If `probs` is empty.
    ///
    /// # Source
    /// `torch.multinomial(p, num_samples=1)` in every version, and with `replacement=True` from torch 2.0 on.
    pub fn multinomial_exponential(&mut self, probs: &[f32]) -> usize {
        assert!(!probs.is_empty(), "multinomial: no categories; give at least one probability");
        let mut best = (0, f32::NEG_INFINITY);
        for (category, p) in probs.iter().enumerate() {
            let quotient = p / self.exponential_f32();
            if quotient > best.1 {
                best = (category, quotient);
            }
        }
        best.0
    }

    /// One category by the cumulative rule: the first whose cumulative probability is at least u, a double in
    /// `[0, 1)`.
    ///
    /// The probabilities are summed from first to last and divided by their total, in single precision.
    ///
    /// ```
    /// use charloom_tensor::rng::TorchGenerator;
    /// let mut g = TorchGenerator::new(42);
    /// let drawn: Vec<usize> = (0..8).map(|_| g.multinomial_cumulative(&[0.5, 0.25, 0.25])).collect();
    /// assert_eq!(drawn, [0, 0, 0, 0, 1, 0, 2, 2]);
    /// ```
    ///
    /// # Shapes
    /// `probs`: (V,), none negative.
    ///
    /// # Panics
    /// If `probs` is empty.
    ///
    /// # Source
    /// `torch.multinomial(p, num_samples=1, replacement=True)` before torch 2.0; with more samples, in every version.
    pub fn multinomial_cumulative(&mut self, probs: &[f32]) -> usize {
        assert!(!probs.is_empty(), "multinomial: no categories; give at least one probability");
        let total: f32 = probs.iter().fold(0.0, |sum, p| sum + p);
        let u = self.rand_f64();
        let mut sum = 0.0f32;
        for (category, p) in probs[..probs.len() - 1].iter().enumerate() {
            sum += p;
            if f64::from(sum / total) >= u {
                return category;
            }
        }
        probs.len() - 1
    }
}

/// Natural logarithm for `2^-53 <= x <= 1`, within two units in the last place: with x = 2^e m, m between
/// sqrt(1/2) and sqrt(2), and s = (m - 1) / (m + 1), it is `e ln 2 + 2 (s + s^3 / 3 + s^5 / 5 + ...)`. The
/// system's logarithm differs in the last bit between systems.
fn ln(x: f64) -> f64 {
    const LAST: u32 = 23;
    let bits = x.to_bits();
    let mut e = (bits >> 52) as f64 - 1023.0;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1.0f64.to_bits());
    if m > std::f64::consts::SQRT_2 {
        e += 1.0;
        m *= 0.5;
    }
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series =
        (1..LAST).step_by(2).rev().fold(1.0 / f64::from(LAST), |sum, n| sum * s2 + 1.0 / f64::from(n));
    e * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn the_logarithm_is_the_systems_to_two_units() {
        let mut worst = 0.0f64;
        for k in (1..200_000u64).map(|k| k * 45_036_071_111).chain(1..1000).chain([1 << 53, (1 << 53) - 1]) {
            let x = k as f64 / (1u64 << 53) as f64;
            let right = x.ln();
            worst = worst.max((ln(x) - right).abs() / (right.abs() * f64::EPSILON).max(f64::MIN_POSITIVE));
        }
        assert!(worst <= 2.0, "{worst}");
        assert_eq!(ln(1.0), 0.0);
    }
}
