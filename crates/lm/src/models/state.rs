//! The states of sequences that are read, and their distributions of the next token.

use rustc_hash::FxHashMap;

/// The states of sequences that are read side by side; each part has a row for each sequence.
///
/// A reader continues from a clone, or from selected rows, as if their tokens had been read anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The number of sequences.
    pub rows: usize,
    /// The tokens that a model keeps, row by row.
    pub tokens: Vec<u32>,
    /// The hidden state or cache that a model keeps, row by row.
    pub numbers: Vec<f32>,
    /// The states of the members of a mixture.
    pub members: Vec<State>,
}

impl State {
    /// The states of these sequences, in this order; a sequence may be named several times.
    ///
    /// # Panics
    /// If there is no such sequence.
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

/// The most log-probabilities that are cached: 16 MiB.
const MAX_CACHED: usize = 1 << 22;

/// A cache of distributions of the next token, and the index of each sequence's distribution in it.
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
    indices: ContextIndex,
    generation: u64,
    missing: Vec<u32>,
    /// For a mixture: its members' caches, and their generations when the mixture's distributions were
    /// computed.
    members: Vec<Distributions>,
    member_generations: Vec<u64>,
}

impl Distributions {
    /// The index of each sequence's distribution.
    #[must_use]
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// The log-probabilities (V) of a distribution, by its index.
    ///
    /// # Units
    /// Nats.
    ///
    /// # Panics
    /// If there is no distribution of this index.
    #[must_use]
    pub fn log_probs(&self, index: usize) -> &[f32] {
        &self.log_probs[index * self.vocab..][..self.vocab]
    }

    /// The number of distributions; indices are below it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.log_probs.len() / self.vocab.max(1)
    }

    /// Changes whenever indices are reassigned: a result cached by index is valid only while this stays the
    /// same.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Replaces all distributions by one for each sequence, which `log_probs` writes.
    pub fn fill(&mut self, rows: usize, vocab: usize, log_probs: impl FnOnce(&mut [f32])) {
        self.clear(vocab);
        self.log_probs.resize(rows * vocab, 0.0);
        log_probs(&mut self.log_probs);
        self.rows.extend(0..rows);
    }

    /// Finds the distributions of these contexts, of `length` tokens each; `compute` writes those that are
    /// not cached, all at once.
    pub(super) fn look_up(
        &mut self,
        contexts: &[u32],
        [rows, length, vocab]: [usize; 3],
        compute: impl FnOnce(&[u32], &mut [f32]),
    ) {
        let bits = (usize::BITS - vocab.saturating_sub(1).leading_zeros()).max(1) as usize;
        self.look_up_keys(contexts, bits, [rows, length, vocab], compute);
    }

    /// Finds each row's pooled distribution. `look_up` finds a member's distributions; `pool` combines one of
    /// each member, once for each distinct combination of indices.
    pub(super) fn mixed(
        &mut self,
        [rows, count, vocab]: [usize; 3],
        mut look_up: impl FnMut(usize, &mut Self),
        mut pool: impl FnMut(&[&[f32]], &mut [f32]),
    ) {
        let mut members = std::mem::take(&mut self.members);
        members.resize_with(count, Self::default);
        members.iter_mut().enumerate().for_each(|(i, member)| look_up(i, member));
        if members.iter().map(|member| member.generation).ne(self.member_generations.iter().copied()) {
            self.clear(vocab);
            self.member_generations = members.iter().map(|member| member.generation).collect();
        }
        let of_row = |row: usize| members.iter().map(move |member| member.rows[row] as u32);
        let keys: Vec<u32> = (0..rows).flat_map(of_row).collect();
        self.look_up_keys(&keys, u32::BITS as usize, [rows, count, vocab], |missing, out| {
            for (key, out) in missing.chunks_exact(count).zip(out.chunks_exact_mut(vocab)) {
                let of_key =
                    key.iter().zip(&members).map(|(&index, member)| member.log_probs(index as usize));
                pool(&of_key.collect::<Vec<_>>(), out);
            }
        });
        self.members = members;
    }

    /// Finds the distributions of these keys, of `length` numbers of `bits` bits each.
    fn look_up_keys(
        &mut self,
        contexts: &[u32],
        bits: usize,
        [rows, length, vocab]: [usize; 3],
        compute: impl FnOnce(&[u32], &mut [f32]),
    ) {
        if vocab != self.vocab || self.log_probs.len() + rows * vocab > MAX_CACHED {
            self.clear(vocab);
        }
        self.rows.clear();
        self.missing.clear();
        let old = self.count();
        let mut count = old;
        for row in 0..rows {
            let context = &contexts[row * length..][..length];
            let (index, is_new) = self.indices.index_or_insert(context, bits, count);
            if is_new {
                self.missing.extend_from_slice(context);
                count += 1;
            }
            self.rows.push(index);
        }
        let new = count - old;
        if new > 0 {
            self.log_probs.resize((old + new) * vocab, 0.0);
            compute(&self.missing, &mut self.log_probs[old * vocab..]);
        }
    }

    fn clear(&mut self, vocab: usize) {
        self.generation += 1;
        self.vocab = vocab;
        self.rows.clear();
        self.log_probs.clear();
        self.indices = ContextIndex::default();
    }
}

/// The index of each context. Contexts are packed into integers where they fit.
#[derive(Clone, Debug, Default)]
struct ContextIndex {
    /// Index + 1 by packed context of at most TABLE_BITS bits; 0 if it is new.
    table: Vec<u32>,
    packed: FxHashMap<u64, usize>,
    long: FxHashMap<Box<[u32]>, usize>,
}

/// The most bits of a context in the table, which then takes 4 MiB.
const TABLE_BITS: usize = 20;

impl ContextIndex {
    /// The index of a context, whose tokens have `bits` bits each, and whether it is new: then it gets index
    /// `next`.
    fn index_or_insert(&mut self, context: &[u32], bits: usize, next: usize) -> (usize, bool) {
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
                let known = slot.checked_sub(1).map(|index| index as usize);
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
