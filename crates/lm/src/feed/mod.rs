//! What a training step is made of: batches, drawn from a split.

mod windows;
mod words;

pub(crate) use windows::Windows;
pub(crate) use words::Words;

use charloom_tensor::{Rows, rng::TorchGenerator};

/// The most numbers in the widest layer of a step.
pub(crate) const MAX_NUMBERS: usize = 1 << 30;

/// Draws batches. All memory is taken beforehand.
pub(crate) trait Feed: Send + Sync {
    /// The sizes of the largest batch.
    fn shape(&self) -> Shape;

    /// N, the number of examples that batches are drawn from.
    fn examples(&self) -> usize;

    /// Draws the next batch.
    fn draw(&mut self, generator: &mut TorchGenerator);

    /// The integers of the batch's index tensor `k`, of the rows in use; which tensors there are, the [`Shape`] says.
    fn input(&self, k: usize) -> &[u32];

    /// How many rows of each axis are in use.
    fn rows(&self) -> &[Rows];

    /// How often rows count.
    fn counts(&self) -> &[u32];
}

/// The sizes of a feed's largest batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Windows of T tokens. Index tensors: the contexts (rows, T), the targets (B) and, if rows are merged, each target's
    /// row (B). Axes: the rows.
    Windows {
        /// The most rows.
        rows: usize,
        /// T
        context: usize,
        /// B
        examples: usize,
        /// Whether examples of equal contexts share a row.
        merged: bool,
    },
    /// Words as a trie, level by level: the root, then the different first characters, and so on. Index tensors: the
    /// root's token, then of each further level its tokens and the rows of their parents; then the different (node,
    /// target) pairs' targets and nodes. Axes: each level, all nodes, the pairs.
    Levels {
        /// How many levels, the root's among them.
        levels: usize,
        /// The most nodes of a level.
        rows: usize,
        /// The most pairs.
        pairs: usize,
    },
}
