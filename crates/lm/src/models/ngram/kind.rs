use super::{NGram, counts};
use crate::config::{ModelConfig, Setting, Settings, Smoothing};
use crate::data::{Data, Vocab, memory};
use crate::files::NamedTensor;
use crate::models::{CountingKind, Kind, LanguageModel, Learning, Reach};
use crate::{Error, Result, settings};

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

/// An error if `grams` distinct n-grams do not fit into memory. Each takes up to 24 bytes in the levels, and
/// 8 (order + 1) for its tokens and count: 4 bytes each as numbers, 4 as bytes of the file.
fn check_memory(grams: u64, order: usize, available: Option<u64>) -> Result<()> {
    let needed = grams.saturating_mul(24 + 8 * (order as u64 + 1));
    memory::check(needed, available).map_err(|message| {
        let message = format!("{order}: its counts take {message}; choose a smaller one, or cut the text");
        Error::setting("order", message)
    })
}

impl CountingKind for NGramKind {
    fn count(&self, model: &ModelConfig, data: &Data) -> Result<(Box<dyn LanguageModel>, Vec<NamedTensor>)> {
        let NGramSettings { order, smoothing, k } = model.read()?;
        let examples = data.splits.train.examples(order - 1)?;
        check_memory(counts::estimate(&examples), order, memory::available())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_do_not_fit_are_told_before_they_are_made() {
        assert!(check_memory(1 << 20, 5, Some(72 << 20)).is_ok() && check_memory(u64::MAX, 12, None).is_ok());
        let said = check_memory(1 << 24, 5, Some(1 << 30)).unwrap_err().to_string();
        let counts = "its counts take about 1152 MiB of memory, and 1024 MiB are free";
        assert_eq!(said, format!("``order`` 5: {counts}; choose a smaller one, or cut the text"));
    }
}
