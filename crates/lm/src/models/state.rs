//! What a reader knows of the sequences it reads.

use rustc_hash::FxHashMap;

/// The states of sequences that are read side by side: a record, a row for each sequence in every part.
///
/// It can be cloned, and rows of it selected: a reader goes on from it as if the tokens had been read anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// How many sequences.
    pub rows: usize,
    /// Tokens that a model remembers, row by row.
    pub tokens: Vec<u32>,
    /// Numbers that a model remembers, row by row.
    pub numbers: Vec<f32>,
    /// The states of the members of a mixture.
    pub members: Vec<State>,
}

impl State {
    /// The states of these sequences, in this order, as often as they are named.
    ///
    /// # Panics
    /// If one is not there.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            rows: rows.len(),
            tokens: select(&self.tokens, self.rows, rows),
            numbers: select(&self.numbers, self.rows, rows),
            members: self.members.iter().map(|member| member.select(rows)).collect(),
        }
    }
}

fn select<T: Copy>(all: &[T], of: usize, rows: &[usize]) -> Vec<T> {
    let width = all.len() / of.max(1);
    rows.iter().flat_map(|&row| &all[row * width..(row + 1) * width]).copied().collect()
}

/// The most numbers that distributions are remembered in.
const KEPT: usize = 1 << 22;

/// Distributions of the next token, and which of them each sequence has.
///
/// ```
/// use charloom::models::Distributions;
///
/// let mut known = Distributions::default();
/// known.fill(2, 3, |out| out.copy_from_slice(&[0.0, -1.0, -2.0, -0.5, -0.5, -9.0]));
/// assert_eq!((known.rows(), known.log_probs(1)), (&[0, 1][..], &[-0.5, -0.5, -9.0][..]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Distributions {
    vocab: usize,
    rows: Vec<usize>,
    log_probs: Vec<f32>,
    /// Context to number.
    numbers: FxHashMap<Box<[u32]>, usize>,
    generation: u64,
    missing: Vec<u32>,
}

impl Distributions {
    /// The number of each sequence's distribution.
    #[must_use]
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// A distribution, by its number.
    ///
    /// # Units
    /// Nats.
    ///
    /// # Panics
    /// If there is none of this number.
    #[must_use]
    pub fn log_probs(&self, number: usize) -> &[f32] {
        &self.log_probs[number * self.vocab..][..self.vocab]
    }

    /// How many there are, from number 0 on.
    #[must_use]
    pub fn count(&self) -> usize {
        self.log_probs.len() / self.vocab.max(1)
    }

    /// Another number than before if the numbers mean other distributions than before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// New ones, a row for each sequence, which `log_probs` writes.
    pub fn fill(&mut self, rows: usize, vocab: usize, log_probs: impl FnOnce(&mut [f32])) {
        self.forget(vocab);
        self.log_probs.resize(rows * vocab, 0.0);
        log_probs(&mut self.log_probs);
        self.rows.extend(0..rows);
    }

    /// Those of these contexts, of `length` tokens each; `ask` writes the ones that are not known yet, all at once.
    pub(super) fn look_up(
        &mut self,
        contexts: &[u32],
        [rows, length, vocab]: [usize; 3],
        ask: impl FnOnce(&[u32], &mut [f32]),
    ) {
        if vocab != self.vocab || self.log_probs.len() + rows * vocab > KEPT {
            self.forget(vocab);
        }
        self.rows.clear();
        self.missing.clear();
        let old = self.numbers.len();
        for row in 0..rows {
            let context = &contexts[row * length..][..length];
            let number = self.numbers.get(context).copied().unwrap_or_else(|| {
                self.missing.extend_from_slice(context);
                self.numbers.insert(context.into(), self.numbers.len());
                self.numbers.len() - 1
            });
            self.rows.push(number);
        }
        let new = self.numbers.len() - old;
        if new > 0 {
            self.log_probs.resize((old + new) * vocab, 0.0);
            ask(&self.missing, &mut self.log_probs[old * vocab..]);
        }
    }

    fn forget(&mut self, vocab: usize) {
        self.generation += 1;
        self.vocab = vocab;
        self.rows.clear();
        self.log_probs.clear();
        self.numbers.clear();
    }
}
