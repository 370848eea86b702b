//! What a training step is made of: batches, drawn from a split.

mod blocks;
mod joined;
mod lessons;
mod nodes;
mod pieces;
mod streams;
mod windows;
mod words;

pub(crate) use blocks::Blocks;
pub(crate) use joined::{Joined, Joints};
pub(crate) use lessons::{Lesson, Lessons};
pub(crate) use nodes::Nodes;
pub(crate) use pieces::{PARTS, Pieces, parts, windows};
pub(crate) use streams::Streams;
pub(crate) use windows::Windows;
pub(crate) use words::{Layout, Words};

use charloom_tensor::{Rows, rng::TorchGenerator};

use crate::data::Split;
use crate::files::NamedTensor;

/// The most numbers in the widest layer of a step.
pub(crate) const MAX_NUMBERS: usize = 1 << 30;

/// Draws batches. All memory is taken beforehand.
pub(crate) trait Feed: Send + Sync {
    /// The sizes of the largest batch.
    fn shape(&self) -> Shape;

    /// N, the number of examples that batches are drawn from.
    fn examples(&self) -> usize;

    /// How many targets a batch has, or has on average.
    fn targets(&self) -> usize;

    /// Draws the next batch.
    fn draw(&mut self, generator: &mut TorchGenerator);

    /// The integers of the batch's index tensor `k`, of the rows in use; which tensors there are, the [`Shape`] says.
    fn input(&self, k: usize) -> &[u32];

    /// How many rows of each axis are in use.
    fn rows(&self) -> &[Rows];

    /// How often rows count.
    fn counts(&self) -> &[u32];

    /// Whether equal rows are computed once.
    fn merges(&self) -> bool;

    /// What is carried on from batch to batch: the states that the next one begins with, part after part.
    fn state(&self) -> &[f32] {
        &[]
    }

    /// The same, to be replaced after a batch.
    fn state_mut(&mut self) -> &mut [f32] {
        &mut []
    }

    /// What a checkpoint is to keep of it, besides the generator.
    fn saved(&self) -> Vec<NamedTensor> {
        Vec::new()
    }

    /// Takes up what [`Feed::saved`] gave, of the tensors that `find` finds.
    ///
    /// # Errors
    /// What is missing or does not fit.
    fn restore(&mut self, _find: &Find<'_>) -> Result<(), String> {
        Ok(())
    }

    /// What a teacher of this split is asked; from then on [`Feed::taught`] says which answer each target has.
    fn teach(&mut self, split: &Split) -> Lessons;

    /// The number of the teacher's distribution for each of the batch's targets.
    fn taught(&self) -> &[u32];
}

/// Finds a tensor by its name.
pub(crate) type Find<'a> = dyn Fn(&str) -> Option<&'a NamedTensor> + 'a;

/// The sizes of a feed's largest batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Windows of T tokens. Index tensors: the contexts (rows, T), the targets (B) and, if rows are merged, each target's
    /// row (B). Axes: the rows; if they are merged, the targets.
    Windows {
        /// The most rows.
        rows: usize,
        /// T
        context: usize,
        /// B: the examples, of a full batch with merged rows the different ones.
        targets: usize,
        /// Whether examples of equal contexts share a row.
        merged: bool,
    },
    /// Windows whose tokens are joined two by two, stage after stage. Index tensors: of each stage the two parts of its joints,
    /// (rows, 2), tokens or rows of the stage before; then the targets (B), and each target's row of the last stage (B). Axes:
    /// each stage's rows.
    Joined {
        /// B
        windows: usize,
        /// The logarithm of T.
        stages: usize,
    },
    /// Words as a trie, level by level: the roots, then the different first characters, and so on. Index tensors: the
    /// roots' tokens, then of each further level its tokens and the rows of their parents; then the different (node,
    /// target) pairs' targets and nodes. Axes: each level, all nodes, the pairs.
    Levels {
        /// How many levels, that of the roots among them.
        levels: usize,
        /// The most nodes of a level.
        rows: usize,
        /// The most pairs.
        pairs: usize,
    },
    /// Words as a trie, parents before children. Index tensors: the nodes' tokens, the rows of their parents (of a root its
    /// own); then the different (node, target) pairs' targets and nodes; for who asks for them, the nodes' positions. Axes:
    /// the nodes, the pairs.
    Tree {
        /// The most nodes.
        nodes: usize,
        /// The most pairs.
        pairs: usize,
    },
    /// Streams of a running text, of each the next tokens: row t B + b is token t of stream b. Index tensors: the tokens
    /// (T B), the targets (T B). No axes.
    Streams {
        /// B
        streams: usize,
        /// T
        length: usize,
        /// Whether the states of all streams are carried on; else they begin anew.
        carried: bool,
    },
    /// Pieces of a running text, T tokens each, one after another. Index tensors: the tokens (B T), the targets (B T). No axes.
    Blocks {
        /// B
        sequences: usize,
        /// T
        length: usize,
    },
}
