//! SlidingWindow with models that have a hidden state.

use charloom_tensor::kernels;
use charloom_tensor::{Indices, NodeId, Params, Pass, Recording, Rows, Tape, Var};

use super::{Reader, State};

/// The most sequences that are read at once.
const ROWS: usize = 256;

/// Reads with a model that has a hidden state. A sequence's `numbers` are its state, part by part (one for
/// each layer), then the log-probabilities of the next token (V).
pub(super) struct StateReader<'m> {
    params: &'m Params<f32>,
    vocab: usize,
    /// For each part of the state: its width, and its nodes before and after a step.
    parts: Vec<(usize, NodeId, NodeId)>,
    width: usize,
    step: Recording<f32>,
    tokens: Indices,
    logits: NodeId,
    log_probs: Vec<f32>,
}

impl<'m> StateReader<'m> {
    /// `step` records one step: a token for each row and the parts of the state before give the parts after
    /// and the logits.
    pub fn new(
        params: &'m Params<f32>,
        vocab: usize,
        widths: &[usize],
        step: impl for<'t> Fn(&'t Tape<'t, f32>, Indices, &[Var<'t, f32>]) -> (Vec<Var<'t, f32>>, Var<'t, f32>),
    ) -> Self {
        let (mut recording, (tokens, before, after, logits)) = Recording::new(params, |tape| {
            let axis = tape.axis(ROWS);
            let tokens = tape.index_rows(axis, &[]);
            let before: Vec<_> = widths.iter().map(|&width| tape.rows(axis, &[width])).collect();
            let (after, logits) = step(tape, tokens, &before);
            let ids =
                |parts: Vec<Var<'_, f32>>| parts.iter().map(|v| v.contiguous().id()).collect::<Vec<_>>();
            (tokens, ids(before), ids(after), logits.contiguous().id())
        });
        let kept: Vec<NodeId> = after.iter().copied().chain([logits]).collect();
        recording.fuse(&kept);
        let parts =
            widths.iter().zip(before).zip(after).map(|((&width, from), to)| (width, from, to)).collect();
        Self {
            params,
            vocab,
            parts,
            width: widths.iter().sum(),
            step: recording,
            tokens,
            logits,
            log_probs: Vec::new(),
        }
    }
}

impl Reader for StateReader<'_> {
    fn start(&mut self, n: usize, first: u32) -> State {
        // All sequences start alike: one is read and copied n times.
        let mut one = State { rows: 1, numbers: vec![0.0; self.width + self.vocab], ..State::default() };
        self.read(&mut one, &[first]);
        one.select(&vec![0; n])
    }

    fn read(&mut self, state: &mut State, tokens: &[u32]) {
        let row = self.width + self.vocab;
        for (numbers, tokens) in state.numbers.chunks_mut(ROWS * row).zip(tokens.chunks(ROWS)) {
            self.step.set_indices(self.tokens, |all| all[..tokens.len()].copy_from_slice(tokens));
            let mut at = 0;
            for &(width, before, _) in &self.parts {
                self.step.set(before, |states| {
                    let rows = states.chunks_exact_mut(width).zip(numbers.chunks_exact(row));
                    rows.for_each(|(to, from)| to.copy_from_slice(&from[at..at + width]));
                });
                at += width;
            }
            let rows = [Rows::First(tokens.len())];
            self.step.forward(self.params, &Pass { rows: &rows, ..Pass::evaluation() });
            at = 0;
            for &(width, _, after) in &self.parts {
                self.step.with_data(after, |after| {
                    let rows = numbers.chunks_exact_mut(row).zip(after.chunks_exact(width));
                    rows.for_each(|(to, from)| to[at..at + width].copy_from_slice(from));
                });
                at += width;
            }
            self.log_probs.resize(tokens.len() * self.vocab, 0.0);
            self.step.with_data(self.logits, |logits| {
                kernels::log_softmax_rows(logits, self.vocab, &mut self.log_probs);
            });
            let rows = numbers.chunks_exact_mut(row).zip(self.log_probs.chunks_exact(self.vocab));
            rows.for_each(|(to, from)| to[self.width..].copy_from_slice(from));
        }
    }

    fn log_probs(&mut self, state: &State, out: &mut [f32]) {
        let rows = state.numbers.chunks_exact(self.width + self.vocab);
        out.chunks_exact_mut(self.vocab)
            .zip(rows)
            .for_each(|(to, row)| to.copy_from_slice(&row[self.width..]));
    }
}
