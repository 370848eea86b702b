//! A text cut into chunks that are read side by side.

use std::ops::Range;

/// A chunk of a text: it is read from the token at `begin` on, and the targets in `scored` are scored. Target i is
/// the token at i + 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub begin: usize,
    pub scored: Range<usize>,
}

/// The most chunks that a text is cut into.
pub(crate) const MAX_CHUNKS: usize = 256;

/// How many tokens of a chunk are read before its first scored target, so that the state knows what comes before.
pub(crate) const BURN_IN: usize = 1024;

/// The chunks of a text of `targets` targets, which are read side by side; at most `max_chunks`.
///
/// A chunk begins at the last multiple of `stride` that is `burn_in` tokens before its first scored target, or at
/// the text's beginning: so every target is predicted from all tokens before it, or from at least `burn_in`, and
/// [`sliding_windows`](super::sliding_windows()) moved on by `stride` are those of the whole text. Chunks are long
/// enough that burn-in is about a third of all reading or less.
pub(crate) fn chunks(targets: usize, [max_chunks, burn_in]: [usize; 2], stride: usize) -> Vec<Chunk> {
    let each = targets.div_ceil((targets / (2 * burn_in)).clamp(1, max_chunks)).max(1);
    let chunk = |start: usize| Chunk {
        begin: start.saturating_sub(burn_in) / stride * stride,
        scored: start..(start + each).min(targets),
    };
    (0..targets).step_by(each).map(chunk).collect()
}
