//! The data card: a summary of the data to read before training.

use std::fmt;

use serde::Serialize;

use super::corpus::Source;
use super::settings::Mode;
use super::split::{Split, Splits};
use super::vocab::Vocab;
use super::word_set::WordSet;

/// One number for each split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SplitCounts {
    /// Training.
    pub train: usize,
    /// Validation.
    pub val: usize,
    /// Test.
    pub test: usize,
}

/// The share of a split's words that the training split has too: evaluating on them tests memory, not
/// learning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Leaked {
    /// Of the validation words, from 0 to 1.
    pub val: f64,
    /// Of the test words, from 0 to 1.
    pub test: f64,
}

/// A summary of the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataCard {
    /// Where it came from.
    pub source: String,
    /// How it is read.
    pub mode: Mode,
    /// Whether `mode` was detected from the text rather than given.
    #[serde(skip)]
    pub is_detected: bool,
    /// Whether the text looks like the other mode than was given.
    #[serde(skip)]
    pub looks_otherwise: bool,
    /// How many words or lines.
    pub lines: usize,
    /// How many characters; line breaks count in a text, but not in a list of words.
    pub characters: usize,
    /// V, with the boundary.
    pub vocab_size: usize,
    /// The characters, sorted.
    pub vocab: String,
    /// Characters of the longest line.
    pub longest: usize,
    /// How many words repeat an earlier one; none for a text.
    pub duplicates: Option<usize>,
    /// T, the context length that examples are counted for.
    pub context: usize,
    /// Examples in each split: the characters and boundaries of words, or the characters of a text that have
    /// `context` others, and at least one, before them.
    pub examples: SplitCounts,
    /// The shares of words repeated between splits; none for a text.
    pub leaked: Option<Leaked>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl DataCard {
    /// Summarizes the data, with examples counted for contexts of length `context`.
    #[must_use]
    pub fn new(source: &Source, vocab: &Vocab, splits: &Splits, context: usize) -> Self {
        let whole = splits.whole();
        let is_words = whole.mode() == Mode::Lines;
        let Lines { count: lines, longest, repeated } = match is_words {
            true => words(splits),
            false => lines(&whole, vocab.line_end()),
        };
        let counts = |split: &Split| match split.mode() {
            Mode::Lines => split.tokens().len(),
            Mode::Text => split.tokens().len().saturating_sub(context.max(1)),
        };
        let mut warnings = source.warnings.clone();
        for (name, split) in [("validation", &splits.val), ("test", &splits.test)] {
            if split.is_empty() && is_words {
                warnings.push(format!("the {name} split is empty"));
            }
        }
        Self {
            source: source.path.display().to_string(),
            is_detected: source.is_detected,
            looks_otherwise: source.looks_otherwise,
            mode: whole.mode(),
            lines,
            characters: whole.tokens().len() - if is_words { lines } else { 0 },
            vocab_size: vocab.len(),
            vocab: vocab.characters()[usize::from(is_words)..].iter().collect(),
            longest,
            duplicates: repeated.map(|(duplicates, _)| duplicates),
            context,
            examples: SplitCounts {
                train: counts(&splits.train),
                val: counts(&splits.val),
                test: counts(&splits.test),
            },
            leaked: repeated.map(|(_, leaked)| leaked),
            warnings,
        }
    }
}

/// What is counted line by line.
struct Lines {
    count: usize,
    /// Characters of the longest.
    longest: usize,
    /// The number of duplicates and the leaked shares; none for a text.
    repeated: Option<(usize, Leaked)>,
}

/// Counts the lines of a text, each of which ends with the token `end`.
fn lines(whole: &Split, end: Option<u32>) -> Lines {
    let Some(end) = end else {
        return Lines { count: 1, longest: whole.tokens().len(), repeated: None };
    };
    let (mut count, mut longest) = (0, 0);
    for line in whole.tokens().split_inclusive(end) {
        let is_ended = line.at(line.len() - 1) == end;
        count += 1;
        longest = longest.max(line.len() - usize::from(is_ended));
    }
    Lines { count, longest, repeated: None }
}

/// Counts words in one pass: of all splits if one corpus was cut, else of the training split.
fn words(splits: &Splits) -> Lines {
    /// How many words a split has, and how many of them the training split has too.
    #[derive(Default)]
    struct Seen(usize, usize);
    let part = |Seen(all, known)| known as f64 / all.max(1) as f64;

    let whole = splits.whole();
    let ends = [&splits.train, &splits.val].map(|split| split.tokens().len());
    let (train_end, val_end) = (ends[0], ends[0] + ends[1]);
    let mut known = WordSet::empty(&whole);
    let (mut count, mut longest, mut duplicates) = (0, 0, 0);
    let (mut val, mut test) = (Seen::default(), Seen::default());
    whole.each_word(|start, word| {
        let first = known.add(start, word);
        if start >= train_end {
            let Seen(all, in_train) = if start < val_end { &mut val } else { &mut test };
            *all += 1;
            *in_train += usize::from(first.is_some_and(|first| first < train_end));
        }
        count += 1;
        longest = longest.max(word.len() - 1);
        duplicates += usize::from(first.is_some());
    });
    // The validation and test split are files of their own.
    if whole.tokens().len() == train_end {
        for (split, Seen(all, in_train)) in [(&splits.val, &mut val), (&splits.test, &mut test)] {
            split.each_word(|_, word| {
                *all += 1;
                *in_train += usize::from(known.find(word).is_ok());
            });
        }
    }
    let leaked = Leaked { val: part(val), test: part(test) };
    Lines { count, longest, repeated: Some((duplicates, leaked)) }
}

impl fmt::Display for DataCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |mode| if mode == Mode::Lines { "lines" } else { "a running text" };
        let other = if self.mode == Mode::Lines { Mode::Text } else { Mode::Lines };
        write!(f, "{}, read as {}", self.source, name(self.mode))?;
        if self.looks_otherwise {
            write!(f, ", though it looks like {} (``mode`` {other})", name(other))?;
        } else if self.is_detected {
            write!(f, " (``mode`` {other} reads it otherwise)")?;
        }
        writeln!(f)?;
        writeln!(f, "  lines       {}", grouped(self.lines))?;
        writeln!(f, "  characters  {}", grouped(self.characters))?;
        let shown: String = self.vocab.chars().take(100).flat_map(char::escape_debug).collect();
        let more = if self.vocab.chars().nth(100).is_some() { "..." } else { "" };
        let boundary = if self.mode == Mode::Lines { "boundary and " } else { "" };
        writeln!(f, "  vocabulary  {} ({boundary}{shown}{more})", self.vocab_size)?;
        writeln!(f, "  longest     {} characters", grouped(self.longest))?;
        if let Some(duplicates) = self.duplicates {
            writeln!(f, "  duplicates  {}", grouped(duplicates))?;
        }
        let SplitCounts { train, val, test } = self.examples;
        let [train, val, test] = [train, val, test].map(grouped);
        write!(f, "  examples    {train} training, {val} validation, {test} test")?;
        match (self.mode, self.context) {
            (_, 0) => {}
            (Mode::Lines, context) => write!(f, " (context {context})")?,
            (Mode::Text, context) => write!(f, " (characters after {context} others)")?,
        }
        if let Some(Leaked { val, test }) = self.leaked {
            write!(f, "\n  leaked      {:.1} % of validation and ", val * 100.0)?;
            write!(f, "{:.1} % of test words are also training words", test * 100.0)?;
        }
        Ok(())
    }
}

/// The number with a comma between groups of three digits, as in 32,257.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
