//! How well a model predicts a split, compared with trivial models and with other runs.

mod baselines;
mod compare;
mod score;

use serde::Serialize;

use crate::data::{Split, Vocab};
use crate::error::{Error, Result};
use crate::models::{Adapt, LanguageModel, Progress};

pub use baselines::{Baselines, baselines};
pub(crate) use compare::lossy;
pub use compare::{ComparedRun, Comparison, DifferingSetting, PairedTest, compare};
pub use score::{CharacterScore, Score, Unknown, score, score_with_floor};

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
    /// exp(loss): guessing among this many equally likely characters has the same loss.
    pub perplexity: f64,
    /// N, the number of scored characters.
    pub examples: usize,
}

impl Evaluation {
    /// The evaluation of this mean loss.
    #[must_use]
    pub fn new(loss: f64, examples: usize) -> Self {
        // It turns -0, minus the logarithm of 1, into 0.
        let loss = loss + 0.0;
        Self { loss, bits_per_char: loss / std::f64::consts::LN_2, perplexity: loss.exp(), examples }
    }

    /// The evaluation of the examples of all parts.
    #[must_use]
    pub fn of_all(parts: &[Self]) -> Self {
        let examples = parts.iter().map(|part| part.examples).sum();
        let total: f64 = parts.iter().map(|part| part.loss * part.examples as f64).sum();
        Self::new(total / examples as f64, examples)
    }
}

/// The loss of a model on all scored tokens of a split: each word's characters and the boundary that ends it,
/// or every character of a text but its first. None if there is no such token.
///
/// # Errors
/// A probability that is not a number.
///
/// ```
/// use charloom::evaluation::baselines;
/// use charloom::prelude::*;
///
/// let model = ModelConfig::of("ngram").with("order", 3);
/// let mut config = Config { model, ..Config::default() };
/// let data = load_data(&mut config)?;
/// let (model, _) = models::count(&config, &data)?;
///
/// let test = evaluate(&*model, &data.splits.test)?.expect("something that is judged");
/// let known = baselines(&data.splits.train, &data.splits.test, data.vocab.len())?.expect("the same");
/// assert!(test.loss < known.bigram && known.bigram < known.unigram && known.unigram < known.uniform);
/// assert_eq!(test.perplexity, test.loss.exp());
/// # Ok::<(), Error>(())
/// ```
pub fn evaluate(model: &dyn LanguageModel, split: &Split) -> Result<Option<Evaluation>> {
    evaluate_with_progress(model, split, &mut |_| Ok(()))
}

/// As [`evaluate`]. `progress` is called with the share done, and its error ends the evaluation.
///
/// # Errors
/// As [`evaluate`], and those of `progress`.
pub fn evaluate_with_progress(
    model: &dyn LanguageModel,
    split: &Split,
    progress: Progress<'_>,
) -> Result<Option<Evaluation>> {
    let (total, scored) = model.total_loss(split, progress)?;
    of_total(total, scored)
}

/// As [`evaluate_with_progress`], by dynamic evaluation: the model learns from each segment after scoring it.
///
/// # Errors
/// As [`evaluate_with_progress`]; a model that cannot adapt to such data.
///
/// ```
/// use charloom::data::{Corpus, Mode};
/// use charloom::evaluation::evaluate_adapting;
/// use charloom::models::Adapt;
/// use charloom::prelude::*;
///
/// let text = "she sells sea shells by the sea shore. ".repeat(60);
/// let mut config = Config::from_toml("model.hidden = [8]", "my.toml".as_ref())?;
/// config.data.mode = Some(Mode::Text);
/// let data = Data::of(Corpus::from_bytes("shells", text.as_bytes(), &config.data)?, &config.data, None)?;
/// charloom::resolve_config(&mut config, &data)?;
/// let mut trainer = Trainer::new(&config, &data)?;
/// let fixed = evaluate(trainer.model(), &data.splits.train)?.unwrap();
/// let learning =
///     evaluate_adapting(trainer.model(), &data.splits.train, &Adapt::new(0.1)?, &mut |_| Ok(()))?.unwrap();
/// assert!(learning.loss < fixed.loss);
/// # Ok::<(), Error>(())
/// ```
pub fn evaluate_adapting(
    model: &dyn LanguageModel,
    split: &Split,
    adapt: &Adapt<'_>,
    progress: Progress<'_>,
) -> Result<Option<Evaluation>> {
    let fixed = ": nothing in this model learns from such data while it reads; leave it out";
    let scores =
        model.score_adapting(split, adapt, progress)?.ok_or_else(|| Error::setting("adapt", fixed))?;
    if scores.iter().any(|score| score.is_nan()) {
        let diverged =
            ": with this rate the weights grew until a probability was not a number; give a smaller one";
        return Err(Error::setting("adapt", diverged));
    }
    evaluation_of(&scores)
}

/// The evaluation of a model's scores of a split; None if there are none.
///
/// # Errors
/// A probability that is not a number.
pub fn evaluation_of(scores: &[f32]) -> Result<Option<Evaluation>> {
    of_total(scores.iter().map(|&log_prob| -f64::from(log_prob)).sum(), scores.len())
}

/// Adds these texts, of whatever characters, to an evaluation, if there is one: see [`score_with_floor`].
#[must_use]
pub fn with_floor(
    model: &dyn LanguageModel,
    vocab: &Vocab,
    evaluation: Option<Evaluation>,
    texts: &[String],
) -> Evaluation {
    let scores = texts.iter().map(|text| score_with_floor(model, vocab, text));
    let of_texts = scores.map(|score| Evaluation::new(score.loss, score.characters.len()));
    Evaluation::of_all(&evaluation.into_iter().chain(of_texts).collect::<Vec<_>>())
}

fn of_total(total: f64, scored: usize) -> Result<Option<Evaluation>> {
    if total.is_nan() {
        let message = "the model gives a probability that is not a number; it is broken";
        return Err(Error::Failed(message.to_owned()));
    }
    Ok((scored > 0).then(|| Evaluation::new(total / scored as f64, scored)))
}
