//! Losses to compare a model's with.

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::data::Split;
use crate::error::Result;

/// Losses that ask for no understanding, to compare with.
///
/// # Units
/// Nats per character.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Baselines {
    /// Every character equally likely: ln V.
    pub uniform: f64,
    /// Each as often as in the training split.
    pub unigram: f64,
    /// Each as often as after the one before it.
    pub bigram: f64,
}

/// The losses on `split` of add-one models of `train`; None if nothing in either is judged.
///
/// # Errors
/// More tokens than 32 bits count.
pub fn baselines(train: &Split, split: &Split, vocab_size: usize) -> Result<Option<Baselines>> {
    // What is too large for the evaluations is refused here too.
    train.examples(1)?;
    let uniform = (vocab_size as f64).ln();
    let both = counted(train, split, vocab_size, false).zip(counted(train, split, vocab_size, true));
    Ok(both.map(|(unigram, bigram)| Baselines { uniform, unigram, bigram }))
}

/// The loss of one add-one model, of unigrams or bigrams; None if nothing is counted or nothing judged.
fn counted(train: &Split, split: &Split, vocab_size: usize, is_bigram: bool) -> Option<f64> {
    let (mut counts, mut totals) = (FxHashMap::<u64, u32>::default(), vec![0u32; vocab_size]);
    let key = |(before, token): (u32, u32)| u64::from(before) << 32 | u64::from(token);
    for pair in pairs(train, is_bigram) {
        *counts.entry(key(pair)).or_default() += 1;
        totals[pair.0 as usize] += 1;
    }
    let (mut total, mut judged) = (0.0, 0usize);
    // A text's first character is not judged.
    for pair in pairs(split, is_bigram).skip(usize::from(split.boundary().is_none() && !is_bigram)) {
        let count = counts.get(&key(pair)).copied().unwrap_or(0);
        let of = totals[pair.0 as usize];
        total -= ((f64::from(count) + 1.0) / (f64::from(of) + vocab_size as f64)).ln();
        judged += 1;
    }
    (judged > 0 && !counts.is_empty()).then(|| total / judged as f64)
}

/// Each token and the one before it, or 0 for all of those where only the token counts.
fn pairs(split: &Split, is_bigram: bool) -> impl Iterator<Item = (u32, u32)> {
    let tokens = split.tokens();
    let first = split.boundary().or_else(|| tokens.first()).unwrap_or(0);
    let befores = std::iter::once(first).chain(tokens.iter());
    let pairs = befores.zip(tokens.iter()).map(move |(b, token)| (if is_bigram { b } else { 0 }, token));
    pairs.skip(usize::from(split.boundary().is_none() && is_bigram))
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
