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

    /// The rows of several states of one reader, one state after another.
    #[must_use]
    pub fn stacked(states: &[Self]) -> Self {
        let members = states.first().map_or(0, |state| state.members.len());
        let of_members = (0..members).map(|member| {
            let of_member: Vec<Self> = states.iter().map(|state| state.members[member].clone()).collect();
            Self::stacked(&of_member)
        });
        Self {
            rows: states.iter().map(|state| state.rows).sum(),
            tokens: states.iter().flat_map(|state| &state.tokens).copied().collect(),
            numbers: states.iter().flat_map(|state| &state.numbers).copied().collect(),
            members: of_members.collect(),
        }
    }
}

fn select<T: Copy>(all: &[T], of: usize, rows: &[usize]) -> Vec<T> {
    let width = all.len() / of.max(1);
    let mut selected = Vec::with_capacity(rows.len() * width);
    rows.iter().for_each(|&row| selected.extend_from_slice(&all[row * width..(row + 1) * width]));
    selected
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
    numbers: Numbers,
    generation: u64,
    missing: Vec<u32>,
    /// Of a mixture: its members' own, and their generations when these were made of them.
    members: Vec<Distributions>,
    made_of: Vec<u64>,
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
        let bits = (usize::BITS - vocab.saturating_sub(1).leading_zeros()).max(1) as usize;
        self.look_up_keys(contexts, bits, [rows, length, vocab], ask);
    }

    /// Those that are made of one of each of `count` members: `ask` has a member say which its rows have, `mix` makes one of
    /// theirs. What was made of the same ones before is not made again.
    pub(super) fn mixed(
        &mut self,
        [rows, count, vocab]: [usize; 3],
        mut ask: impl FnMut(usize, &mut Self),
        mut mix: impl FnMut(&[&[f32]], &mut [f32]),
    ) {
        let mut members = std::mem::take(&mut self.members);
        members.resize_with(count, Self::default);
        members.iter_mut().enumerate().for_each(|(i, member)| ask(i, member));
        if members.iter().map(|member| member.generation).ne(self.made_of.iter().copied()) {
            self.forget(vocab);
            self.made_of = members.iter().map(|member| member.generation).collect();
        }
        let of_row = |row: usize| members.iter().map(move |member| member.rows[row] as u32);
        let keys: Vec<u32> = (0..rows).flat_map(of_row).collect();
        self.look_up_keys(&keys, u32::BITS as usize, [rows, count, vocab], |missing, out| {
            for (key, out) in missing.chunks_exact(count).zip(out.chunks_exact_mut(vocab)) {
                let of_key =
                    key.iter().zip(&members).map(|(&number, member)| member.log_probs(number as usize));
                mix(&of_key.collect::<Vec<_>>(), out);
            }
        });
        self.members = members;
    }

    /// Those of these keys, of `length` numbers of so many bits each.
    fn look_up_keys(
        &mut self,
        contexts: &[u32],
        bits: usize,
        [rows, length, vocab]: [usize; 3],
        ask: impl FnOnce(&[u32], &mut [f32]),
    ) {
        if vocab != self.vocab || self.log_probs.len() + rows * vocab > KEPT {
            self.forget(vocab);
        }
        self.rows.clear();
        self.missing.clear();
        let old = self.count();
        let mut count = old;
        for row in 0..rows {
            let context = &contexts[row * length..][..length];
            let (number, is_new) = self.numbers.number(context, bits, count);
            if is_new {
                self.missing.extend_from_slice(context);
                count += 1;
            }
            self.rows.push(number);
        }
        let new = count - old;
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
        self.numbers = Numbers::default();
    }
}

/// The number of each context, which is packed into as few bits as it can be.
#[derive(Clone, Debug, Default)]
struct Numbers {
    /// By the packed context, where those are few: its number and 1, or 0.
    table: Vec<u32>,
    packed: FxHashMap<u64, usize>,
    long: FxHashMap<Box<[u32]>, usize>,
}

/// The most bits of a packed context that the table is made for: 4 MiB.
const TABLE_BITS: usize = 20;

impl Numbers {
    /// The number of a context, whose tokens have so many bits, and whether it is a new one, which is then `next`.
    fn number(&mut self, context: &[u32], bits: usize, next: usize) -> (usize, bool) {
        let width = bits * context.len();
        let known = if width <= 64 {
            let key = context.iter().fold(0, |key, &token| key << bits | u64::from(token));
            if width > TABLE_BITS {
                let known = self.packed.get(&key).copied();
                if known.is_none() {
                    self.packed.insert(key, next);
                }
                known
            } else {
                if self.table.is_empty() {
                    self.table.resize(1 << width, 0);
                }
                let slot = &mut self.table[key as usize];
                let known = slot.checked_sub(1).map(|number| number as usize);
                if known.is_none() {
                    *slot = next as u32 + 1;
                }
                known
            }
        } else {
            let known = self.long.get(context).copied();
            if known.is_none() {
                self.long.insert(context.into(), next);
            }
            known
        };
        (known.unwrap_or(next), known.is_none())
    }
}
