//! Whole splits scored by any model, token after token.

use super::{Distributions, Reader, Tell};
use crate::Result;
use crate::data::Split;

/// How many words are read side by side.
const SIDE_BY_SIDE: usize = 256;

/// See [`LanguageModel::score_split`](super::LanguageModel::score_split).
pub(super) fn score_split(
    reader: &mut dyn Reader,
    vocab: usize,
    split: &Split,
    tell: Tell<'_>,
) -> Result<Vec<f32>> {
    let mut known = Distributions::default();
    let Some(boundary) = split.boundary() else {
        let Some((&first, rest)) = split.tokens().split_first() else { return Ok(Vec::new()) };
        return score_words(reader, &mut known, vocab, first, &[rest], tell);
    };
    let words: Vec<&[u32]> = split.tokens().split_inclusive(|&token| token == boundary).collect();
    let mut scores = Vec::with_capacity(split.tokens().len());
    for (i, some) in words.chunks(SIDE_BY_SIDE).enumerate() {
        scores.extend(score_words(reader, &mut known, vocab, boundary, some, &mut |_| Ok(()))?);
        tell(((i + 1) * SIDE_BY_SIDE).min(words.len()) as f64 / words.len() as f64)?;
    }
    Ok(scores)
}

/// The logarithm of the probability of every token of some sequences that follow `first`, one sequence after another.
///
/// # Errors
/// Only those of `tell`.
pub(crate) fn score_words(
    reader: &mut dyn Reader,
    known: &mut Distributions,
    vocab: usize,
    first: u32,
    words: &[&[u32]],
    tell: Tell<'_>,
) -> Result<Vec<f32>> {
    let mut starts = Vec::with_capacity(words.len());
    let total = words.iter().fold(0, |start, word| {
        starts.push(start);
        start + word.len()
    });
    let longest = words.iter().map(|word| word.len()).max().unwrap_or(0);
    let mut scores = vec![0.0; total];
    let mut state = reader.start(words.len(), first);
    let mut reading: Vec<usize> = (0..words.len()).collect();
    let mut tokens = Vec::new();
    for at in 0..longest {
        if reading.iter().any(|&word| words[word].len() <= at) {
            let left: Vec<usize> = (0..reading.len()).filter(|&row| words[reading[row]].len() > at).collect();
            state = state.select(&left);
            reading = left.into_iter().map(|row| reading[row]).collect();
        }
        if at > 0 {
            tokens.clear();
            tokens.extend(reading.iter().map(|&word| words[word][at - 1]));
            reader.read(&mut state, &tokens);
        }
        reader.distributions(&state, vocab, known);
        for (&word, &number) in reading.iter().zip(known.rows()) {
            scores[starts[word] + at] = known.log_probs(number)[words[word][at] as usize];
        }
        if at % 256 == 0 {
            tell(at as f64 / longest as f64)?;
        }
    }
    Ok(scores)
}

/// See [`LanguageModel::total_loss`](super::LanguageModel::total_loss).
pub(super) fn total_loss(scores: &[f32]) -> (f64, usize) {
    (scores.iter().map(|&log_prob| -f64::from(log_prob)).sum(), scores.len())
}
