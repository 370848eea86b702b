//! Dynamic evaluation of words, and of texts in windows: a segment's context is read anew.

use charloom_tensor::{Params, Pass, Recording, Rows};

use super::{Adapt, Learner};
use crate::data::Split;
use crate::feed::{MAX_NUMBERS, Shape, Trie, sliding_windows};
use crate::models::net::{Net, Recorded};
use crate::models::{Progress, SlidingWindow, Visit};
use crate::{Error, Result};

/// A span of a window, as indices of all tokens: its inputs are `from..to`, of which the first `scored_from` are
/// context only; the targets of the others are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub from: usize,
    pub scored_from: usize,
    pub to: usize,
}

/// A split's tokens, and the spans of each segment: every token is scored once, in order, with the same
/// context as in an evaluation.
pub(super) fn segments(
    split: &Split,
    sliding_window: SlidingWindow,
    size: usize,
) -> (Vec<u32>, Vec<Vec<Span>>) {
    let tokens = split.tokens_with_start().to_vec();
    let targets = tokens.len().saturating_sub(1);
    let sequences: Vec<usize> = match split.boundary() {
        Some(_) => split.words().map(|word| word.len() + 1).collect(),
        None => vec![targets],
    };
    let (mut segments, mut start) = (vec![Vec::new(); targets.div_ceil(size)], 0);
    for inputs in sequences.into_iter().filter(|&inputs| inputs > 0) {
        for window in sliding_windows(inputs, sliding_window.context, sliding_window.stride) {
            let from = start + window.start;
            let (mut next, end) = (from + window.scored_from, from + window.inputs);
            while next < end {
                let to = end.min((next / size + 1) * size);
                segments[next / size].push(Span { from, scored_from: next - from, to });
                next = to;
            }
        }
        start += inputs;
    }
    (tokens, segments)
}

/// Scores words, or a text in windows, by a net that adapts. A segment's step is along its own gradient
/// alone; the context of its tokens is read anew in it. The adapted weights are dropped in the end.
///
/// # Errors
/// Segments too large for memory; those of `progress`.
pub(in super::super) fn predict_trees(
    params: &Params<f32>,
    net: &Net,
    sliding_window: SlidingWindow,
    split: &Split,
    adapt: &Adapt<'_>,
    visit: Visit<'_>,
    progress: Progress<'_>,
) -> Result<()> {
    Learner::predict(params, split, adapt, visit, progress, |split, most, on_segment| {
        let (tokens, segments) = segments(split, sliding_window, adapt.segment);
        let read = |spans: &Vec<Span>| spans.iter().map(|span| span.to - span.from).sum();
        let nodes: usize = segments.iter().take(most).map(read).max().unwrap_or(0);
        if nodes == 0 {
            return Ok(());
        }
        if nodes.checked_mul(net.widest()).is_none_or(|numbers| numbers > MAX_NUMBERS) {
            let message = format!(
                "{}: a segment reads {nodes} characters, too many; choose a smaller one",
                adapt.segment
            );
            return Err(Error::setting("adapt_segment", message));
        }
        let (mut recording, Recorded { inputs, loss, .. }) =
            Recording::new(params, |tape| net.loss(tape, Shape::Tree { nodes, pairs: nodes }));
        recording.fuse(&[loss]);
        let longest = segments.iter().flatten().map(|span| span.to - span.from).max().unwrap_or(0);
        let (mut batch, mut examples) = (Trie::with_room(nodes, longest), Vec::new());
        for spans in segments.iter().take(most) {
            batch.clear();
            examples.clear();
            for span in spans {
                batch.add(tokens[span.from..=span.to].iter().copied(), span.scored_from, 1);
                examples.extend(batch.pairs(span.scored_from));
            }
            batch.sort_by_level();
            let Trie { tokens, parents, targets, nodes, positions, counts, .. } = &batch;
            for (&input, data) in inputs.iter().zip([tokens, parents, targets, nodes, positions]) {
                recording.set_indices(input, |to| to[..data.len()].copy_from_slice(data));
            }
            let rows = [Rows::First(tokens.len()), Rows::Counted { rows: targets.len(), from: 0 }];
            let pass = Pass { rows: &rows, counts, ..Pass::evaluation() };
            on_segment(&mut recording, loss, &pass, &mut examples.iter().copied())?;
        }
        Ok(())
    })
}
