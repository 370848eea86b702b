//! Dynamic evaluation of words, and of texts in windows: a segment's context is read anew.

use charloom_tensor::{Params, Pass, Recording, Rows};

use super::{Adapt, Learner};
use crate::data::Split;
use crate::feed::{MAX_NUMBERS, Nodes, Shape, windows};
use crate::models::net::{Net, Recorded};
use crate::models::{Reading, See, Tell};
use crate::{Error, Result};

/// A piece of a window, as indices of all tokens: its inputs are `from..to`, of which the first `judged` are
/// context only; the targets of the others are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub from: usize,
    pub judged: usize,
    pub to: usize,
}

/// A split's tokens, and the pieces of each segment: every token is scored once, in order, with the same
/// context as in an evaluation.
pub(super) fn segments(split: &Split, reading: Reading, size: usize) -> (Vec<u32>, Vec<Vec<Piece>>) {
    let tokens = split.tokens_with_start().to_vec();
    let judged = tokens.len().saturating_sub(1);
    let sequences: Vec<usize> = match split.boundary() {
        Some(_) => split.words().map(|word| word.len() + 1).collect(),
        None => vec![judged],
    };
    let (mut segments, mut start) = (vec![Vec::new(); judged.div_ceil(size)], 0);
    for inputs in sequences.into_iter().filter(|&inputs| inputs > 0) {
        for window in windows(inputs, reading.context, reading.stride) {
            let from = start + window.start;
            let (mut next, end) = (from + window.scored_from, from + window.inputs);
            while next < end {
                let to = end.min((next / size + 1) * size);
                segments[next / size].push(Piece { from, judged: next - from, to });
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
/// Segments too large for memory; those of `tell`.
pub(in super::super) fn judge_trees(
    params: &Params<f32>,
    net: &Net,
    reading: Reading,
    split: &Split,
    adapt: &Adapt<'_>,
    see: See<'_>,
    tell: Tell<'_>,
) -> Result<()> {
    Learner::judge(params, split, adapt, see, tell, |split, most, judge| {
        let (tokens, segments) = segments(split, reading, adapt.segment);
        let read = |pieces: &Vec<Piece>| pieces.iter().map(|piece| piece.to - piece.from).sum();
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
        let longest = segments.iter().flatten().map(|piece| piece.to - piece.from).max().unwrap_or(0);
        let (mut batch, mut examples) = (Nodes::with_room(nodes, longest), Vec::new());
        for pieces in segments.iter().take(most) {
            batch.clear();
            examples.clear();
            for piece in pieces {
                batch.add(tokens[piece.from..=piece.to].iter().copied(), piece.judged, 1);
                examples.extend(batch.pairs(piece.judged));
            }
            batch.sort_by_level();
            let Nodes { tokens, parents, targets, nodes, positions, counts, .. } = &batch;
            for (&input, data) in inputs.iter().zip([tokens, parents, targets, nodes, positions]) {
                recording.set_indices(input, |to| to[..data.len()].copy_from_slice(data));
            }
            let rows = [Rows::First(tokens.len()), Rows::Counted { rows: targets.len(), from: 0 }];
            let pass = Pass { rows: &rows, counts, ..Pass::evaluation() };
            judge(&mut recording, loss, &pass, &mut examples.iter().copied())?;
        }
        Ok(())
    })
}
