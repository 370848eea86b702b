//! Two interleaved half circles: the smallest data that no straight line separates.

use std::f64::consts::PI;

use crate::Random;

/// `n` points of two moons, alternately of the upper one (label 1) and the lower one (label -1).
///
/// Upper: (cos t, sin t); lower: (1 - cos t, 1/2 - sin t), with t from 0 to pi. Each coordinate gets normal
/// noise of standard deviation `noise`, x before y.
///
/// # Source
/// The curves are those of scikit-learn's `make_moons`.
///
/// ```
/// use charloom_scalar::{Random, moons};
///
/// let points = moons(4, 0.0, &mut Random::seed(1));
/// assert_eq!(points[0], ([1.0, 0.0], 1.0));
/// assert_eq!(points[1], ([0.0, 0.5], -1.0));
/// ```
pub fn moons(n: usize, noise: f64, random: &mut Random) -> Vec<([f64; 2], f64)> {
    let (upper, lower) = (n.div_ceil(2), n / 2);
    let angle = |k: usize, of: usize| PI * k as f64 / of.saturating_sub(1).max(1) as f64;
    (0..n)
        .map(|i| {
            let ([x, y], label) = if i % 2 == 0 {
                let t = angle(i / 2, upper);
                ([t.cos(), t.sin()], 1.0)
            } else {
                let t = angle(i / 2, lower);
                ([1.0 - t.cos(), 0.5 - t.sin()], -1.0)
            };
            ([x + random.gauss(0.0, noise), y + random.gauss(0.0, noise)], label)
        })
        .collect()
}
