//! The losses of trivial models, to compare a model's with.

use serde::Serialize;

use crate::data::{IntMap, Split};
use crate::error::Result;

/// The losses of trivial models.
///
/// # Units
/// Nats per character.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Baselines {
    /// Every character equally likely: ln V.
    pub uniform: f64,
    /// Each character as frequent as in the training split.
    pub unigram: f64,
    /// Each character as frequent as after the one before it.
    pub bigram: f64,
}

/// The losses on `split` of add-one models of `train`; None if nothing in either is scored.
///
/// # Errors
/// More tokens than 32 bits count.
pub fn baselines(train: &Split, split: &Split, vocab_size: usize) -> Result<Option<Baselines>> {
    // An error if the split is too large for evaluations.
    train.examples(1)?;
    let uniform = (vocab_size as f64).ln();
    let counts = BigramCounts::of(train, vocab_size);
    Ok(counts.losses(split).map(|[unigram, bigram]| Baselines { uniform, unigram, bigram }))
}

/// The counts of each token, and of each pair of adjacent tokens, in a split.
struct BigramCounts {
    vocab: usize,
    /// The bits of a token in a pair's key, `before << bits | token`.
    bits: u32,
    pairs: IntMap,
    tokens: Vec<u32>,
    /// The number of pairs that begin with each token.
    begun: Vec<u32>,
}

impl BigramCounts {
    fn of(train: &Split, vocab: usize) -> Self {
        let bits = usize::BITS - vocab.leading_zeros();
        let (mut tokens, mut begun) = (vec![0; vocab], vec![0; vocab]);
        let (first, mut before) = begin(train);
        if first > 0 {
            tokens[before as usize] += 1;
        }
        let (mut pairs, all) = (IntMap::new(2 * bits, 0), train.tokens());
        for at in first..all.len() {
            let token = all.at(at);
            *pairs.at(u64::from(before) << bits | u64::from(token)) += 1;
            before = token;
        }
        pairs.each(|key, count| {
            begun[(key >> bits) as usize] += count;
            tokens[(key & ((1 << bits) - 1)) as usize] += count;
        });
        Self { vocab, bits, pairs, tokens, begun }
    }

    /// The losses of the add-one models of unigrams and bigrams; None if nothing is counted or nothing is
    /// scored.
    fn losses(&self, split: &Split) -> Option<[f64; 2]> {
        let vocab = self.vocab as f64;
        let all: u32 = self.tokens.iter().sum();
        let log_prob = |count: u32, of: u32| ((f64::from(count) + 1.0) / (f64::from(of) + vocab)).ln();
        let (mut totals, mut scored) = ([0.0; 2], 0usize);
        let (first, mut before) = begin(split);
        let tokens = split.tokens();
        for at in first..tokens.len() {
            let token = tokens.at(at);
            let count = self.pairs.get(u64::from(before) << self.bits | u64::from(token));
            totals[0] -= log_prob(self.tokens[token as usize], all);
            totals[1] -= log_prob(count, self.begun[before as usize]);
            before = token;
            scored += 1;
        }
        let is_counted = self.begun.iter().any(|&count| count > 0);
        (scored > 0 && is_counted).then(|| totals.map(|total| total / scored as f64))
    }
}

/// The index of the first scored token, and the token before it. Of words that is the boundary; a text's
/// first character is not scored.
fn begin(split: &Split) -> (usize, u32) {
    match split.boundary() {
        Some(boundary) => (0, boundary),
        None => (split.tokens().len().min(1), split.tokens().first().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use charloom_testkit::assert_close;

    use super::*;
    use crate::config::Smoothing;
    use crate::data::{Data, DataConfig, Mode};
    use crate::evaluation::evaluate;
    use crate::models::NGram;

    #[test]
    fn they_are_the_losses_of_models_that_count() {
        for mode in [Mode::Lines, Mode::Text] {
            let config = DataConfig { mode: Some(mode), ..DataConfig::default() };
            let Data { splits, vocab, .. } = Data::load(&config, None).unwrap();
            let known = baselines(&splits.train, &splits.val, vocab.len()).unwrap().unwrap();
            let loss = |length| {
                let examples = splits.train.examples(length).unwrap();
                let boundary = splits.val.boundary();
                let model = NGram::fit(&examples, vocab.len(), boundary, Smoothing::AddK, 1.0).unwrap();
                evaluate(&model, &splits.val).unwrap().unwrap().loss
            };
            assert_close(&[known.unigram, known.bigram], &[loss(0), loss(1)], 1e-6, 0.0);
        }
    }
}
