//! How likely a model finds a given word.

use serde::Serialize;

use crate::models::LanguageModel;
use crate::vocab::{UnknownCharacter, Vocab};

/// The probability of one character after those before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CharacterScore {
    /// The character; a word's boundary is [`Vocab::mark`].
    pub character: char,
    /// The logarithm of its probability.
    ///
    /// # Units
    /// Nats.
    pub log_prob: f64,
}

/// The probability of a word (with the boundary that ends it), or of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// What was scored.
    pub text: String,
    /// The logarithm of its probability.
    ///
    /// # Units
    /// Nats.
    pub log_prob: f64,
    /// What it costs to write it down with the model: -log2 p.
    pub bits: f64,
    /// -log p a character, which compares words of different lengths; 0 of an empty text.
    ///
    /// # Units
    /// Nats per character.
    pub loss: f64,
    /// Each character, the boundary last.
    pub characters: Vec<CharacterScore>,
}

/// Scores each text by itself: before its first character stand T boundaries, or line breaks where the model is
/// one of running text ([`Vocab::start`]).
///
/// A text with a character that the vocabulary does not have is [`UnknownCharacter`]: the model gives it no
/// probability at all.
pub fn score<M: LanguageModel + ?Sized>(
    model: &mut M,
    vocab: &Vocab,
    texts: &[impl AsRef<str>],
) -> Vec<Result<Score, UnknownCharacter>> {
    let (length, width) = (model.context(), model.vocab_size());
    // Rows enough to keep a matrix product busy, in a few MiB.
    let rows = ((1 << 20) / width.max(1)).clamp(1, 4096);
    let mut log_probs = vec![0.0; rows * width];
    let mut scores: Vec<Result<Score, UnknownCharacter>> = Vec::with_capacity(texts.len());
    let (mut contexts, mut targets) = (Vec::new(), Vec::new());
    let mut look_up =
        |contexts: &mut Vec<u32>, targets: &mut Vec<u32>, characters: &mut Vec<CharacterScore>| {
            let log_probs = &mut log_probs[..targets.len() * width];
            model.log_probs(contexts, log_probs);
            for (row, token) in log_probs.chunks_exact(width).zip(targets.drain(..)) {
                let log_prob = f64::from(row[token as usize]);
                characters.push(CharacterScore { character: vocab.characters()[token as usize], log_prob });
            }
            contexts.clear();
        };
    // The characters of all texts in one row, looked up as many at once as there is room for.
    let mut all = Vec::new();
    let mut lengths = Vec::with_capacity(texts.len());
    for text in texts {
        let tokens = vocab.encode(text.as_ref()).map(|tokens| [vec![vocab.start(); length], tokens].concat());
        lengths.push(tokens.map(|mut stream| {
            stream.extend(vocab.boundary());
            for window in stream.windows(length + 1) {
                contexts.extend_from_slice(&window[..length]);
                targets.push(window[length]);
                if targets.len() == rows {
                    look_up(&mut contexts, &mut targets, &mut all);
                }
            }
            stream.len() - length
        }));
    }
    look_up(&mut contexts, &mut targets, &mut all);
    let mut rest = all.into_iter();
    for (text, length) in texts.iter().zip(lengths) {
        scores.push(length.map(|length| {
            let characters: Vec<CharacterScore> = rest.by_ref().take(length).collect();
            let log_prob: f64 = characters.iter().map(|character| character.log_prob).sum();
            Score {
                text: text.as_ref().to_owned(),
                log_prob,
                bits: -log_prob / std::f64::consts::LN_2,
                loss: -log_prob / characters.len().max(1) as f64,
                characters,
            }
        }));
    }
    scores
}
