//! SlidingWindow with layers over a window.

use charloom_tensor::{Params, Pass, Recording, Rows, kernels};

use super::Stack;
use super::net::pair_indices;
use super::window::{Predict, WINDOWS, WindowReader};
use crate::feed::NeighbourPairs;

/// The most elements in the widest layer of the windows that are computed at once.
const NUMBERS: usize = 1 << 20;

/// A reader of a stack. Dropout is left out, since it does nothing in evaluation.
pub(super) fn stack_reader<'m>(params: &'m Params<f32>, stack: &Stack, vocab: usize) -> WindowReader<'m> {
    let most = (NUMBERS / stack.widest.max(1)).clamp(1, WINDOWS);
    let (stack, length) = (stack.without_dropout(), stack.context);
    let by_pairs = stack.stages().and_then(|stages| predict_pairs(params, &stack, vocab, [most, stages]));
    let predict = by_pairs.unwrap_or_else(|| predict_windows(params, &stack, vocab, most));
    WindowReader { length, vocab, predict, predict_one: None }
}

/// Computes each window in a row of its own, `most` of them at a time.
fn predict_windows<'m>(params: &'m Params<f32>, stack: &Stack, vocab: usize, most: usize) -> Predict<'m> {
    let length = stack.context;
    let (mut recording, (contexts, logits)) = Recording::new(params, |tape| {
        let contexts = tape.index_rows(tape.axis(most), &[length]);
        (contexts, stack.logits(tape, contexts).id())
    });
    recording.fuse(&[logits]);
    Box::new(move |all, out| {
        for (some, out) in all.chunks(most * length).zip(out.chunks_mut(most * vocab)) {
            recording.set_indices(contexts, |to| to[..some.len()].copy_from_slice(some));
            let rows = [Rows::First(some.len() / length)];
            recording.forward(params, &Pass { rows: &rows, ..Pass::evaluation() });
            recording.with_data(logits, |logits| kernels::log_softmax_rows(logits, vocab, out));
        }
    })
}

/// Computes each distinct pair of neighbours once at each stage; None if a layer mixes rows, which then
/// cannot be merged.
fn predict_pairs<'m>(
    params: &'m Params<f32>,
    stack: &Stack,
    vocab: usize,
    [most, stages]: [usize; 2],
) -> Option<Predict<'m>> {
    let (mut recording, (inputs, logits)) = Recording::new(params, |tape| {
        let inputs = pair_indices(tape, most, stages);
        let logits = stack.logits_of_pairs(tape, &inputs).id();
        (inputs, logits)
    });
    if !recording.is_mergeable() {
        return None;
    }
    recording.fuse(&[logits]);
    let length = stack.context;
    let mut pairs = NeighbourPairs::new(stages, most, vocab);
    let mut log_probs = vec![0.0; most * vocab];
    Some(Box::new(move |all, out| {
        for (some, out) in all.chunks(most * length).zip(out.chunks_mut(most * vocab)) {
            pairs.find(some, |_| 1);
            for (stage, &indices) in inputs.iter().enumerate() {
                let members = pairs.members(stage);
                recording.set_indices(indices, |to| to[..members.len()].copy_from_slice(members));
            }
            let (rows, counts) = (&pairs.rows[..], &pairs.counts[..]);
            recording.forward(params, &Pass { rows, counts, ..Pass::evaluation() });
            recording.with_data(logits, |logits| {
                kernels::log_softmax_rows(logits, vocab, &mut log_probs[..logits.len()]);
            });
            for (out, &row) in out.chunks_exact_mut(vocab).zip(&pairs.row_of) {
                out.copy_from_slice(&log_probs[row as usize * vocab..][..vocab]);
            }
        }
    }))
}
