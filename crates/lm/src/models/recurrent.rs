//! Models with a hidden state: each token changes it, and the logits of the next follow from it.

use charloom_tensor::kernels;
use charloom_tensor::{Axis, Element, Indices, NodeId, Params, Pass, Recording, Rows, Tape, Var};

use super::{Reader, State};

/// A model with a hidden state, as its layers.
///
/// Its state is a row of numbers, zeros before anything is read. In training equal beginnings of words are read once, level
/// by level.
pub trait Recurrent: Send + Sync {
    /// H, how many numbers the state has.
    fn state_width(&self) -> usize;

    /// Records the reading of one token in each sequence: the new state, and the logits of the token after it.
    ///
    /// # Shapes
    /// tokens (B), state (B, H) -> (B, H) and (B, V)
    fn step<'t, E: Element>(
        &self,
        tape: &'t Tape<'t, E>,
        tokens: Indices,
        state: Var<'t, E>,
    ) -> [Var<'t, E>; 2];
}

/// The same in the two precisions that models are computed in.
pub trait Cell: Send + Sync {
    /// As [`Recurrent::state_width`].
    fn width(&self) -> usize;
    /// As [`Recurrent::step`].
    fn step_f32<'t>(
        &self,
        tape: &'t Tape<'t, f32>,
        tokens: Indices,
        state: Var<'t, f32>,
    ) -> [Var<'t, f32>; 2];
    /// As [`Recurrent::step`].
    fn step_f64<'t>(
        &self,
        tape: &'t Tape<'t, f64>,
        tokens: Indices,
        state: Var<'t, f64>,
    ) -> [Var<'t, f64>; 2];
}

impl<R: Recurrent> Cell for R {
    fn width(&self) -> usize {
        self.state_width()
    }

    fn step_f32<'t>(
        &self,
        tape: &'t Tape<'t, f32>,
        tokens: Indices,
        state: Var<'t, f32>,
    ) -> [Var<'t, f32>; 2] {
        self.step(tape, tokens, state)
    }

    fn step_f64<'t>(
        &self,
        tape: &'t Tape<'t, f64>,
        tokens: Indices,
        state: Var<'t, f64>,
    ) -> [Var<'t, f64>; 2] {
        self.step(tape, tokens, state)
    }
}

/// The most sequences that are read at once.
const ROWS: usize = 256;

/// Reads with a recurrent model. Each sequence's numbers are its state and the logarithms of the next token's
/// probabilities.
pub(super) struct RecurrentReader<'m> {
    params: &'m Params<f32>,
    width: usize,
    vocab: usize,
    step: Recording<f32>,
    tokens: Indices,
    before: NodeId,
    after: NodeId,
    logits: NodeId,
}

impl<'m> RecurrentReader<'m> {
    pub fn new(params: &'m Params<f32>, cell: &dyn Cell, vocab: usize) -> Self {
        let width = cell.width();
        let (step, (tokens, before, [after, logits])) = Recording::new(params, |tape| {
            let axis: Axis = tape.axis(ROWS);
            let tokens = tape.index_rows(axis, &[]);
            let before = tape.rows(axis, &[width]);
            (tokens, before.id(), cell.step_f32(tape, tokens, before).map(|var| var.contiguous().id()))
        });
        Self { params, width, vocab, step, tokens, before, after, logits }
    }
}

impl Reader for RecurrentReader<'_> {
    fn start(&mut self, n: usize, first: u32) -> State {
        // All begin alike, so one is read and repeated.
        let mut one = State { rows: 1, numbers: vec![0.0; self.width + self.vocab], ..State::default() };
        self.read(&mut one, &[first]);
        one.select(&vec![0; n])
    }

    fn read(&mut self, state: &mut State, tokens: &[u32]) {
        let (width, row) = (self.width, self.width + self.vocab);
        for (numbers, tokens) in state.numbers.chunks_mut(ROWS * row).zip(tokens.chunks(ROWS)) {
            self.step.set_indices(self.tokens, |all| all[..tokens.len()].copy_from_slice(tokens));
            self.step.set(self.before, |states| {
                let states = states.chunks_exact_mut(width);
                states.zip(numbers.chunks(row)).for_each(|(to, from)| to.copy_from_slice(&from[..width]));
            });
            let rows = [Rows::First(tokens.len())];
            self.step.forward(self.params, &Pass { rows: &rows, ..Pass::evaluation() });
            let mut log_probs = vec![0.0; tokens.len() * self.vocab];
            self.step.with_data(self.logits, |logits| {
                kernels::log_softmax_rows(logits, self.vocab, &mut log_probs);
            });
            self.step.with_data(self.after, |after| {
                for (i, numbers) in numbers.chunks_exact_mut(row).enumerate() {
                    numbers[..width].copy_from_slice(&after[i * width..][..width]);
                    numbers[width..].copy_from_slice(&log_probs[i * self.vocab..][..self.vocab]);
                }
            });
        }
    }

    fn log_probs(&mut self, state: &State, out: &mut [f32]) {
        let rows = state.numbers.chunks_exact(self.width + self.vocab);
        out.chunks_exact_mut(self.vocab)
            .zip(rows)
            .for_each(|(to, row)| to.copy_from_slice(&row[self.width..]));
    }
}
