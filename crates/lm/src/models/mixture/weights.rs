//! The weights of a mixture, fitted to text that its members have not been trained on.

/// The most rounds.
const ROUNDS: usize = 2000;
/// A round that gains less is the last.
///
/// # Units
/// Nats per character.
const GAIN: f64 = 1e-9;

/// Weights, and how well they fit.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedWeights {
    /// One for each member; their sum is 1.
    pub weights: Vec<f64>,
    /// The mean log-probability of a character before each round, which never falls.
    ///
    /// # Units
    /// Nats per character.
    pub log_likelihoods: Vec<f64>,
}

/// The weights that maximize a text's probability, by expectation maximization from equal ones: w_i becomes
/// the mean over characters of `w_i p_i / sum_j w_j p_j`, member i's share in the probability.
///
/// `scores` has each member's log-probability of each character: what
/// [`score_split`](crate::models::LanguageModel::score_split) gives.
///
/// # Shapes
/// (members, N)
///
/// # Panics
/// If there is no member, or members differ in their number of scores.
///
/// # Source
/// Dempster, Laird and Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm", section
/// 4.3. The likelihood is concave in the weights, so the limit is its maximum.
///
/// ```
/// use charloom::models::fit_weights;
///
/// // Two models of four characters: the first finds each of them likelier.
/// let scores = [vec![-1.0, -0.5, -2.0, -1.0], vec![-3.0, -2.0, -4.0, -2.0]];
/// let fitted = fit_weights(&scores);
/// assert!(fitted.weights[0] > 0.99);
/// assert!(fitted.log_likelihoods.is_sorted());
/// ```
#[must_use]
pub fn fit_weights(scores: &[Vec<f32>]) -> FittedWeights {
    let (members, length) = (scores.len(), scores[0].len());
    assert!(scores.iter().all(|own| own.len() == length), "each member scores the same characters");
    // `p_i / max_j p_j` of each character: relative to the largest, exp does not underflow.
    let mut ratios = Vec::with_capacity(members * length);
    let mut shift = 0.0;
    for at in 0..length {
        let most = scores.iter().map(|own| own[at]).fold(f32::NEG_INFINITY, f32::max);
        shift += f64::from(most);
        ratios.extend(scores.iter().map(|own| libm::exp(f64::from(own[at] - most))));
    }
    let mut weights = vec![1.0 / members as f64; members];
    let mut log_likelihoods: Vec<f64> = Vec::new();
    let mut shares = vec![0.0; members];
    while length > 0 && log_likelihoods.len() < ROUNDS {
        shares.fill(0.0);
        let mut total = shift;
        for ratios in ratios.chunks_exact(members) {
            let sum: f64 = ratios.iter().zip(&weights).map(|(p, w)| p * w).sum();
            total += libm::log(sum);
            shares.iter_mut().zip(ratios).for_each(|(share, p)| *share += p / sum);
        }
        let now = total / length as f64;
        let gain = log_likelihoods.last().map_or(f64::INFINITY, |before| now - before);
        log_likelihoods.push(now);
        // NaN ends the rounds too.
        if gain.is_nan() || gain < GAIN {
            break;
        }
        weights.iter_mut().zip(&shares).for_each(|(weight, share)| *weight *= share / length as f64);
    }
    FittedWeights { weights, log_likelihoods }
}
