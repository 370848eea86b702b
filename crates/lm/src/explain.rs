//! Explains a loss: compares it with that of simple baselines and with ln V.

use serde::Serialize;

use crate::config::Config;
use crate::data::{Data, Mode};
use crate::evaluation::{Baselines, Evaluation, baselines, evaluate};
use crate::models::{self, LanguageModel};
use crate::train::Trainer;
use crate::{Error, Result};

/// An untrained model whose loss is above ln V by more than this is confident without a reason.
///
/// # Units
/// nats
const CONFIDENT: f64 = 0.3;
/// Losses that differ by less count as equal: they do to the last digit shown.
const EQUAL: f64 = 5e-5;

/// The loss of a configuration or a run, and what to compare it with.
///
/// # Units
/// Losses are nats per character.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// V, the characters to choose from.
    pub vocab_size: usize,
    /// ln V: the loss of a model that gives every character the same probability, as an untrained one should.
    pub expected: f64,
    /// The loss of the configuration's untrained model on its first minibatch; none for a model without steps:
    /// n-grams, a mixture.
    pub untrained: Option<f64>,
    /// The split that baselines and run are measured on: `val`, or `train` if nothing in `val` is scored.
    pub split: &'static str,
    /// Uniform, unigram and bigram models of the training split.
    pub baselines: Baselines,
    /// The trained model on the training split.
    pub train: Option<Evaluation>,
    /// The same on `split`.
    pub run: Option<Evaluation>,
}

/// Measures the untrained model of a configuration, the baselines on its data and, if given, a trained model.
///
/// # Errors
/// No examples, or what [`Trainer::new`] and [`evaluate`] refuse.
///
/// ```
/// use charloom::explain;
/// use charloom::prelude::*;
///
/// let mut config = Config::from_toml("model.init = 'unit-normal'", "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let loss = explain::loss(&config, &data, None)?;
/// assert_eq!(loss.expected, 27f64.ln());
/// assert!(loss.untrained.unwrap() > loss.expected + 1.0);
/// assert!(loss.sentences()[0].contains("its logits are too far apart"));
/// # Ok::<(), Error>(())
/// ```
pub fn loss(config: &Config, data: &Data, trained: Option<&dyn LanguageModel>) -> Result<Loss> {
    // A text's first character is not scored.
    let is_judged = data.splits.val.tokens().len() > usize::from(data.mode() == Mode::Text);
    let split = if is_judged { "val" } else { "train" };
    let measured = if split == "val" { &data.splits.val } else { &data.splits.train };
    let untrained = match models::has_no_steps(config)? {
        true => None,
        false => Some(f64::from(Trainer::new(config, data)?.step()?)),
    };
    let vocab_size = data.vocab.len();
    let nothing = || {
        let message = format!("nothing in the {split} split is judged; give more text");
        Error::data(&data.source.path, message)
    };
    let (mut train, mut run) = (None, None);
    if let Some(model) = trained {
        if model.vocab_size() != vocab_size {
            let other = model.vocab_size();
            return Err(Error::Failed(format!(
                "the model knows {other} characters, the data has {vocab_size}"
            )));
        }
        (train, run) = (evaluate(model, &data.splits.train)?, evaluate(model, measured)?);
    }
    Ok(Loss {
        vocab_size,
        expected: (vocab_size as f64).ln(),
        untrained,
        split,
        baselines: baselines(&data.splits.train, measured, vocab_size)?.ok_or_else(nothing)?,
        train,
        run,
    })
}

impl Loss {
    /// What the numbers mean, in sentences.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let Baselines { unigram, bigram, .. } = self.baselines;
        let mut said = Vec::new();
        if let Some(untrained) = self.untrained {
            let above = untrained - self.expected;
            said.push(if above > CONFIDENT {
                format!(
                    "The untrained model loses {above:.2} more than one that knows nothing: its logits are too far \
                     apart. A smaller ``output_scale``, or ``init`` kaiming-normal, saves the steps that would only \
                     shrink them."
                )
            } else {
                format!("The untrained model starts where it should: within {CONFIDENT} of ln V.")
            });
        }
        if let Some(run) = self.run {
            let (loss, has_steps) = (run.loss, self.untrained.is_some());
            said.push(if loss > self.expected {
                let hint = if has_steps { "; a lower ``lr`` may help" } else { "" };
                format!("The run is worse than no model at all{hint}.")
            } else if loss > unigram {
                let hint = if has_steps { "; it needs more ``steps``" } else { "" };
                format!("The run has not yet learned how often each character occurs ({unigram:.4}){hint}.")
            } else if loss > bigram {
                format!(
                    "The run knows how often characters occur, but not yet what follows what ({bigram:.4})."
                )
            } else if bigram - loss < EQUAL {
                format!(
                    "The run is as good as the bigram ({bigram:.4}), which knows the last character alone."
                )
            } else {
                format!(
                    "The run is {:.4} better than the bigram: it makes use of more than the last character.",
                    bigram - loss
                )
            });
        }
        if let (Some(train), Some(run), "val") = (self.train, self.run, self.split) {
            let gap = run.loss - train.loss;
            said.push(if gap > 0.1 {
                format!("It loses {gap:.4} more on new data than on what it has seen: it has begun to learn by heart.")
            } else {
                let more = if gap < 0.0 { "less" } else { "more" };
                let gap = gap.abs();
                format!("It loses {gap:.4} {more} on new data than on what it has seen: it has not learned by heart.")
            });
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(toml: &str) -> (Config, Data, Loss) {
        let mut config = Config::from_toml(toml, "test.toml".as_ref()).unwrap();
        let data = crate::load_data(&mut config).unwrap();
        let loss = loss(&config, &data, None).unwrap();
        (config, data, loss)
    }

    #[test]
    fn a_careful_start_is_at_ln_v_and_a_careless_one_is_told() {
        let (_, _, careful) = explain("[model]\nhidden = [20]\noutput_scale = 0.01\n");
        assert_eq!(careful.expected, 27f64.ln());
        assert!((careful.untrained.unwrap() - careful.expected).abs() < 0.05, "{careful:?}");
        assert!(careful.sentences()[0].contains("starts where it should"));
        let (_, _, careless) =
            explain("[model]\nhidden = [200]\ninit = \"unit-normal\"\noutput_scale = 1.0\n");
        assert!(careless.untrained.unwrap() > 10.0);
        assert!(careless.sentences()[0].contains("``output_scale``"));
        let Baselines { uniform, unigram, bigram } = careless.baselines;
        assert!(bigram < unigram && unigram < uniform);
    }

    #[test]
    fn a_run_is_placed_among_the_baselines() {
        let (mut config, data, untrained) =
            explain("[model]\nhidden = [30]\n[train]\nsteps = 400\nbatch = 64\n");
        assert!(untrained.run.is_none() && untrained.sentences().len() == 1);
        let mut trainer = Trainer::new(&config, &data).unwrap();
        let first = trainer.step().unwrap();
        for _ in 1..400 {
            trainer.step().unwrap();
        }
        let explained = loss(&config, &data, Some(trainer.model())).unwrap();
        assert_eq!(explained.untrained, Some(f64::from(first)));
        let (run, Baselines { unigram, .. }) = (explained.run.unwrap(), explained.baselines);
        assert!(run.loss < unigram, "{explained:?}");
        assert_eq!(explained.sentences().len(), 3);

        config.model = crate::config::ModelConfig::of("ngram");
        assert_eq!(loss(&config, &data, None).unwrap().untrained, None);
    }

    #[test]
    fn each_sentence_follows_from_its_numbers() {
        let of_run = |loss: f64, train: f64, untrained| {
            Loss {
                vocab_size: 27,
                expected: 27f64.ln(),
                untrained,
                split: "val",
                baselines: Baselines { uniform: 27f64.ln(), unigram: 2.8, bigram: 2.5 },
                train: Some(Evaluation::new(train, 10)),
                run: Some(Evaluation::new(loss, 10)),
            }
            .sentences()
            .join(" ")
        };
        let of = |loss, train| of_run(loss, train, Some(3.3));
        assert!(of(3.4, 3.4).contains("worse than no model"));
        assert!(of(3.0, 3.0).contains("needs more ``steps``"));
        // A mixture has no steps.
        let [worst, bad] = [3.4, 3.0].map(|loss| of_run(loss, loss, None));
        assert!(worst.contains("no model at all.") && bad.contains("occurs (2.8000)."), "{worst} {bad}");
        assert!(of(2.6, 2.6).contains("what follows what"));
        assert!(of(2.1, 2.05).contains("0.4000 better than the bigram"));
        assert!(of(2.5, 2.5).contains("as good as the bigram"));
        assert!(of(2.1, 2.05).contains("not learned by heart"));
        assert!(of(2.1, 1.5).contains("begun to learn by heart"));
    }
}
