//! Training, validation and test data: parts of one row of tokens.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::corpus::Corpus;
use super::examples::Examples;
use super::order::{cut, starts};
use super::settings::{DataConfig, Mode};
use super::tokens::{Row, Tokens};
use super::vocab::Vocab;
use crate::error::{Error, Result};

/// One split, encoded: a range of tokens that it shares with the other splits of its corpus.
#[derive(Clone, Debug)]
pub struct Split {
    /// In [`Mode::Lines`] it begins with a boundary, so that one stands before each word.
    row: Row,
    range: Range<usize>,
    /// Its examples at the contexts that were asked for.
    examples: Arc<Mutex<Vec<Arc<Examples>>>>,
    /// What ends each word; none of a running text.
    boundary: Option<u32>,
}

impl PartialEq for Split {
    /// Equal tokens of the same meaning, wherever they lie.
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
        Self::from_chars(corpus, corpus.text().chars(), vocab)
    }

    /// As [`Split::of`], with the words beginning at these bytes of the text, one after the other.
    fn of_words(corpus: &Corpus, starts: &[u32], vocab: &Vocab) -> Result<Self> {
        let text = corpus.text();
        let word = |&start: &u32| {
            let rest = &text[start as usize..];
            rest[..rest.find('\n').map_or(rest.len(), |end| end + 1)].chars()
        };
        Self::from_chars(corpus, starts.iter().flat_map(word), vocab)
    }

    /// All characters of a corpus, in some order.
    fn from_chars(corpus: &Corpus, mut chars: impl Iterator<Item = char>, vocab: &Vocab) -> Result<Self> {
        if corpus.mode() != vocab.mode() {
            let [one, other] = [corpus.mode(), vocab.mode()];
            let message = format!("is read as {one}, the rest as {other}; give ``mode``");
            return Err(Error::data(&corpus.source().path, message));
        }
        let boundary = vocab.boundary();
        let mut is_known = true;
        let token = |_| {
            let c = chars.next().unwrap_or('\n');
            let token = boundary.filter(|_| c == '\n').or_else(|| vocab.token(c));
            is_known &= token.is_some();
            token.unwrap_or(0)
        };
        let count = corpus.text().chars().count();
        let first = usize::from(boundary.is_some());
        let row = Row::new(boundary.into_iter().chain((0..count).map(token)), first + count, vocab.len());
        if !is_known {
            return Err(unknown(corpus, vocab));
        }
        Ok(Self { range: first..first + count, row, examples: Arc::default(), boundary })
    }

    /// What the tokens are.
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
        self.row.tokens().part(self.range.clone())
    }

    /// The same, and in [`Mode::Lines`] the boundary before the first word.
    pub(crate) fn tokens_with_start(&self) -> Tokens<'_> {
        self.row.tokens().part(self.range.start - usize::from(self.boundary.is_some())..self.range.end)
    }

    /// The words, without boundaries; nothing in [`Mode::Text`].
    pub fn words(&self) -> impl Iterator<Item = Tokens<'_>> {
        let words = self.boundary.map(|boundary| self.tokens().split_inclusive(boundary));
        words.into_iter().flatten().map(|word| word.part(0..word.len() - 1))
    }

    /// Its examples at context `length`; which of their contexts are equal is found out once.
    ///
    /// # Errors
    /// More examples than 32 bits count.
    pub fn examples(&self, length: usize) -> Result<Arc<Examples>> {
        let mut known = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(examples) = known.iter().find(|examples| examples.context_length() == length) {
            return Ok(Arc::clone(examples));
        }
        // Of a split with a list of its own: else the two would keep each other alive.
        let examples = Arc::new(Examples::new(&self.part(self.range.clone()), length)?);
        known.push(Arc::clone(&examples));
        Ok(examples)
    }

    /// Whether there is nothing in it.
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

    /// About so many of its tokens: words evenly spaced over it, or the end of a text; all of it if it has no more.
    #[must_use]
    pub fn sample(&self, tokens: usize) -> Self {
        let (all, end) = (self.range.len(), self.range.end);
        let Some(boundary) = self.boundary.filter(|_| tokens < all) else {
            return self.part(end - tokens.min(all)..end);
        };
        let some = self.tokens().split_inclusive(boundary).step_by(all.div_ceil(tokens.max(1)));
        let row = Row::of(std::iter::once(boundary).chain(some.flat_map(Tokens::iter)), &self.row);
        Self { range: 1..row.tokens().len(), row, examples: Arc::default(), boundary: self.boundary }
    }

    /// Its parts of about so many tokens, one after the other: of whole words, or of a text, each with the end of the one
    /// before it as its first context.
    pub(crate) fn pieces(&self, tokens: usize, context: usize) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut start = self.range.start;
        while start < self.range.end {
            let rest = self.row.tokens().part(start..self.range.end);
            let least = tokens.clamp(1, rest.len());
            let end = match self.boundary {
                None => least,
                Some(boundary) => {
                    let more = rest.iter().skip(least - 1).position(|token| token == boundary);
                    more.map_or(rest.len(), |more| least + more)
                }
            };
            let before = if self.boundary.is_none() { context.min(start - self.range.start) } else { 0 };
            pieces.push(self.part(start - before..start + end));
            start += end;
        }
        pieces
    }

    /// How many words or characters it has.
    fn len(&self) -> usize {
        match self.boundary {
            Some(boundary) => self.tokens().iter().filter(|&token| token == boundary).count(),
            None => self.range.len(),
        }
    }

    /// Where the first `count` words or characters end.
    fn end_of(&self, count: usize) -> usize {
        let ends = |(at, token)| (Some(token) == self.boundary).then_some(self.range.start + at + 1);
        match (self.boundary, count.checked_sub(1)) {
            (Some(_), Some(last)) => {
                self.tokens().iter().enumerate().filter_map(ends).nth(last).unwrap_or(self.range.start)
            }
            _ => self.range.start + count,
        }
    }

    /// A part of it.
    fn part(&self, range: Range<usize>) -> Self {
        Self { row: self.row.clone(), range, examples: Arc::default(), boundary: self.boundary }
    }
}

/// The first character, in the order of the file, that the vocabulary does not have.
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
    /// What its settings are chosen by.
    pub val: Split,
    /// What it is judged by at the end.
    pub test: Split,
}

impl Splits {
    /// Cuts a corpus.
    ///
    /// Words are put in the order of `shuffle` and cut at `int(0.8 n)` and `int(0.9 n)` (of the fractions
    /// given), with [`Shuffle::Torch`](super::Shuffle::Torch) at the lengths of `random_split`; a text of n characters
    /// is cut as the words are, in its order. The training split has at least one word.
    /// Where `val` or `test` is given as a file, all of the corpus is for training, in the file's order, and a
    /// split that neither names is empty.
    ///
    /// # Errors
    /// Fractions that are not parts of 1; a character that the vocabulary does not have; a file of the other
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
                None => Ok(train.part(train.range.start..train.range.start)),
            };
            return Ok(Self { val: of(val)?, test: of(test)?, train });
        }
        let cut = cut(config, corpus.mode())?;
        let whole = match corpus.mode() {
            Mode::Text => Split::of(corpus, vocab)?,
            Mode::Lines => Split::of_words(corpus, &starts(corpus.text(), config), vocab)?,
        };
        let [a, b] = cut(whole.len()).map(|count| whole.end_of(count));
        let Range { start, end } = whole.range.clone();
        Ok(Self { train: whole.part(start..a), val: whole.part(a..b), test: whole.part(b..end) })
    }

    /// All tokens of the corpus that was cut, in the order of the splits; where files stand for splits, those of the
    /// training split.
    pub(super) fn whole(&self) -> Split {
        let first = usize::from(self.train.boundary.is_some());
        self.train.part(first..self.train.row.tokens().len())
    }
}
