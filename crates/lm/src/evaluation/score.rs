//! How likely a model finds a given word.

use serde::Serialize;

use crate::data::Vocab;
use crate::error::UnknownCharacter;
use crate::models::{Distributions, LanguageModel, score_words};

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
pub fn score(
    model: &dyn LanguageModel,
    vocab: &Vocab,
    texts: &[impl AsRef<str>],
) -> Vec<Result<Score, UnknownCharacter>> {
    let mut reader = model.reader();
    let mut known = Distributions::default();
    let encoded: Vec<Result<Vec<u32>, UnknownCharacter>> = texts
        .iter()
        .map(|text| {
            let mut tokens = vocab.encode(text.as_ref())?;
            tokens.extend(vocab.boundary());
            Ok(tokens)
        })
        .collect();
    let words: Vec<&[u32]> = encoded.iter().flatten().map(Vec::as_slice).collect();
    let mut log_probs = words.chunks(SIDE_BY_SIDE).flat_map(|words| {
        score_words(&mut *reader, &mut known, vocab.len(), vocab.start(), words, &mut |_| Ok(()))
            .unwrap_or_default()
    });
    let mut scored = |text: &str, tokens: &[u32]| {
        let character = |(&token, log_prob): (&u32, f32)| CharacterScore {
            character: vocab.characters()[token as usize],
            log_prob: f64::from(log_prob),
        };
        let of_text = log_probs.by_ref().take(tokens.len());
        let characters: Vec<CharacterScore> = tokens.iter().zip(of_text).map(character).collect();
        let log_prob: f64 = characters.iter().map(|character| character.log_prob).sum();
        Score {
            text: text.to_owned(),
            log_prob,
            bits: -log_prob / std::f64::consts::LN_2,
            loss: -log_prob / characters.len().max(1) as f64,
            characters,
        }
    };
    let texts = texts.iter().zip(&encoded);
    texts.map(|(text, tokens)| tokens.as_ref().map(|t| scored(text.as_ref(), t)).map_err(|&e| e)).collect()
}

/// How many texts are read side by side.
const SIDE_BY_SIDE: usize = 1024;
