//! From a configuration to its data: [`Data::load`].

use std::path::PathBuf;

use crate::card::DataCard;
use crate::config::DataConfig;
use crate::corpus::Corpus;
use crate::split::Splits;
use crate::vocab::Vocab;
use crate::{Config, Error, Result};

/// What a run trains and is judged on.
#[derive(Clone, Debug)]
pub struct Data {
    /// The text.
    pub corpus: Corpus,
    /// Its characters, those of validation and test files included.
    pub vocab: Vocab,
    /// Its parts, as tokens.
    pub splits: Splits,
}

impl Data {
    /// Reads and splits what a configuration names, and makes explicit in it what depended on the data: the hash,
    /// the mode and all that follows from it.
    ///
    /// # Errors
    /// Whatever is wrong with a file, or its contents have not the hash that the configuration names.
    pub fn load(config: &mut Config) -> Result<Self> {
        let corpus = read(&config.data)?;
        if let Some(sha256) = &config.data.sha256
            && *sha256 != corpus.sha256
        {
            let message = format!(
                "holds other data than the configuration was made for (SHA-256 {}..., not {}...); \
                 name the file on the command line to use it anyway",
                &corpus.sha256[..8],
                &sha256[..8]
            );
            return Err(Error::data(&corpus.source, message));
        }
        config.data.sha256 = Some(corpus.sha256.clone());
        config.resolve(corpus.mode());
        let part =
            |path: &Option<PathBuf>| path.as_ref().map(|path| Corpus::read(path, &config.data)).transpose();
        let (val, test) = (part(&config.data.val)?, part(&config.data.test)?);
        let contents = [Some(&corpus), val.as_ref(), test.as_ref()].into_iter().flatten();
        let vocab = Vocab::of(corpus.mode(), contents.map(|corpus| &corpus.content));
        let splits = Splits::new(&corpus, &vocab, &config.data, val.as_ref(), test.as_ref())?;
        Ok(Self { corpus, vocab, splits })
    }

    /// What a person should know about the data first, at this context.
    #[must_use]
    pub fn card(&self, context: usize) -> DataCard {
        DataCard::new(&self.corpus, &self.vocab, &self.splits, context)
    }
}

/// Reads the text that a configuration names.
///
/// # Errors
/// Whatever is wrong with the file.
pub fn read(config: &DataConfig) -> Result<Corpus> {
    match &config.path {
        None => Err(Error::usage("no data; name a file of text")),
        Some(path) => Corpus::read(path, config),
    }
}
