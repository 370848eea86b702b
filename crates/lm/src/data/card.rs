//! The data card: what a person should know about the data before anything is trained on it.

use std::fmt;

use serde::Serialize;

use super::corpus::Source;
use super::distinct::Distinct;
use super::settings::Mode;
use super::split::{Split, Splits};
use super::vocab::Vocab;

/// One number for each split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OfSplits {
    /// Training.
    pub train: usize,
    /// Validation.
    pub val: usize,
    /// Test.
    pub test: usize,
}

/// The part of the words of a split that the training split has too: evaluating on them tests memory, not
/// learning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Leaked {
    /// Of the validation words, from 0 to 1.
    pub val: f64,
    /// Of the test words, from 0 to 1.
    pub test: f64,
}

/// What the data holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataCard {
    /// Where it came from.
    pub source: String,
    /// How it is read.
    pub mode: Mode,
    /// Whether nobody said that it is.
    #[serde(skip)]
    pub is_detected: bool,
    /// How many words or lines.
    pub lines: usize,
    /// How many characters; of a text with its line breaks, of words without.
    pub characters: usize,
    /// V, with the boundary.
    pub vocab_size: usize,
    /// The characters, sorted.
    pub vocab: String,
    /// Characters of the longest line.
    pub longest: usize,
    /// How many words came before already; none of a text.
    pub duplicates: Option<usize>,
    /// T, the context that the examples are counted at.
    pub context: usize,
    /// Examples in each split.
    pub examples: OfSplits,
    /// Repetition between splits; none of a text.
    pub leaked: Option<Leaked>,
    /// What else a person should know.
    pub warnings: Vec<String>,
}

impl DataCard {
    /// Counts, with examples at this context.
    #[must_use]
    pub fn new(source: &Source, vocab: &Vocab, splits: &Splits, context: usize) -> Self {
        let whole = splits.whole();
        let is_words = whole.mode() == Mode::Lines;
        let (lines, longest) = lines(&whole, vocab.line_end());
        let counts = |split: &Split| match split.mode() {
            Mode::Lines => split.tokens().len(),
            Mode::Text => split.tokens().len().saturating_sub(context),
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
            mode: whole.mode(),
            lines,
            characters: whole.tokens().len() - if is_words { lines } else { 0 },
            vocab_size: vocab.len(),
            vocab: vocab.characters()[usize::from(is_words)..].iter().collect(),
            longest,
            duplicates: is_words.then(|| lines - Distinct::new(&whole).len()),
            context,
            examples: OfSplits {
                train: counts(&splits.train),
                val: counts(&splits.val),
                test: counts(&splits.test),
            },
            leaked: is_words.then(|| leaked(splits)),
            warnings,
        }
    }
}

/// How many lines there are, and the characters of the longest.
fn lines(whole: &Split, end: Option<u32>) -> (usize, usize) {
    let Some(end) = end else { return (1, whole.tokens().len()) };
    whole.tokens().split_inclusive(end).fold((0, 0), |(count, longest), line| {
        let is_ended = line.at(line.len() - 1) == end;
        (count + 1, longest.max(line.len() - usize::from(is_ended)))
    })
}

fn leaked(splits: &Splits) -> Leaked {
    let train = Distinct::new(&splits.train);
    let part = |split: &Split| {
        let (mut all, mut known) = (0usize, 0usize);
        for word in split.words() {
            all += 1;
            known += usize::from(train.contains(word.iter()));
        }
        known as f64 / all.max(1) as f64
    };
    Leaked { val: part(&splits.val), test: part(&splits.test) }
}

impl fmt::Display for DataCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.mode {
            Mode::Lines => "lines",
            Mode::Text => "a running text",
        };
        let other = if self.mode == Mode::Lines { Mode::Text } else { Mode::Lines };
        let way =
            if self.is_detected { format!(" (``mode`` {other} reads it otherwise)") } else { String::new() };
        writeln!(f, "{}, read as {what}{way}", self.source)?;
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
        let OfSplits { train, val, test } = self.examples;
        let [train, val, test] = [train, val, test].map(grouped);
        write!(f, "  examples    {train} training, {val} validation, {test} test")?;
        if self.context > 0 {
            write!(f, " (context {})", self.context)?;
        }
        if let Some(Leaked { val, test }) = self.leaked {
            write!(f, "\n  leaked      {:.1} % of validation and ", val * 100.0)?;
            write!(f, "{:.1} % of test words are also training words", test * 100.0)?;
        }
        Ok(())
    }
}

/// Digits in threes.
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
