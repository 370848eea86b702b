use super::NGram;
use crate::config::{ModelConfig, Setting, Settings, Smoothing};
use crate::data::{Data, Vocab};
use crate::files::NamedTensor;
use crate::models::{CountingKind, Kind, LanguageModel, Learning, Reach};
use crate::{Result, settings};

settings! {
    /// The settings of an n-gram model.
    pub NGramSettings {
        /// N, the characters of an n-gram
        order: usize = 5, "from 1 to 12", |order| (1..=12).contains(order);
        /// How it treats the unseen
        smoothing: Smoothing = Smoothing::KneserNey, "one of its words", |_| true;
        /// What add-k adds to each count
        k: f64 = 1.0, "above 0 and at most 1000000", |k| *k > 0.0 && *k <= 1e6;
    }
}

/// N-grams as a kind of model.
pub(in crate::models) struct NGramKind;

impl Kind for NGramKind {
    fn name(&self) -> &'static str {
        "ngram"
    }

    fn settings(&self) -> &'static [Setting] {
        NGramSettings::SETTINGS
    }

    fn fill(&self, model: &mut ModelConfig) -> Result<Reach> {
        let settings: NGramSettings = model.read()?;
        model.write(&settings)?;
        Ok(Reach::Window(settings.order - 1))
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByCounting(self)
    }
}

impl CountingKind for NGramKind {
    fn count(&self, model: &ModelConfig, data: &Data) -> Result<(Box<dyn LanguageModel>, Vec<NamedTensor>)> {
        let NGramSettings { order, smoothing, k } = model.read()?;
        let examples = data.splits.train.examples(order - 1)?;
        let (boundary, vocab) = (data.vocab.boundary(), data.vocab.len());
        let ngram = NGram::fit(&examples, vocab, boundary, smoothing, k)?;
        let tensors = ngram.tensors();
        Ok((Box::new(ngram), tensors))
    }

    fn open(
        &self,
        model: &ModelConfig,
        vocab: &Vocab,
        tensors: &[NamedTensor],
    ) -> Result<Box<dyn LanguageModel>> {
        Ok(Box::new(NGram::from_tensors(&model.read()?, vocab, tensors)?))
    }
}
