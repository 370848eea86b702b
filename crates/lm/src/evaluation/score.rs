//! The probability of given words or texts under a model.

use serde::Serialize;

use crate::choices;
use crate::data::Vocab;
use crate::error::UnknownCharacter;
use crate::models::{Distributions, LanguageModel, score_words};

choices! {
    /// What is done with a line that has a character unknown to the model.
    Unknown {
        /// It has no score, and the command fails in the end.
        Refuse = "refuse",
        /// It is left out.
        Skip = "skip",
        /// It is scored with a least probability for the character: [`score_with_floor`].
        Floor = "floor",
    }
}

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
    /// Its code length under the model: -log2 p.
    pub bits: f64,
    /// -log p per character, which is comparable between words of different lengths; 0 for an empty text.
    ///
    /// # Units
    /// Nats per character.
    pub loss: f64,
    /// Each character; the boundary is last.
    pub characters: Vec<CharacterScore>,
}

/// Scores each text by itself. It is read after [`Vocab::start`]: the boundary of words, or a line break for
/// a model of running text.
///
/// A text with a character that is not in the vocabulary has no probability: its result is
/// [`UnknownCharacter`].
///
/// ```
/// use charloom::evaluation::score_with_floor;
/// use charloom::prelude::*;
///
/// let model = ModelConfig::of("ngram").with("order", 3);
/// let mut config = Config { model, ..Config::default() };
/// let data = load_data(&mut config)?;
/// let (model, _) = models::count(&config, &data)?;
///
/// let scores = score(&*model, &data.vocab, &["emma", "xqzw", "zoë"]);
/// let [emma, xqzw, unknown] = &scores[..] else { unreachable!() };
/// let (emma, xqzw) = (emma.as_ref().unwrap(), xqzw.as_ref().unwrap());
/// assert!(emma.bits < xqzw.bits);
/// // Four characters, and the boundary that ends the word.
/// assert_eq!(emma.characters.len(), 5);
/// assert_eq!(unknown.as_ref().unwrap_err().character, 'ë');
/// assert!(score_with_floor(&*model, &data.vocab, "zoë").bits.is_finite());
/// # Ok::<(), Error>(())
/// ```
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
    let mut log_probs = words
        .chunks(SIDE_BY_SIDE)
        .flat_map(|words| score_words(&mut *reader, &mut known, vocab.len(), vocab.start(), words));
    let mut scored = |text: &str, tokens: &[u32]| {
        let of_text = log_probs.by_ref().take(tokens.len());
        Score::of(
            text,
            tokens.iter().zip(of_text).map(|(&token, log_prob)| known_score(vocab, token, log_prob)),
        )
    };
    let texts = texts.iter().zip(&encoded);
    texts.map(|(text, tokens)| tokens.as_ref().map(|t| scored(text.as_ref(), t)).map_err(|&e| e)).collect()
}

/// Scores a text of any characters. One that is not in the vocabulary has probability 1/1,112,064, the number
/// of Unicode's scalar values; the text after it is read as from a beginning.
#[must_use]
pub fn score_with_floor(model: &dyn LanguageModel, vocab: &Vocab, text: &str) -> Score {
    const SCALAR_VALUES: f64 = (0x11_0000 - 0x800) as f64;
    let mut parts = vec![Vec::new()];
    for character in text.chars() {
        match (vocab.token(character), parts.last_mut()) {
            (Some(token), Some(part)) => part.push(token),
            _ => parts.push(Vec::new()),
        }
    }
    if let Some(last) = parts.last_mut() {
        last.extend(vocab.boundary());
    }
    let words: Vec<&[u32]> = parts.iter().map(Vec::as_slice).collect();
    let mut known = Distributions::default();
    let mut reader = model.reader();
    let log_probs = score_words(&mut *reader, &mut known, vocab.len(), vocab.start(), &words);
    let mut log_probs = log_probs.into_iter();
    let mut characters = Vec::with_capacity(text.len() + 1);
    let end = vocab.boundary().map(|_| vocab.mark());
    for (character, token) in
        text.chars().map(|c| (c, vocab.token(c))).chain(end.map(|mark| (mark, vocab.boundary())))
    {
        let log_prob = match token {
            Some(_) => log_probs.next().map_or(f64::NAN, f64::from),
            None => -SCALAR_VALUES.ln(),
        };
        characters.push(CharacterScore { character, log_prob });
    }
    Score::of(text, characters)
}

impl Score {
    fn of(text: &str, characters: impl IntoIterator<Item = CharacterScore>) -> Self {
        let characters: Vec<CharacterScore> = characters.into_iter().collect();
        // It turns -0, the sum of no numbers, into 0.
        let log_prob = characters.iter().map(|character| character.log_prob).sum::<f64>() + 0.0;
        let lost = 0.0 - log_prob;
        Self {
            text: text.to_owned(),
            log_prob,
            bits: lost / std::f64::consts::LN_2,
            loss: lost / characters.len().max(1) as f64,
            characters,
        }
    }
}

fn known_score(vocab: &Vocab, token: u32, log_prob: f32) -> CharacterScore {
    CharacterScore { character: vocab.characters()[token as usize], log_prob: f64::from(log_prob) }
}

/// The number of texts that are read side by side.
const SIDE_BY_SIDE: usize = 1024;
