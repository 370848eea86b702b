//! A product of models: each distribution is raised to a power that depends on all members' entropies.

use charloom_tensor::kernels;

/// Log-probabilities below this are taken as this, so that no member alone makes a token impossible.
const FLOOR: f32 = -30.0;

/// The power of a member of a product: `a + sum_j b_j H_j`, where H_j is the entropy of member j's
/// distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Power {
    /// a, the power where all entropies are 0.
    pub base: f64,
    /// b, how the power grows with each member's entropy.
    ///
    /// # Units
    /// 1 / nat.
    pub by_entropy: Vec<f64>,
}

/// Buffers that are reused for each product.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    probs: Vec<f32>,
    entropies: Vec<f64>,
    sums: Vec<f64>,
    logits: Vec<f32>,
}

/// A log-probability, at least FLOOR; NaN stays NaN.
pub(super) fn floored(log_prob: f32) -> f64 {
    f64::from(if log_prob < FLOOR { FLOOR } else { log_prob })
}

/// `H = -sum_x p(x) log p(x)`, from a distribution's log-probabilities.
///
/// # Units
/// Nats.
pub(super) fn entropy(log_probs: &[f32], probs: &mut Vec<f32>) -> f64 {
    probs.resize(log_probs.len(), 0.0);
    kernels::exp(log_probs, probs);
    -log_probs.iter().zip(&*probs).map(|(&log_prob, &p)| f64::from(p) * floored(log_prob)).sum::<f64>()
}

/// [`multiply_by`] with the weights that these powers have at the members' entropies.
pub(super) fn multiply(all: &[Power], of_members: &[&[f32]], scratch: &mut Scratch, out: &mut [f32]) {
    let Scratch { probs, entropies, .. } = scratch;
    entropies.clear();
    entropies.extend(of_members.iter().map(|row| entropy(row, probs)));
    let entropies = std::mem::take(entropies);
    let weight = |Power { base, by_entropy }: &Power| {
        base + by_entropy.iter().zip(&entropies).map(|(b, entropy)| b * entropy).sum::<f64>()
    };
    multiply_by(all.iter().map(weight), of_members, scratch, out);
    scratch.entropies = entropies;
}

/// `log p(x) = sum_i w_i log p_i(x) - log sum_y exp(sum_i w_i log p_i(y))`.
///
/// # Shapes
/// `of_members`: a row (V) of each; `out`: (V)
pub(super) fn multiply_by(
    weights: impl Iterator<Item = f64>,
    of_members: &[&[f32]],
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let Scratch { sums, logits, .. } = scratch;
    sums.clear();
    sums.resize(out.len(), 0.0);
    for (weight, row) in weights.zip(of_members) {
        sums.iter_mut().zip(*row).for_each(|(sum, &log_prob)| *sum += weight * floored(log_prob));
    }
    logits.clear();
    logits.extend(sums.iter().map(|&sum| sum as f32));
    kernels::log_softmax_rows(logits, out.len(), out);
}
