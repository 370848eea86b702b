//! The weights that the next token is drawn by: a distribution after temperature, top-k and top-p.

use charloom_tensor::kernels;

use super::SampleOptions;
use crate::error::{Error, Result};
use crate::models::Distributions;

/// Marks weights that are not computed yet.
const ABSENT: usize = usize::MAX;

/// The weights that tokens are drawn by, computed once for each distribution.
#[derive(Debug, Default)]
pub(super) struct TokenWeights {
    /// The [`Distributions::generation`] that the numbers in `places` belong to.
    generation: u64,
    /// Where in `weights` those of distribution i begin: at 2 i with the boundary, at 2 i + 1 without it.
    places: Vec<usize>,
    weights: Vec<f32>,
    /// Scratch for the logarithms of weights.
    logs: Vec<f32>,
}

impl TokenWeights {
    /// The weights of a distribution, by its index; `no_boundary`: the boundary is not to be drawn.
    ///
    /// # Errors
    /// A probability that is not a number.
    pub fn of(
        &mut self,
        distributions: &Distributions,
        index: usize,
        no_boundary: bool,
        options: &SampleOptions,
    ) -> Result<&[f32]> {
        if self.generation != distributions.generation() {
            self.generation = distributions.generation();
            self.places.clear();
            self.weights.clear();
        }
        let log_probs = distributions.log_probs(index);
        let which = 2 * index + usize::from(no_boundary);
        if which >= self.places.len() {
            self.places.resize(2 * distributions.count(), ABSENT);
        }
        if self.places[which] == ABSENT {
            if log_probs.iter().any(|p| p.is_nan()) {
                let message = "the model gives a probability that is not a number; it is broken";
                return Err(Error::Failed(message.to_owned()));
            }
            self.places[which] = self.weights.len();
            push_weights(log_probs, no_boundary, options, &mut self.logs, &mut self.weights);
        }
        Ok(&self.weights[self.places[which]..][..log_probs.len()])
    }
}

/// Appends the weights of all tokens: `exp(log p / temperature)` of those that are allowed, else 0. At
/// temperature 0 only the likeliest token (the first of equals) is allowed.
fn push_weights(
    log_probs: &[f32],
    no_boundary: bool,
    options: &SampleOptions,
    logs: &mut Vec<f32>,
    weights: &mut Vec<f32>,
) {
    let start = weights.len();
    let allowed = |token: usize| !(no_boundary && token == 0);
    let best =
        (0..log_probs.len()).filter(|&token| allowed(token)).map(|t| log_probs[t]).fold(f32::MIN, f32::max);
    if options.temperature == 0.0 {
        let likeliest = (0..log_probs.len()).position(|token| allowed(token) && log_probs[token] == best);
        weights.extend((0..log_probs.len()).map(|token| f32::from(Some(token) == likeliest)));
        return;
    }
    // At temperature 1 with every token allowed, weights are the probabilities; else the greatest weight is
    // 1, so that nothing overflows.
    let shift = if options.temperature == 1.0 && !no_boundary { 0.0 } else { f64::from(best) };
    logs.clear();
    logs.extend(log_probs.iter().map(|&p| ((f64::from(p) - shift) / options.temperature) as f32));
    weights.resize(start + logs.len(), 0.0);
    kernels::exp(logs, &mut weights[start..]);
    if no_boundary {
        weights[start] = 0.0;
    }
    if options.top_k != 0 || options.top_p != 1.0 {
        top_k_top_p(&mut weights[start..], options);
    }
}

/// Sets all weights to 0 but the `top_k` largest, and of these all but the largest that together have the
/// share `top_p`.
fn top_k_top_p(weights: &mut [f32], options: &SampleOptions) {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    let k = if options.top_k == 0 { weights.len() } else { options.top_k.min(weights.len()) };
    let total: f64 = order[..k].iter().map(|&token| f64::from(weights[token])).sum();
    let mut sum = 0.0;
    let enough = order[..k].iter().position(|&token| {
        sum += f64::from(weights[token]);
        sum >= options.top_p * total
    });
    for &token in &order[enough.map_or(k, |last| last + 1).min(k)..] {
        weights[token] = 0.0;
    }
}

/// The first category whose cumulative weight is above `u` times the total; u is in [0, 1).
pub(super) fn sample_categorical(weights: &[f32], u: f64) -> usize {
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    let mut sum = 0.0;
    let above = weights.iter().position(|&w| {
        sum += f64::from(w);
        sum > u * total
    });
    above.or_else(|| weights.iter().rposition(|&w| w > 0.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_has_its_share_of_the_line() {
        let weights = [0.0, 1.0, 0.0, 3.0, 0.0];
        assert_eq!([0.0, 0.2499, 0.25, 0.9999].map(|u| sample_categorical(&weights, u)), [1, 1, 3, 3]);
        assert_eq!(sample_categorical(&[0.0; 3], 0.5), 0);
    }

    #[test]
    fn weights_are_worked_out_anew_when_numbers_change_their_meaning() {
        let options = SampleOptions::default();
        let (mut token_weights, mut known) = (TokenWeights::default(), Distributions::default());
        for [a, b] in [[0.25f32, 0.75], [0.5, 0.5]] {
            known.fill(1, 2, |out| out.copy_from_slice(&[a.ln(), b.ln()]));
            let [with, without] = [false, true].map(|no_boundary| {
                token_weights.of(&known, 0, no_boundary, &options).expect("numbers").to_vec()
            });
            assert!((with[0] - a).abs() < 1e-6 && (with[1] - b).abs() < 1e-6, "{with:?}");
            assert_eq!(without, [0.0, 1.0]);
        }
        known.fill(1, 2, |out| out.copy_from_slice(&[f32::NAN, 0.0]));
        assert!(token_weights.of(&known, 0, false, &options).is_err());
    }
}
