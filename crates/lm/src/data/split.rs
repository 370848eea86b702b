//! Training, validation and test data: slices of one buffer of tokens.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::corpus::Corpus;
use super::encode::Encoder;
use super::examples::Examples;
use super::order::{cut, starts};
use super::settings::{DataConfig, Mode};
use super::tokens::{TokenBuffer, Tokens};
use super::vocab::Vocab;
use crate::error::{Error, Result};

/// One split, encoded: a range of tokens that it shares with the other splits of its corpus.
///
/// ```
/// use charloom::data::{Corpus, DataConfig, Mode, Split, Vocab};
///
/// let corpus = Corpus::from_bytes("my words", b"emma\nava\n", &DataConfig::default())?;
/// let vocab = Vocab::of(Mode::Lines, [&corpus]);
/// let split = Split::of(&corpus, &vocab)?;
/// assert_eq!(vocab.decode(split.tokens()), "emma.ava.");
/// let words: Vec<String> = split.words().map(|word| vocab.decode(word)).collect();
/// assert_eq!(words, ["emma", "ava"]);
/// assert_eq!(split.examples(3)?.len(), 9);
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Split {
    /// In [`Mode::Lines`] it begins with a boundary, so that each word has one before it.
    buffer: TokenBuffer,
    range: Range<usize>,
    /// The examples of each context length asked for so far.
    examples: Arc<Mutex<Vec<Arc<Examples>>>>,
    /// The token that ends each word; none in a running text.
    boundary: Option<u32>,
}

impl PartialEq for Split {
    /// Whether tokens and boundary are equal, wherever the tokens lie in their buffers.
    fn eq(&self, other: &Self) -> bool {
        self.boundary == other.boundary && self.tokens() == other.tokens()
    }
}

impl Eq for Split {}

impl Split {
    /// A corpus as one split, in the order of the file.
    ///
    /// # Errors
    /// A character that the vocabulary does not have, or a vocabulary of the other mode.
    pub fn of(corpus: &Corpus, vocab: &Vocab) -> Result<Self> {
        Self::encoded(corpus, vocab, |encoder| encoder.text(corpus.text())).map(|(split, ())| split)
    }

    /// Encodes the words at `starts` in that order; also returns the token positions after the first `a` and
    /// after the first `b` words.
    fn of_words(
        corpus: &Corpus,
        starts: &[u32],
        [a, b]: [usize; 2],
        vocab: &Vocab,
    ) -> Result<(Self, [usize; 2])> {
        let text = corpus.text();
        let (split, [a, b, _]) = Self::encoded(corpus, vocab, |encoder| {
            [&starts[..a], &starts[a..b], &starts[b..]].map(|part| {
                part.iter().for_each(|&start| encoder.line(&text[start as usize..]));
                encoder.len()
            })
        })?;
        Ok((split, [a, b]))
    }

    /// Encodes a corpus by `encode`; also returns what `encode` returns.
    fn encoded<R>(
        corpus: &Corpus,
        vocab: &Vocab,
        encode: impl FnOnce(&mut Encoder<'_>) -> R,
    ) -> Result<(Self, R)> {
        if corpus.mode() != vocab.mode() {
            let [one, other] = [corpus.mode(), vocab.mode()];
            let message = format!("is read as {one}, the rest as {other}; give ``mode``");
            return Err(Error::data(&corpus.source().path, message));
        }
        let mut encoder = Encoder::new(corpus.text(), vocab);
        let returned = encode(&mut encoder);
        let buffer = encoder.finish().ok_or_else(|| unknown(corpus, vocab))?;
        let boundary = vocab.boundary();
        let range = usize::from(boundary.is_some())..buffer.tokens().len();
        Ok((Self { range, buffer, examples: Arc::default(), boundary }, returned))
    }

    /// Whether the tokens are words or one text.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.boundary.is_some() { Mode::Lines } else { Mode::Text }
    }

    /// The token that ends each word; none in [`Mode::Text`].
    #[must_use]
    pub fn boundary(&self) -> Option<u32> {
        self.boundary
    }

    /// [`Mode::Lines`]: each word followed by a boundary. [`Mode::Text`]: the text.
    #[must_use]
    pub fn tokens(&self) -> Tokens<'_> {
        self.buffer.tokens().slice(self.range.clone())
    }

    /// As [`Split::tokens`], with the boundary before the first word in [`Mode::Lines`].
    pub(crate) fn tokens_with_start(&self) -> Tokens<'_> {
        self.buffer.tokens().slice(self.range.start - usize::from(self.boundary.is_some())..self.range.end)
    }

    /// The words, without boundaries; nothing in [`Mode::Text`].
    pub fn words(&self) -> impl Iterator<Item = Tokens<'_>> {
        let words = self.boundary.map(|boundary| self.tokens().split_inclusive(boundary));
        words.into_iter().flatten().map(|word| word.slice(0..word.len() - 1))
    }

    /// Calls `visit` with the position and the tokens of each word, the boundary that ends it included. A
    /// running text has no words.
    pub(super) fn each_word(&self, visit: impl FnMut(usize, Tokens<'_>)) {
        if let Some(boundary) = self.boundary {
            self.tokens().each_ended(boundary, visit);
        }
    }

    /// The buffer that its tokens are a slice of.
    pub(super) fn buffer(&self) -> &TokenBuffer {
        &self.buffer
    }

    /// The examples with contexts of `length` tokens; made once for each length.
    ///
    /// # Errors
    /// A split of 2^32 tokens or more.
    pub fn examples(&self, length: usize) -> Result<Arc<Examples>> {
        let mut known = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(examples) = known.iter().find(|examples| examples.context_length() == length) {
            return Ok(Arc::clone(examples));
        }
        // Of a copy of this split with a cache of its own: a shared one would be a reference cycle.
        let examples = Arc::new(Examples::new(&self.slice(self.range.clone()), length)?);
        known.push(Arc::clone(&examples));
        Ok(examples)
    }

    /// Whether it has no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The split as a file: one word a line, or the text.
    #[must_use]
    pub fn to_text(&self, vocab: &Vocab) -> String {
        match self.mode() {
            Mode::Lines => self.words().map(|word| vocab.decode(word) + "\n").collect(),
            Mode::Text => vocab.decode(self.tokens()),
        }
    }

    /// About `tokens` of its tokens: evenly spaced words, or the end of a text; all of it if it has no more.
    #[must_use]
    pub fn sample(&self, tokens: usize) -> Self {
        let (all, end) = (self.range.len(), self.range.end);
        if self.boundary.is_none() || tokens >= all {
            return self.slice(end - tokens.min(all)..end);
        }
        let mut bytes = Vec::new();
        // A buffer of words begins with a boundary.
        self.buffer.tokens().slice(0..1).append_to(&mut bytes);
        let mut passed = 0;
        self.each_word(|_, word| {
            if passed == 0 {
                word.append_to(&mut bytes);
                passed = all.div_ceil(tokens.max(1));
            }
            passed -= 1;
        });
        let buffer = self.buffer.like(bytes);
        Self { range: 1..buffer.tokens().len(), buffer, examples: Arc::default(), boundary: self.boundary }
    }

    /// Cuts it into chunks of about `tokens` tokens: of whole words, or of a text. A chunk of a text begins
    /// with the last `context` tokens of the chunk before it.
    pub(crate) fn chunks(&self, tokens: usize, context: usize) -> Vec<Self> {
        let mut chunks = Vec::new();
        let mut start = self.range.start;
        while start < self.range.end {
            let rest = self.buffer.tokens().slice(start..self.range.end);
            let least = tokens.clamp(1, rest.len());
            let end = match self.boundary {
                None => least,
                Some(boundary) => {
                    let more = rest.iter().skip(least - 1).position(|token| token == boundary);
                    more.map_or(rest.len(), |more| least + more)
                }
            };
            let before = if self.boundary.is_none() { context.min(start - self.range.start) } else { 0 };
            chunks.push(self.slice(start - before..start + end));
            start += end;
        }
        chunks
    }

    /// The split of this range of the buffer.
    fn slice(&self, range: Range<usize>) -> Self {
        Self { buffer: self.buffer.clone(), range, examples: Arc::default(), boundary: self.boundary }
    }
}

/// The error for the first character of the file that the vocabulary does not have.
fn unknown(corpus: &Corpus, vocab: &Vocab) -> Error {
    let found = match corpus.mode() {
        Mode::Lines => corpus.words().find_map(|word| vocab.encode(word).err()),
        Mode::Text => vocab.encode(corpus.text()).err(),
    };
    let found = found.expect("called for a text that the vocabulary cannot encode");
    Error::data(&corpus.source().path, found)
}

/// The three splits of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// What a model learns from; never empty.
    pub train: Split,
    /// What settings are chosen on.
    pub val: Split,
    /// What the final loss is measured on.
    pub test: Split,
}

impl Splits {
    /// Splits a corpus.
    ///
    /// n words are shuffled by `shuffle` and, for fractions 0.8, 0.1 and 0.1, cut at `int(0.8 n)` and
    /// `int(0.9 n)`, or with [`Shuffle::Torch`](super::Shuffle::Torch) at the lengths of `random_split`. A
    /// text keeps its order and is cut at the same fractions of its characters. The training split has at
    /// least one word. If `val` or `test` is given, all of the corpus is for training, in the file's order,
    /// and a split without a file is empty.
    ///
    /// # Errors
    /// Fractions that do not sum to 1; a character that the vocabulary does not have; a file of the other
    /// mode.
    pub fn new(
        corpus: &Corpus,
        vocab: &Vocab,
        config: &DataConfig,
        val: Option<&Corpus>,
        test: Option<&Corpus>,
    ) -> Result<Self> {
        if val.is_some() || test.is_some() {
            let train = Split::of(corpus, vocab)?;
            let of = |file: Option<&Corpus>| match file {
                Some(file) => Split::of(file, vocab),
                None => Ok(train.slice(train.range.start..train.range.start)),
            };
            return Ok(Self { val: of(val)?, test: of(test)?, train });
        }
        let cut = cut(config, corpus.mode())?;
        let (whole, [a, b]) = match corpus.mode() {
            Mode::Text => {
                let whole = Split::of(corpus, vocab)?;
                let cuts = cut(whole.range.len());
                (whole, cuts)
            }
            Mode::Lines => {
                let starts = starts(corpus.text(), config);
                Split::of_words(corpus, &starts, cut(starts.len()), vocab)?
            }
        };
        let Range { start, end } = whole.range.clone();
        Ok(Self { train: whole.slice(start..a), val: whole.slice(a..b), test: whole.slice(b..end) })
    }

    /// All tokens of the corpus: training, validation, test. If files replace splits, those of the training
    /// split.
    pub(super) fn whole(&self) -> Split {
        let first = usize::from(self.train.boundary.is_some());
        self.train.slice(first..self.train.buffer.tokens().len())
    }
}
