//! How well a model predicts a split, and what ignorance would give.

use serde::Serialize;

use crate::config::Smoothing;
use crate::data::Examples;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::models::{LanguageModel, NGram};

/// A model's loss on examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The mean of -ln p(target).
    ///
    /// # Units
    /// Nats per character.
    pub loss: f64,
    /// The loss over ln 2.
    pub bits_per_char: f64,
    /// e to the loss: how many equally likely characters would be as hard to guess.
    pub perplexity: f64,
    /// N, the number of examples.
    pub examples: usize,
}

impl Evaluation {
    /// The evaluation of this mean loss.
    #[must_use]
    pub fn new(loss: f64, examples: usize) -> Self {
        Self { loss, bits_per_char: loss / std::f64::consts::LN_2, perplexity: loss.exp(), examples }
    }

    /// The evaluation of all examples of several.
    #[must_use]
    pub fn of_all(parts: &[Self]) -> Self {
        let examples = parts.iter().map(|part| part.examples).sum();
        let total: f64 = parts.iter().map(|part| part.loss * part.examples as f64).sum();
        Self::new(total / examples as f64, examples)
    }
}

/// The loss of a model on all examples.
///
/// The model is asked once for each different context, so the cost is theirs; the sum is the plain one over all
/// examples, in another order and in f64.
///
/// # Errors
/// No examples; a model of another context; a probability that is not a number.
pub fn evaluate<M: LanguageModel + ?Sized>(model: &mut M, examples: &Examples) -> Result<Evaluation> {
    let mut parts = Parts::default();
    while !parts.go_on(model, examples)? {}
    parts.evaluation(examples)
}

/// How many contexts to ask a model for at once: enough to keep a matrix product busy, in a few MiB.
pub(crate) fn rows_at_once(vocab: usize) -> usize {
    ((1 << 20) / vocab.max(1)).clamp(1, 4096)
}

/// An evaluation in parts, for whoever has something to do in between.
#[derive(Default)]
pub(crate) struct Parts {
    /// The different contexts that are done.
    done: usize,
    contexts: Vec<u32>,
    log_probs: Vec<f32>,
    total: f64,
}

impl Parts {
    /// Evaluates the next part; whether it was the last.
    pub fn go_on<M: LanguageModel + ?Sized>(&mut self, model: &mut M, examples: &Examples) -> Result<bool> {
        let (length, vocab) = (model.context(), model.vocab_size());
        if length != examples.context_length() {
            let other = examples.context_length();
            return Err(Error::Failed(format!(
                "the model looks at {length} characters, the examples have {other}"
            )));
        }
        if examples.is_empty() {
            let message =
                format!("the split has no examples at context {length}; give more data or another --split");
            return Err(Error::Failed(message));
        }
        let rows = rows_at_once(vocab).min(examples.distinct_len());
        let chunk = self.done..(self.done + rows).min(examples.distinct_len());
        self.contexts.clear();
        for d in chunk.clone() {
            self.contexts.extend(examples.distinct_context(d));
        }
        self.log_probs.resize(chunk.len() * vocab, 0.0);
        model.log_probs(&self.contexts, &mut self.log_probs);
        self.done = chunk.end;
        for (d, row) in chunk.zip(self.log_probs.chunks_exact(vocab)) {
            for &(target, often) in examples.distinct_targets(d) {
                self.total -= f64::from(row[target as usize]) * f64::from(often);
            }
        }
        Ok(self.done == examples.distinct_len())
    }

    /// How much is done, from 0 to 1.
    pub fn share(&self, examples: &Examples) -> f64 {
        self.done as f64 / examples.distinct_len().max(1) as f64
    }

    /// The result, when all is done.
    pub fn evaluation(&self, examples: &Examples) -> Result<Evaluation> {
        if self.total.is_nan() {
            return Err(Error::Failed(
                "the model gives a probability that is not a number; it is broken".to_owned(),
            ));
        }
        Ok(Evaluation::new(self.total / examples.len() as f64, examples.len()))
    }
}

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

/// The losses on `split` of add-one models of `train`.
///
/// # Errors
/// A split without a pair of characters.
pub fn baselines(train: &Split, split: &Split, vocab_size: usize) -> Result<Baselines> {
    let boundary = train.boundary();
    let loss = |length| -> Result<f64> {
        let train = Examples::new(train, length)?;
        let mut model = NGram::fit(&train, vocab_size, boundary, Smoothing::AddK, 1.0)?;
        Ok(evaluate(&mut model, &Examples::new(split, length)?)?.loss)
    };
    Ok(Baselines { uniform: (vocab_size as f64).ln(), unigram: loss(0)?, bigram: loss(1)? })
}
