//! The powers of a product, fitted to text that its members have not been trained on.

use std::collections::VecDeque;

use charloom_tensor::kernels;

use super::product::{Power, Scratch, entropy, floored, multiply, multiply_by};
use crate::Result;

/// The strength of the penalty: a power that is d away from the geometric mean's adds `PENALTY d^2` to the
/// sum of all characters' losses. Tried on names and a text: 2 to 100 differ by less than .001.
const PENALTY: f64 = 10.0;
/// The most steps.
const STEPS: usize = 200;
/// A step that gains less is the last.
///
/// # Units
/// Nats per character.
const GAIN: f64 = 1e-7;
/// The number of last steps from which L-BFGS estimates the curvature.
const REMEMBERED: usize = 10;
/// A step must gain at least this share of what the gradient promises (Armijo); until it does it is halved,
/// at most HALVINGS times.
const PROMISED: f64 = 1e-4;
const HALVINGS: usize = 30;

/// The members' predictions for each character of a text.
pub struct Predictions<'e> {
    /// Each member's log-probabilities of all characters at each place.
    ///
    /// # Shapes
    /// (members, N, V)
    pub log_probs: &'e [Vec<f32>],
    /// The characters.
    ///
    /// # Shapes
    /// (N)
    pub tokens: &'e [u32],
    /// V.
    pub vocab: usize,
}

impl Predictions<'_> {
    /// Each member's log-probabilities at a place.
    fn rows(&self, place: usize) -> impl Iterator<Item = &[f32]> {
        self.log_probs.iter().map(move |own| &own[place * self.vocab..][..self.vocab])
    }

    /// Each character's log-probability under a product.
    #[must_use]
    pub fn scores(&self, powers: &[Power]) -> Vec<f32> {
        let (mut scratch, mut out) = (Scratch::default(), vec![0.0; self.vocab]);
        let of_place = |(place, &token): (usize, &u32)| {
            multiply(powers, &self.rows(place).collect::<Vec<_>>(), &mut scratch, &mut out);
            out[token as usize]
        };
        self.tokens.iter().enumerate().map(of_place).collect()
    }
}

/// Fits powers to a text by L-BFGS, starting at the geometric mean; returns them, and each member's mean
/// power over the text. `check` is called before each evaluation of the loss, and its error ends the fit.
///
/// `loss = -1/N sum_n log p(x_n) + 10/N sum_i ((a_i - 1/m)^2 + sum_j b_ij^2)` for m members; a and b are as
/// in [`Power`], but for entropies less their means over the text. It is convex.
///
/// # Errors
/// Those of `check`.
///
/// # Source
/// Hinton 2002, "Training products of experts by minimizing contrastive divergence", section 1, here trained
/// exactly; Liu and Nocedal 1989, "On the limited memory BFGS method for large scale optimization", algorithm
/// 2.1.
pub fn fit_powers(
    predictions: &Predictions<'_>,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<(Vec<Power>, Vec<f64>)> {
    let (members, width) = (predictions.log_probs.len(), 1 + predictions.log_probs.len());
    let mut features = features(predictions);
    let count = predictions.tokens.len().max(1) as f64;
    let mut means = vec![0.0; width];
    features.chunks_exact(width).for_each(|row| means.iter_mut().zip(row).for_each(|(m, x)| *m += x / count));
    means[0] = 0.0;
    features.chunks_exact_mut(width).for_each(|row| row.iter_mut().zip(&means).for_each(|(x, m)| *x -= m));
    let mut all = vec![0.0; members * width];
    all.iter_mut().step_by(width).for_each(|base| *base = 1.0 / members as f64);
    minimize(&mut all, |all, slopes| {
        check()?;
        Ok(loss(predictions, &features, all, slopes))
    })?;
    let power = |own: &[f64]| {
        let shift: f64 = own.iter().zip(&means).map(|(b, mean)| b * mean).sum();
        Power { base: own[0] - shift, by_entropy: own[1..].to_vec() }
    };
    let of_members = all.chunks_exact(width);
    Ok((of_members.clone().map(power).collect(), of_members.map(|own| own[0]).collect()))
}

/// For each place a 1 and each member's entropy.
fn features(predictions: &Predictions<'_>) -> Vec<f64> {
    let mut probs = Vec::new();
    let mut features = Vec::with_capacity(predictions.tokens.len() * (1 + predictions.log_probs.len()));
    for place in 0..predictions.tokens.len() {
        features.push(1.0);
        features.extend(predictions.rows(place).map(|row| entropy(row, &mut probs)));
    }
    features
}

/// The loss of [`fit_powers`] and its gradient.
fn loss(predictions: &Predictions<'_>, features: &[f64], all: &[f64], slopes: &mut [f64]) -> f64 {
    let Predictions { log_probs, tokens, vocab } = predictions;
    let (members, width) = (log_probs.len(), 1 + log_probs.len());
    let (mut scratch, mut mixed, mut probs) = (Scratch::default(), vec![0.0; *vocab], vec![0.0; *vocab]);
    slopes.fill(0.0);
    let mut total = 0.0;
    for ((place, &token), x) in tokens.iter().enumerate().zip(features.chunks_exact(width)) {
        let rows: Vec<&[f32]> = predictions.rows(place).collect();
        multiply_by(all.chunks_exact(width).map(|own| dot(own, x)), &rows, &mut scratch, &mut mixed);
        kernels::exp(&mixed, &mut probs);
        total -= f64::from(mixed[token as usize]);
        // d loss / d w_i = sum_v p(v) log p_i(v) - log p_i(token)
        for (row, slopes) in rows.iter().zip(slopes.chunks_exact_mut(width)) {
            let mean: f64 = row.iter().zip(&probs).map(|(&l, &p)| f64::from(p) * floored(l)).sum();
            let slope = mean - floored(row[token as usize]);
            slopes.iter_mut().zip(x).for_each(|(to, x)| *to += slope * x);
        }
    }
    let count = tokens.len().max(1) as f64;
    for (i, (slope, a)) in slopes.iter_mut().zip(all).enumerate() {
        let away = a - if i % width == 0 { 1.0 / members as f64 } else { 0.0 };
        total += PENALTY * away * away;
        *slope = (*slope + 2.0 * PENALTY * away) / count;
    }
    total / count
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Minimizes f from x on by L-BFGS; f writes its gradient to its second argument.
fn minimize(x: &mut Vec<f64>, mut f: impl FnMut(&[f64], &mut [f64]) -> Result<f64>) -> Result<()> {
    let mut slopes = vec![0.0; x.len()];
    let mut value = f(x, &mut slopes)?;
    // Of each remembered step: s, the change of x; y, the change of the gradient; and 1 / (s . y).
    let mut steps: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for _ in 0..STEPS {
        let direction = direction(&slopes, &steps);
        let promised = dot(&direction, &slopes);
        // As long as no curvature is known, a step is at most 1 long.
        let mut length = if steps.is_empty() { 1.0 / dot(&slopes, &slopes).sqrt().max(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..HALVINGS {
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let mut of_next = vec![0.0; x.len()];
            let there = f(&next, &mut of_next)?;
            if there <= value + PROMISED * length * promised {
                found = Some((next, of_next, there));
                break;
            }
            length /= 2.0;
        }
        // No step gains more than rounding errors, or the loss is NaN.
        let Some((next, of_next, there)) = found else { break };
        let step: Vec<f64> = next.iter().zip(&*x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = of_next.iter().zip(&slopes).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > 0.0 {
            steps.truncate(REMEMBERED - 1);
            steps.push_front((step, change, 1.0 / curvature));
        }
        let gain = value - there;
        (*x, slopes, value) = (next, of_next, there);
        if gain < GAIN {
            break;
        }
    }
    Ok(())
}

/// Minus the inverse Hessian, as estimated from the last steps (latest first), times the gradient: the
/// two-loop recursion of L-BFGS.
fn direction(slopes: &[f64], steps: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut direction: Vec<f64> = slopes.iter().map(|slope| -slope).collect();
    let mut shares = Vec::with_capacity(steps.len());
    for (step, change, inverse) in steps {
        let share = inverse * dot(step, &direction);
        direction.iter_mut().zip(change).for_each(|(d, change)| *d -= share * change);
        shares.push(share);
    }
    if let Some((_, change, inverse)) = steps.front() {
        let scale = 1.0 / (inverse * dot(change, change));
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for ((step, change, inverse), share) in steps.iter().zip(shares).rev() {
        let back = inverse * dot(change, &direction);
        direction.iter_mut().zip(step).for_each(|(d, step)| *d += (share - back) * step);
    }
    direction
}
