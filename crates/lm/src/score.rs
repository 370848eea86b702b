//! How likely a model finds a given word.

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::data::Vocab;
use crate::error::UnknownCharacter;
use crate::evaluate::rows_at_once;
use crate::models::LanguageModel;

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
    let mut scores: Vec<Result<Score, UnknownCharacter>> = Vec::with_capacity(texts.len());
    let length = model.context();
    // The characters of all texts in one row, looked up as many at once as there is room for.
    let mut questions = Questions::new(model, vocab);
    let mut lengths = Vec::with_capacity(texts.len());
    for text in texts {
        let tokens = vocab.encode(text.as_ref()).map(|tokens| [vec![vocab.start(); length], tokens].concat());
        lengths.push(tokens.map(|mut stream| {
            stream.extend(vocab.boundary());
            for window in stream.windows(length + 1) {
                questions.ask(&window[..length], window[length]);
            }
            stream.len() - length
        }));
    }
    questions.answer();
    let all = questions.characters;
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

/// Characters whose probabilities are asked for together: the model sees each different context once.
struct Questions<'a, M: ?Sized> {
    model: &'a mut M,
    vocab: &'a Vocab,
    /// The row of each context.
    rows: FxHashMap<Vec<u32>, u32>,
    contexts: Vec<u32>,
    /// The row and the token of each character not answered yet.
    asked: Vec<(u32, u32)>,
    log_probs: Vec<f32>,
    /// Those that are.
    characters: Vec<CharacterScore>,
}

/// How many characters wait for an answer at most.
const MOST_ASKED: usize = 1 << 18;

impl<'a, M: LanguageModel + ?Sized> Questions<'a, M> {
    fn new(model: &'a mut M, vocab: &'a Vocab) -> Self {
        let width = model.vocab_size();
        Self {
            model,
            vocab,
            rows: FxHashMap::default(),
            contexts: Vec::new(),
            asked: Vec::new(),
            log_probs: vec![0.0; rows_at_once(width) * width],
            characters: Vec::new(),
        }
    }

    fn ask(&mut self, context: &[u32], token: u32) {
        let row = self.rows.get(context).copied().unwrap_or_else(|| {
            if (self.rows.len() + 1) * self.model.vocab_size() > self.log_probs.len() {
                self.answer();
            }
            let row = self.rows.len() as u32;
            self.rows.insert(context.to_vec(), row);
            self.contexts.extend_from_slice(context);
            row
        });
        self.asked.push((row, token));
        if self.asked.len() == MOST_ASKED {
            self.answer();
        }
    }

    fn answer(&mut self) {
        let width = self.model.vocab_size();
        let log_probs = &mut self.log_probs[..self.rows.len() * width];
        self.model.log_probs(&self.contexts, log_probs);
        self.characters.extend(self.asked.drain(..).map(|(row, token)| CharacterScore {
            character: self.vocab.characters()[token as usize],
            log_prob: f64::from(log_probs[row as usize * width + token as usize]),
        }));
        self.rows.clear();
        self.contexts.clear();
    }
}
