//! SlidingWindow token by token, with a cache of keys and values.

use charloom_tensor::{Indices, NodeId, Params, Pass, Recording, Rows, kernels};

use super::causal_rows::{BlockCache, KvCache};
use super::{CausalRows, Decoder, SlidingWindow};
use crate::models::{Reader, State};

/// The most sequences that are read at once.
const ROWS: usize = 256;
/// The most elements in the caches of these sequences.
const NUMBERS: usize = 1 << 24;

/// Reads with a decoder.
///
/// A state has the tokens of the window and, for each sequence, the log-probabilities of the next token and
/// the blocks' caches: keys and values of as many tokens as its [`DecoderReader::capacity`], or a sum. When a
/// window is full, the tokens that it shares with the next are read again (see [`SlidingWindow`]).
pub(in super::super) struct DecoderReader<'m> {
    params: &'m Params<f32>,
    sliding_window: SlidingWindow,
    /// V and C.
    vocab: usize,
    width: usize,
    rows: usize,
    step: Recording<f32>,
    /// Each row's token, its position, and the number of tokens in the row's cache.
    inputs: [Indices; 3],
    share: NodeId,
    blocks: Vec<BlockCache>,
    logits: NodeId,
}

impl<'m> DecoderReader<'m> {
    pub fn new(params: &'m Params<f32>, decoder: &Decoder) -> Self {
        let (sliding_window, width) = (decoder.sliding_window, decoder.width);
        let cache_size =
            decoder.blocks.len().saturating_mul(2 * width).saturating_mul(sliding_window.context);
        let rows = (NUMBERS / cache_size.max(1)).clamp(1, ROWS);
        let (step, (inputs, share, blocks, logits)) = Recording::new(params, |tape| {
            let axis = tape.axis(rows);
            let inputs = [(); 3].map(|()| tape.index_rows(axis, &[]));
            let [tokens, positions, lengths] = inputs;
            let cache = KvCache::new(tape, axis, sliding_window.context, lengths);
            let share = cache.share.id();
            let mut causal_rows = CausalRows::Cached(cache);
            let logits = decoder.logits(tape, [tokens, positions], &mut causal_rows).contiguous().id();
            let CausalRows::Cached(cache) = causal_rows else { unreachable!("it is made of a cache") };
            (inputs, share, cache.blocks, logits)
        });
        Self {
            params,
            sliding_window,
            vocab: decoder.vocab,
            width,
            rows,
            step,
            inputs,
            share,
            blocks,
            logits,
        }
    }

    /// The size of a sequence's cache with room for `capacity` tokens.
    fn cache_size(&self, capacity: usize) -> usize {
        let of_block = |block: &BlockCache| match block {
            BlockCache::Attention { .. } => 2 * capacity * self.width,
            BlockCache::Mean { .. } => self.width,
        };
        self.blocks.iter().map(of_block).sum()
    }

    /// The capacity, in tokens, of a cache of `length` tokens: a power of two of at least 8, at most T.
    fn capacity(&self, length: usize) -> usize {
        length.next_power_of_two().max(8).min(self.sliding_window.context)
    }

    /// Makes room in each row's cache for one more token than `length`.
    fn grow(&self, state: &mut State, length: usize) {
        let (old, new) = (self.capacity(length), self.capacity(length + 1));
        if length > 0 && old == new {
            return;
        }
        let old_row = self.vocab + if length == 0 { 0 } else { self.cache_size(old) };
        let new_row = self.vocab + self.cache_size(new);
        let mut numbers = vec![0.0; state.rows * new_row];
        for (to, from) in numbers.chunks_exact_mut(new_row).zip(state.numbers.chunks_exact(old_row)) {
            let (mut to, mut from) = (&mut to[self.vocab..], &from[self.vocab..]);
            if length == 0 {
                continue;
            }
            for block in &self.blocks {
                let (parts, [old, new]) = match block {
                    BlockCache::Attention { .. } => (2, [old, new].map(|capacity| capacity * self.width)),
                    BlockCache::Mean { .. } => (1, [self.width; 2]),
                };
                for _ in 0..parts {
                    to[..old].copy_from_slice(&from[..old]);
                    (to, from) = (&mut to[new..], &from[old..]);
                }
            }
        }
        state.numbers = numbers;
    }

    /// Reads one more token in each sequence, whose windows have `length` tokens so far.
    fn step(&mut self, state: &mut State, tokens: impl Fn(usize) -> u32, length: usize) {
        self.grow(state, length);
        let (width, capacity) = (self.width, self.capacity(length + 1));
        let row = self.vocab + self.cache_size(capacity);
        let old = length * width;
        self.step.set(self.share, |share| share[0] = 1.0 / (length + 1) as f32);
        for (chunk, numbers) in state.numbers.chunks_mut(self.rows * row).enumerate() {
            let rows = numbers.len() / row;
            let [of_tokens, positions, lengths] = self.inputs;
            let first = chunk * self.rows;
            self.step.set_indices(of_tokens, |all| (0..rows).for_each(|i| all[i] = tokens(first + i)));
            for which in [positions, lengths] {
                self.step.set_indices(which, |all| all[..rows].fill(length as u32));
            }
            let mut feed = |node: NodeId, each: usize, used: usize, from: usize| {
                self.step.set(node, |all| {
                    let all = all.chunks_exact_mut(each).zip(numbers.chunks_exact(row));
                    all.for_each(|(to, numbers)| to[..used].copy_from_slice(&numbers[from..from + used]));
                });
            };
            let mut at = self.vocab;
            for block in &self.blocks {
                match *block {
                    BlockCache::Attention { keys, values, .. } => {
                        for node in [keys, values] {
                            feed(node, self.sliding_window.context * width, old, at);
                            at += capacity * width;
                        }
                    }
                    BlockCache::Mean { sum, .. } => {
                        feed(sum, width, width, at);
                        at += width;
                    }
                }
            }
            self.step.forward(self.params, &Pass { rows: &[Rows::First(rows)], ..Pass::evaluation() });
            self.keep(numbers, [row, capacity, old]);
        }
    }

    /// Writes the log-probabilities of the next token into the state, and adds this token to the caches.
    fn keep(&self, numbers: &mut [f32], [row, capacity, old]: [usize; 3]) {
        let (vocab, width) = (self.vocab, self.width);
        let mut log_probs = vec![0.0; numbers.len() / row * vocab];
        self.step.with_data(self.logits, |logits| kernels::log_softmax_rows(logits, vocab, &mut log_probs));
        for (numbers, log_probs) in numbers.chunks_exact_mut(row).zip(log_probs.chunks_exact(vocab)) {
            numbers[..vocab].copy_from_slice(log_probs);
        }
        let mut at = vocab;
        for block in &self.blocks {
            match *block {
                BlockCache::Attention { new, .. } => self.step.with_data(new, |new| {
                    for (numbers, new) in numbers.chunks_exact_mut(row).zip(new.chunks_exact(3 * width)) {
                        for part in 0..2 {
                            numbers[at + part * capacity * width + old..][..width]
                                .copy_from_slice(&new[(part + 1) * width..][..width]);
                        }
                    }
                    at += 2 * capacity * width;
                }),
                BlockCache::Mean { new, .. } => self.step.with_data(new, |new| {
                    for (numbers, new) in numbers.chunks_exact_mut(row).zip(new.chunks_exact(width)) {
                        numbers[at..at + width].iter_mut().zip(new).for_each(|(sum, &x)| *sum += x);
                    }
                    at += width;
                }),
            }
        }
    }

    /// Begins the next window: reads the tokens again that it shares with the full one.
    fn slide(&mut self, state: &mut State) {
        let SlidingWindow { context, stride } = self.sliding_window;
        let old = std::mem::take(&mut state.tokens);
        state.numbers = vec![0.0; state.rows * self.vocab];
        for at in stride..context {
            self.step(state, |row| old[row * context + at], at - stride);
        }
        state.tokens = old.chunks_exact(context).flat_map(|tokens| &tokens[stride..]).copied().collect();
    }
}

impl Reader for DecoderReader<'_> {
    fn start(&mut self, n: usize, first: u32) -> State {
        // All sequences start alike: one is read and copied n times.
        let mut one = State { rows: 1, numbers: vec![0.0; self.vocab], ..State::default() };
        self.read(&mut one, &[first]);
        one.select(&vec![0; n])
    }

    fn read(&mut self, state: &mut State, tokens: &[u32]) {
        if state.rows == 0 {
            return;
        }
        if state.tokens.len() == state.rows * self.sliding_window.context {
            self.slide(state);
        }
        let length = state.tokens.len() / state.rows;
        self.step(state, |row| tokens[row], length);
        let mut all = Vec::with_capacity(state.tokens.len() + tokens.len());
        for (row, &token) in tokens.iter().enumerate() {
            all.extend_from_slice(&state.tokens[row * length..(row + 1) * length]);
            all.push(token);
        }
        state.tokens = all;
    }

    fn log_probs(&mut self, state: &State, out: &mut [f32]) {
        let row = state.numbers.len() / state.rows.max(1);
        out.chunks_exact_mut(self.vocab)
            .zip(state.numbers.chunks_exact(row.max(1)))
            .for_each(|(to, row)| to.copy_from_slice(&row[..self.vocab]));
    }

    fn sliding_window(&self) -> SlidingWindow {
        self.sliding_window
    }
}
