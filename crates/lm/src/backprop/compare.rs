use charloom_tensor::Element;
use serde::Serialize;

use super::Matrix;

/// How far apart two numbers may be and still be approximately equal: `|a - b| <= atol + rtol |b|`.
///
/// # Source
/// The rule of `torch.allclose`, whose own tolerances are 1e-8 and 1e-5
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tolerance {
    /// The absolute part.
    pub atol: f64,
    /// The part relative to b.
    pub rtol: f64,
}

impl Tolerance {
    /// 1e-6 for both parts in f32, 1e-12 in f64.
    pub fn of<E: Element>() -> Self {
        let tolerance = if E::NAME == "f64" { 1e-12 } else { 1e-6 };
        Self { atol: tolerance, rtol: tolerance }
    }

    /// Whether `a` is approximately `b`; never if one is NaN.
    pub fn allows(&self, a: f64, b: f64) -> bool {
        let difference = (a - b).abs();
        difference.is_finite() && difference <= self.atol + self.rtol * b.abs()
    }
}

/// A gradient by hand beside the tape's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The term.
    pub name: &'static str,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Whether all elements are the same numbers.
    pub exact: bool,
    /// Whether all are approximately equal, by [`Tolerance`].
    pub approximate: bool,
    /// The largest difference between the two; NaN if one is NaN.
    pub max_difference: f64,
    /// The largest absolute value of the tape's, to compare the difference with.
    pub largest: f64,
}

/// Compares a gradient with the tape's, element by element.
pub fn compare<E: Element>(
    name: &'static str,
    shape: &[usize],
    hand: &Matrix<E>,
    tape: &Matrix<E>,
    tolerance: Tolerance,
) -> Row {
    let same_size = (hand.rows(), hand.columns()) == (tape.rows(), tape.columns());
    let pairs = || hand.data().iter().zip(tape.data()).map(|(a, b)| (a.f64(), b.f64()));
    // f64::max would drop a NaN.
    let larger = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
    Row {
        name,
        shape: shape.to_vec(),
        exact: same_size && pairs().all(|(a, b)| a == b),
        approximate: same_size && pairs().all(|(a, b)| tolerance.allows(a, b)),
        max_difference: pairs().map(|(a, b)| (a - b).abs()).fold(0.0, larger),
        largest: pairs().map(|(_, b)| b.abs()).fold(0.0, larger),
    }
}
