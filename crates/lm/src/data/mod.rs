//! Data goes one way: a file is read into a [`Corpus`], a [`Vocab`] numbers its characters, the text is
//! encoded once into tokens that all [`Splits`] share, and [`Examples`] pair each context with the token
//! after it. [`Data::load`] does all of this.

mod card;
mod clean;
mod corpus;
mod datasets;
mod encode;
mod examples;
mod int_map;
pub(crate) mod memory;
mod order;
mod settings;
mod split;
mod tokens;
mod vocab;
mod word_set;

use std::fs;
use std::path::{Path, PathBuf};

use charloom_tensor::rng::TorchGenerator;

use crate::disk::replace_file;
use crate::error::{Error, Result};

pub(crate) use clean::is_page;
pub use clean::not_text;
pub(crate) use int_map::IntMap;
pub(crate) use word_set::WordSet;

pub use card::{DataCard, Leaked, SplitCounts};
pub use corpus::{Corpus, MAX_BYTES, MAX_WORD, Source, hex};
pub use datasets::{CACHE_VARIABLE, Cache, Dataset, NAMES, URL_VARIABLE};
pub use examples::Examples;
pub(crate) use settings::check_name;
pub use settings::{DataConfig, Mode, Normalize, Shuffle, parse_split};
pub use split::{Split, Splits};
pub use tokens::Tokens;
pub use vocab::Vocab;

/// A text, encoded: its vocabulary and its splits.
///
/// ```
/// use charloom::data::{Data, DataConfig};
/// let data = Data::load(&DataConfig::default(), None)?;
/// assert_eq!((data.vocab.len(), data.card(3).lines), (27, 32_257));
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Data {
    /// Where the text came from.
    pub source: Source,
    /// The file that is the validation split, if there is one.
    pub val_source: Option<Source>,
    /// The file that is the test split, if there is one.
    pub test_source: Option<Source>,
    /// The characters of the text and of the files that replace splits.
    pub vocab: Vocab,
    /// The training, validation and test split.
    pub splits: Splits,
}

impl Data {
    /// Reads, cleans, encodes and splits the text.
    ///
    /// Without a path, the text is the embedded list of names. If the path is no file but the name of a known
    /// data set, the set's file in the cache is read; nothing is downloaded. With `vocab`, that of a model,
    /// the default mode is the vocabulary's, and other characters are an error.
    ///
    /// # Errors
    /// As [`Corpus::read`] and [`Splits::new`]; a file whose SHA-256 differs from that in the configuration,
    /// if it has one.
    pub fn load(config: &DataConfig, vocab: Option<Vocab>) -> Result<Self> {
        let mode = config.mode.or(vocab.as_ref().map(Vocab::mode));
        let config = &DataConfig { mode, ..config.clone() };
        Self::of(Self::corpus(config)?, config, vocab)
    }

    /// Reads and cleans the main file.
    ///
    /// # Errors
    /// As [`Corpus::read`]; a file whose SHA-256 differs from that in the configuration, if it has one.
    pub fn corpus(config: &DataConfig) -> Result<Corpus> {
        let sha256 = config.sha256.as_deref();
        match &config.path {
            None => Corpus::of_bytes("us-names-2018.txt".as_ref(), NAMES.into(), config, sha256),
            Some(path) => Corpus::read_same(&find_file(path)?, config, sha256),
        }
    }

    /// As [`Data::load`], with the main file read already.
    ///
    /// # Errors
    /// As [`Data::load`].
    ///
    /// ```
    /// use charloom::data::{Corpus, Data, DataConfig};
    ///
    /// let text = b"anna\nemma\nhannah\notto\nbob\neve\nada\nlil\nsis\npip\n";
    /// let config = DataConfig::default();
    /// let data = Data::of(Corpus::from_bytes("my words", text, &config)?, &config, None)?;
    /// let [train, val, test] =
    ///     [&data.splits.train, &data.splits.val, &data.splits.test].map(|split| split.words().count());
    /// assert_eq!([train, val, test], [8, 1, 1]);
    /// # Ok::<(), charloom::Error>(())
    /// ```
    pub fn of(corpus: Corpus, config: &DataConfig, vocab: Option<Vocab>) -> Result<Self> {
        let same = DataConfig { mode: Some(corpus.mode()), dedupe: false, ..config.clone() };
        let part = |path: &Option<PathBuf>, sha256: &Option<String>| -> Result<Option<Corpus>> {
            let Some(path) = path else { return Ok(None) };
            Corpus::read_same(&find_file(path)?, &same, sha256.as_deref()).map(Some)
        };
        let val = part(&config.val, &config.val_sha256)?;
        let test = part(&config.test, &config.test_sha256)?;
        let corpora = [Some(&corpus), val.as_ref(), test.as_ref()].into_iter().flatten();
        let vocab = vocab.unwrap_or_else(|| Vocab::of(corpus.mode(), corpora));
        let splits = Splits::new(&corpus, &vocab, config, val.as_ref(), test.as_ref())?;
        let [val_source, test_source] = [val, test].map(|file| file.map(Corpus::into_source));
        Ok(Self { source: corpus.into_source(), val_source, test_source, vocab, splits })
    }

    /// Advances `generator` as shuffling the words did, if `shuffle` is torch.
    pub(crate) fn draw_order(&self, config: &DataConfig, generator: &mut TorchGenerator) {
        let is_whole = config.val.is_none() && config.test.is_none();
        if is_whole && self.mode() == Mode::Lines && config.shuffle == Shuffle::Torch {
            generator.randperm(self.splits.whole().words().count() as u32);
        }
    }

    /// Whether these are words or one text.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.vocab.mode()
    }

    /// A summary of the data, with examples counted for contexts of length `context`.
    #[must_use]
    pub fn card(&self, context: usize) -> DataCard {
        DataCard::new(&self.source, &self.vocab, &self.splits, context)
    }

    /// Writes the splits as `train.txt`, `val.txt` and `test.txt` into a folder; an empty split gets no file.
    /// Training on `train.txt` with `--val val.txt --test test.txt` uses the same splits.
    ///
    /// # Errors
    /// A folder that cannot be written, or a file that is there already.
    pub fn write_splits(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        if folder.exists() && !folder.is_dir() {
            return Err(Error::data(folder, "is a file; name a folder with ``out``"));
        }
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let Splits { train, val, test } = &self.splits;
        let parts = [("train.txt", train), ("val.txt", val), ("test.txt", test)];
        let parts = parts.map(|(name, split)| (folder.join(name), split));
        if let Some((path, _)) = parts.iter().find(|(path, _)| path.exists()) {
            return Err(Error::data(path, "is there already; name another folder with ``out``"));
        }
        let mut written = Vec::new();
        for (path, split) in parts {
            if !split.is_empty() {
                replace_file(&path, split.to_text(&self.vocab).as_bytes())
                    .map_err(|e| Error::io(&path, e))?;
                written.push(path);
            }
        }
        Ok(written)
    }
}

/// `path`, or, if there is no such file, the cached file of the data set with that name.
fn find_file(path: &Path) -> Result<PathBuf> {
    let known = path.to_str().filter(|_| !path.exists()).and_then(|name| Dataset::get(name).ok());
    let Some(known) = known else { return Ok(path.to_path_buf()) };
    Cache::of_user()?.find(&known).ok_or_else(|| {
        let message = format!(
            "no such file, but a known data set: 'charloom data get {}' gets it; ``data`` names another file",
            known.name
        );
        Error::data(path, message)
    })
}
