//! Training, validation and test data.

use charloom_tensor::rng::{PythonRandom, TorchGenerator};

use crate::config::{DataConfig, Mode, Shuffle};
use crate::corpus::{Content, Corpus};
use crate::error::{Error, Result};
use crate::vocab::Vocab;

impl Mode {
    /// The parts of training, validation and test unless asked otherwise: lines 0.8, 0.1, 0.1; text 0.9, 0.1 and
    /// no test split.
    #[must_use]
    pub fn default_split(self) -> [f64; 3] {
        match self {
            Self::Lines => [0.8, 0.1, 0.1],
            Self::Text => [0.9, 0.1, 0.0],
        }
    }
}

/// One split, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// What the tokens are.
    mode: Mode,
    /// [`Mode::Lines`]: each word, then a boundary. [`Mode::Text`]: the text.
    tokens: Vec<u32>,
}

impl Split {
    /// Words, encoded.
    fn of_words<'a>(words: impl Iterator<Item = &'a String>, vocab: &Vocab) -> Result<Self> {
        let mut tokens = Vec::new();
        for word in words {
            for character in word.chars() {
                tokens.push(vocab.token(character).ok_or_else(|| outside(vocab, word))?);
            }
            tokens.push(0);
        }
        Ok(Self { mode: Mode::Lines, tokens })
    }

    fn of_text(text: &str, vocab: &Vocab) -> Result<Self> {
        Ok(Self { mode: Mode::Text, tokens: vocab.encode(text).map_err(|_| outside(vocab, text))? })
    }

    /// A corpus as one split, in the order of the file.
    ///
    /// # Errors
    /// A character that the vocabulary does not have, or a vocabulary of the other mode.
    pub fn of(corpus: &Corpus, vocab: &Vocab) -> Result<Self> {
        if corpus.mode() != vocab.mode() {
            let [one, other] = [corpus.mode(), vocab.mode()];
            return Err(Error::data(
                &corpus.source,
                format!("is read as {one}, the rest as {other}; give --mode"),
            ));
        }
        match &corpus.content {
            Content::Words(words) => Self::of_words(words.iter(), vocab),
            Content::Text(text) => Self::of_text(text, vocab),
        }
        .map_err(|e| Error::data(&corpus.source, e))
    }

    /// What the tokens are.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// [`Mode::Lines`]: each word followed by a boundary. [`Mode::Text`]: the text.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The words, without boundaries; nothing in [`Mode::Text`].
    pub fn words(&self) -> impl Iterator<Item = &[u32]> {
        let tokens = match self.mode {
            Mode::Lines => self.tokens.as_slice(),
            Mode::Text => &[],
        };
        tokens.split_inclusive(|&token| token == 0).map(|word| &word[..word.len() - 1])
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The split as a file: one word a line, or the text.
    #[must_use]
    pub fn to_text(&self, vocab: &Vocab) -> String {
        match self.mode {
            Mode::Lines => self.words().map(|word| vocab.decode(word) + "\n").collect(),
            Mode::Text => vocab.decode(&self.tokens),
        }
    }
}

fn outside(vocab: &Vocab, text: &str) -> Error {
    let unknown = vocab.encode(text).expect_err("called for a text that the vocabulary cannot encode");
    Error::Failed(unknown.to_string())
}

/// The three splits of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// What a model learns from; never empty.
    pub train: Split,
    /// What its settings are chosen by.
    pub val: Split,
    /// What it is judged by at the end.
    pub test: Split,
}

impl Splits {
    /// Cuts a corpus.
    ///
    /// Words are put in the order of `shuffle` and cut at `int(0.8 n)` and `int(0.9 n)` (of the fractions
    /// given), a text of n characters likewise, in its order; the training split has at least one word.
    /// Where `val` or `test` is given as a file, all of the corpus is for training, in the file's order, and a
    /// split that neither names is empty.
    ///
    /// # Errors
    /// Fractions that are not parts of 1; a character that the vocabulary does not have; a file of the other
    /// mode; in lines mode more words than 32 bits count.
    pub fn new(
        corpus: &Corpus,
        vocab: &Vocab,
        config: &DataConfig,
        val: Option<&Corpus>,
        test: Option<&Corpus>,
    ) -> Result<Self> {
        let whole = Split::of(corpus, vocab)?;
        if val.is_some() || test.is_some() {
            let of = |file: Option<&Corpus>| match file {
                Some(file) => Split::of(file, vocab),
                None => Ok(Split { mode: whole.mode, tokens: Vec::new() }),
            };
            return Ok(Self { val: of(val)?, test: of(test)?, train: whole });
        }
        let cut = cuts(config.split.unwrap_or(corpus.mode().default_split()))?;
        match &corpus.content {
            Content::Text(_) => {
                let [a, b] = cut(whole.tokens.len());
                let part = |tokens: &[u32]| Split { mode: Mode::Text, tokens: tokens.to_vec() };
                Ok(Self {
                    train: part(&whole.tokens[..a]),
                    val: part(&whole.tokens[a..b]),
                    test: part(&whole.tokens[b..]),
                })
            }
            Content::Words(words) => {
                let order = order(words.len(), config)?;
                let [a, b] = cut(words.len());
                let part = |order: &[u32]| Split::of_words(order.iter().map(|&i| &words[i as usize]), vocab);
                Ok(Self { train: part(&order[..a])?, val: part(&order[a..b])?, test: part(&order[b..])? })
            }
        }
    }
}

/// Which word comes first, second, ...
fn order(n: usize, config: &DataConfig) -> Result<Vec<u32>> {
    let count =
        u32::try_from(n).map_err(|_| Error::usage(format!("{n} words are more than 32 bits count")))?;
    Ok(match config.shuffle {
        Shuffle::None => (0..count).collect(),
        Shuffle::Torch => TorchGenerator::new(config.split_seed).randperm(count),
        Shuffle::Python => {
            let mut order: Vec<u32> = (0..count).collect();
            PythonRandom::new(config.split_seed).shuffle(&mut order);
            order
        }
    })
}

/// Where to cut n things: Python's `int(f * n)` of the fractions summed up.
fn cuts([train, val, test]: [f64; 3]) -> Result<impl Fn(usize) -> [usize; 2]> {
    let fine = |f: f64| (0.0..=1.0).contains(&f);
    if !(fine(train) && fine(val) && fine(test) && (train + val + test - 1.0).abs() < 1e-9) {
        let message =
            format!("--split {train},{val},{test}: three parts from 0 to 1 that add up to 1 are needed");
        return Err(Error::usage(message));
    }
    if train == 0.0 {
        return Err(Error::usage("--split leaves nothing to train on; its first part must be more than 0"));
    }
    // 0.7 + 0.1 is a little less than 0.8; the sum means the decimal number.
    let both = ((train + val) * 1e12).round() / 1e12;
    Ok(move |n: usize| {
        let at = |fraction: f64| ((fraction * n as f64) as usize).clamp(1, n);
        [at(train), at(both).max(at(train))]
    })
}
