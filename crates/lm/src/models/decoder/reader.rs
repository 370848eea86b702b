//! Reading token by token, with the keys and values of earlier tokens kept.

use charloom_tensor::{Indices, NodeId, Params, Pass, Recording, Rows, kernels};

use super::before::{Kept, OfBlock};
use super::{Before, Decoder, Reading};
use crate::models::{Reader, State};

/// The most sequences that are read at once.
const ROWS: usize = 256;
/// The most numbers that are kept of them.
const NUMBERS: usize = 1 << 24;

/// Reads with a decoder.
///
/// A state has the window's tokens, and of each sequence the logarithms of the next token's probabilities and what the
/// blocks keep: keys and values with room for as many tokens as `room` says, or a sum. When a window is full, the next
/// begins with what is in both, read anew (see [`Reading`]).
pub(in super::super) struct DecoderReader<'m> {
    params: &'m Params<f32>,
    reading: Reading,
    /// V and C.
    vocab: usize,
    width: usize,
    rows: usize,
    step: Recording<f32>,
    /// The tokens, their positions, and how many are before them.
    inputs: [Indices; 3],
    share: NodeId,
    blocks: Vec<OfBlock>,
    logits: NodeId,
}

impl<'m> DecoderReader<'m> {
    pub fn new(params: &'m Params<f32>, decoder: &Decoder) -> Self {
        let (reading, width) = (decoder.reading, decoder.width);
        let kept = decoder.blocks.len().saturating_mul(2 * width).saturating_mul(reading.context);
        let rows = (NUMBERS / kept.max(1)).clamp(1, ROWS);
        let (step, (inputs, share, blocks, logits)) = Recording::new(params, |tape| {
            let axis = tape.axis(rows);
            let inputs = [(); 3].map(|()| tape.index_rows(axis, &[]));
            let [tokens, positions, lengths] = inputs;
            let kept = Kept::new(tape, axis, reading.context, lengths);
            let share = kept.share.id();
            let mut before = Before::Kept(kept);
            let logits = decoder.logits(tape, [tokens, positions], &mut before).contiguous().id();
            let Before::Kept(kept) = before else { unreachable!("it was that before") };
            (inputs, share, kept.blocks, logits)
        });
        Self { params, reading, vocab: decoder.vocab, width, rows, step, inputs, share, blocks, logits }
    }

    /// How many numbers are kept of a sequence with room for so many tokens, besides its log-probabilities.
    fn kept(&self, room: usize) -> usize {
        let of_block = |block: &OfBlock| match block {
            OfBlock::Attention { .. } => 2 * room * self.width,
            OfBlock::Mean { .. } => self.width,
        };
        self.blocks.iter().map(of_block).sum()
    }

    /// For how many tokens there is room when `length` are kept, this one included.
    fn room(&self, length: usize) -> usize {
        length.next_power_of_two().max(8).min(self.reading.context)
    }

    /// Gives each row of the state room for one more token than `length`.
    fn grow(&self, state: &mut State, length: usize) {
        let (old, new) = (self.room(length), self.room(length + 1));
        if length > 0 && old == new {
            return;
        }
        let old_row = self.vocab + if length == 0 { 0 } else { self.kept(old) };
        let new_row = self.vocab + self.kept(new);
        let mut numbers = vec![0.0; state.rows * new_row];
        for (to, from) in numbers.chunks_exact_mut(new_row).zip(state.numbers.chunks_exact(old_row)) {
            let (mut to, mut from) = (&mut to[self.vocab..], &from[self.vocab..]);
            if length == 0 {
                continue;
            }
            for block in &self.blocks {
                let (parts, [old, new]) = match block {
                    OfBlock::Attention { .. } => (2, [old, new].map(|room| room * self.width)),
                    OfBlock::Mean { .. } => (1, [self.width; 2]),
                };
                for _ in 0..parts {
                    to[..old].copy_from_slice(&from[..old]);
                    (to, from) = (&mut to[new..], &from[old..]);
                }
            }
        }
        state.numbers = numbers;
    }

    /// Reads one more token in each sequence, of which `length` are in the window.
    fn step(&mut self, state: &mut State, tokens: impl Fn(usize) -> u32, length: usize) {
        self.grow(state, length);
        let (width, room) = (self.width, self.room(length + 1));
        let row = self.vocab + self.kept(room);
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
                    OfBlock::Attention { keys, values, .. } => {
                        for node in [keys, values] {
                            feed(node, self.reading.context * width, old, at);
                            at += room * width;
                        }
                    }
                    OfBlock::Mean { sum, .. } => {
                        feed(sum, width, width, at);
                        at += width;
                    }
                }
            }
            self.step.forward(self.params, &Pass { rows: &[Rows::First(rows)], ..Pass::evaluation() });
            self.keep(numbers, [row, room, old]);
        }
    }

    /// Takes what there is to keep of the step's token, and the log-probabilities of the next.
    fn keep(&self, numbers: &mut [f32], [row, room, old]: [usize; 3]) {
        let (vocab, width) = (self.vocab, self.width);
        let mut log_probs = vec![0.0; numbers.len() / row * vocab];
        self.step.with_data(self.logits, |logits| kernels::log_softmax_rows(logits, vocab, &mut log_probs));
        for (numbers, log_probs) in numbers.chunks_exact_mut(row).zip(log_probs.chunks_exact(vocab)) {
            numbers[..vocab].copy_from_slice(log_probs);
        }
        let mut at = vocab;
        for block in &self.blocks {
            match *block {
                OfBlock::Attention { new, .. } => self.step.with_data(new, |new| {
                    for (numbers, new) in numbers.chunks_exact_mut(row).zip(new.chunks_exact(3 * width)) {
                        for part in 0..2 {
                            numbers[at + part * room * width + old..][..width]
                                .copy_from_slice(&new[(part + 1) * width..][..width]);
                        }
                    }
                    at += 2 * room * width;
                }),
                OfBlock::Mean { new, .. } => self.step.with_data(new, |new| {
                    for (numbers, new) in numbers.chunks_exact_mut(row).zip(new.chunks_exact(width)) {
                        numbers[at..at + width].iter_mut().zip(new).for_each(|(sum, &x)| *sum += x);
                    }
                    at += width;
                }),
            }
        }
    }

    /// Begins the next window: what it has of the full one is read anew.
    fn slide(&mut self, state: &mut State) {
        let Reading { context, stride } = self.reading;
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
        // All begin alike, so one is read and repeated.
        let mut one = State { rows: 1, numbers: vec![0.0; self.vocab], ..State::default() };
        self.read(&mut one, &[first]);
        one.select(&vec![0; n])
    }

    fn read(&mut self, state: &mut State, tokens: &[u32]) {
        if state.rows == 0 {
            return;
        }
        if state.tokens.len() == state.rows * self.reading.context {
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
}
