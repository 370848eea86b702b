//! Texts from Python as data.

use std::path::{Path, PathBuf};

use charloom::data::{Corpus, Data, DataConfig, Split, Splits, Vocab};
use charloom::evaluation::Unknown;
use charloom::{Config, Error, Result, resolve_config};
use pyo3::prelude::*;

/// A text from Python: a string, or the path of a file.
#[derive(FromPyObject)]
pub enum Text {
    /// The text itself.
    Memory(String),
    /// A file, as the only member of a tuple.
    File((PathBuf,)),
}

impl Text {
    /// Reads and cleans it. A text in memory has the path `-`, as the command's standard input has.
    fn corpus(&self, config: &DataConfig) -> Result<Corpus> {
        match self {
            Self::Memory(text) => Corpus::from_bytes("-", text.as_bytes(), config),
            Self::File((path,)) => Corpus::read(path, config),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Memory(_) => Path::new("-"),
            Self::File((path,)) => path,
        }
    }
}

/// Loads the data of a training, and fills in all settings of the configuration that depend on it.
pub fn load(config: &mut Config, train: &Text, val: Option<&Text>) -> Result<Data> {
    config.validate()?;
    config.resolve_seeds();
    let data = read(config, train, val)?;
    resolve_config(config, &data)?;
    Ok(data)
}

/// Reads the texts by a configuration's data settings, and sets their paths in it.
pub fn read(config: &mut Config, train: &Text, val: Option<&Text>) -> Result<Data> {
    let corpus = train.corpus(&config.data)?;
    let same = DataConfig { mode: Some(corpus.mode()), dedupe: false, ..config.data.clone() };
    let of_val = val.map(|text| text.corpus(&same)).transpose()?;
    let vocab = Vocab::of(corpus.mode(), [Some(&corpus), of_val.as_ref()].into_iter().flatten());
    let splits = Splits::new(&corpus, &vocab, &config.data, of_val.as_ref(), None)?;
    config.data.path = Some(train.path().to_path_buf());
    config.data.val = val.map(|text| text.path().to_path_buf());
    let val_source = of_val.map(|val| val.source().clone());
    Ok(Data { source: corpus.source().clone(), val_source, test_source: None, vocab, splits })
}

/// Encodes a whole text with a vocabulary, as one split.
pub fn split(text: &Text, vocab: &Vocab, config: &DataConfig) -> Result<Split> {
    Split::of(&text.corpus(&in_mode_of(vocab, config))?, vocab)
}

/// As [`split`], but unless `unknown` is refuse, lines with a character outside the vocabulary are left out
/// and returned.
pub fn split_of_known(
    text: &Text,
    vocab: &Vocab,
    config: &DataConfig,
    unknown: Unknown,
) -> Result<(Split, Vec<String>)> {
    if unknown == Unknown::Refuse {
        return Ok((split(text, vocab, config)?, Vec::new()));
    }
    let mut corpus = text.corpus(&in_mode_of(vocab, config))?;
    let (lines, first) = corpus.take_unknown(vocab);
    match first {
        Some(first) if corpus.text().is_empty() && unknown == Unknown::Skip => {
            let way = "``unknown`` floor judges such lines";
            let message = format!("every line has an unknown character; the first: {first}; {way}");
            Err(Error::data(text.path(), message))
        }
        _ => Ok((Split::of(&corpus, vocab)?, lines)),
    }
}

/// The data settings to read a text for a model with this vocabulary.
fn in_mode_of(vocab: &Vocab, config: &DataConfig) -> DataConfig {
    DataConfig { mode: Some(vocab.mode()), dedupe: false, ..config.clone() }
}

/// The split of this name.
pub fn named_split<'d>(data: &'d Data, name: &str) -> Result<&'d Split> {
    match name {
        "train" => Ok(&data.splits.train),
        "val" => Ok(&data.splits.val),
        "test" => Ok(&data.splits.test),
        _ => Err(Error::setting("split", format!("{name:?} is unknown; it is train, val or test"))),
    }
}
