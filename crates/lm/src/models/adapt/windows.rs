//! Dynamic evaluation of layers over a window.

use charloom_tensor::{Params, Pass, Recording, Rows};

use super::{Adapt, Learner};
use crate::Result;
use crate::data::Split;
use crate::models::{Progress, Stack, Visit};

/// Scores a split by layers over a window that adapt; the adapted weights are dropped in the end.
///
/// # Errors
/// Only those of `progress`.
pub(in super::super) fn predict_windows(
    params: &Params<f32>,
    stack: &Stack,
    split: &Split,
    adapt: &Adapt<'_>,
    visit: Visit<'_>,
    progress: Progress<'_>,
) -> Result<()> {
    let (stack, length) = (stack.without_dropout(), stack.context);
    let (mut recording, ([contexts, targets], loss)) = Recording::new(params, |tape| {
        let rows = tape.axis(adapt.segment);
        let inputs = [tape.index_rows(rows, &[length]), tape.index_rows(rows, &[])];
        (inputs, stack.logits(tape, inputs[0]).cross_entropy(inputs[1]).id())
    });
    recording.fuse(&[loss]);
    Learner::predict(params, split, adapt, visit, progress, |split, most, on_segment| {
        let tokens = split.tokens_with_start().to_vec();
        let Some((&first, scored)) = tokens.split_first() else { return Ok(()) };
        let mut window = vec![first; length];
        for segment in scored.chunks(adapt.segment).take(most) {
            recording.set_indices(contexts, |to| {
                for (&token, to) in segment.iter().zip(to.chunks_exact_mut(length.max(1))) {
                    to.copy_from_slice(&window);
                    if Some(token) == split.boundary() {
                        window.fill(token);
                    } else {
                        window.rotate_left(1);
                        window[length - 1] = token;
                    }
                }
            });
            recording.set_indices(targets, |to| to[..segment.len()].copy_from_slice(segment));
            let pass = Pass { rows: &[Rows::First(segment.len())], ..Pass::evaluation() };
            on_segment(&mut recording, loss, &pass, &mut (0..segment.len()))?;
        }
        Ok(())
    })
}
