//! Batches for training steps, drawn from a split.

mod all_windows;
mod blocks;
mod chunks;
mod paired_windows;
mod sliding_windows;
mod streams;
mod teacher_inputs;
mod trie;
mod windows;
mod word_windows;
mod words;

pub(crate) use all_windows::AllWindows;
pub(crate) use blocks::Blocks;
pub(crate) use chunks::{BURN_IN, MAX_CHUNKS, chunks};
pub(crate) use paired_windows::{NeighbourPairs, PairedWindows};
pub(crate) use sliding_windows::sliding_windows;
pub(crate) use streams::Streams;
pub(crate) use teacher_inputs::{Reading, Sequence, TeacherInputs};
pub(crate) use trie::Trie;
pub(crate) use windows::Windows;
pub(crate) use word_windows::WordWindows;
pub(crate) use words::{Layout, Words};

use charloom_tensor::{Rows, rng::TorchGenerator};

use crate::data::Split;
use crate::files::NamedTensor;

/// The most numbers in the widest layer of a step.
pub(crate) const MAX_NUMBERS: usize = 1 << 30;

/// Draws batches. All memory is allocated when the feed is made.
pub(crate) trait Feed: Send + Sync {
    /// The sizes of the largest batch.
    fn shape(&self) -> Shape;

    /// N, the number of examples that batches are drawn from.
    fn examples(&self) -> usize;

    /// How many targets a batch has, or has on average.
    fn targets(&self) -> usize;

    /// Draws the next batch.
    fn draw(&mut self, generator: &mut TorchGenerator);

    /// Index tensor `k` of the batch, its rows in use; the [`Shape`] lists the tensors.
    fn input(&self, k: usize) -> &[u32];

    /// How many rows of each axis are in use.
    fn rows(&self) -> &[Rows];

    /// How often rows count: those of an axis begin at the `from` of its [`Rows::Counted`].
    fn counts(&self) -> &[u32];

    /// Whether equal rows are computed once.
    fn merges(&self) -> bool;

    /// The states that are carried over and that the next batch begins with, part after part; empty if there
    /// are none.
    fn state(&self) -> &[f32] {
        &[]
    }

    /// As [`Feed::state`], to be overwritten after a batch.
    fn state_mut(&mut self) -> &mut [f32] {
        &mut []
    }

    /// What a checkpoint stores of the feed, besides the generator.
    fn saved(&self) -> Vec<NamedTensor> {
        Vec::new()
    }

    /// Restores what [`Feed::saved`] gave; `find` finds the tensors by name.
    ///
    /// # Errors
    /// What is missing or does not fit.
    fn restore(&mut self, _find: &Find<'_>) -> Result<(), String> {
        Ok(())
    }

    /// Adds a teacher: returns what it is to read of this split, and from then on gives
    /// [`Feed::soft_targets`].
    fn add_teacher(&mut self, split: &Split) -> TeacherInputs;

    /// The number of the teacher's distribution for each of the batch's targets.
    fn soft_targets(&self) -> &[u32];
}

/// Finds a tensor by its name.
pub(crate) type Find<'a> = dyn Fn(&str) -> Option<&'a NamedTensor> + 'a;

/// The sizes of a feed's largest batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Windows of T tokens. Index tensors: the contexts (rows, T), the targets (B) and, if rows are merged,
    /// each target's row (B). Axes: the rows; if they are merged, the targets.
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
    /// Windows whose tokens are joined in pairs, stage after stage. Index tensors: for each stage the two
    /// members of its pairs (rows, 2), tokens in the first stage, else rows of the stage before; then the
    /// targets (B), and each target's row of the last stage (B). Axes: each stage's rows, the targets.
    PairedWindows {
        /// The windows: the examples, of a full batch those with different contexts.
        windows: usize,
        /// The logarithm of T.
        stages: usize,
        /// B: the examples, of a full batch the different ones.
        targets: usize,
    },
    /// Words as a trie, level by level: the roots, then the different first characters, and so on. Index
    /// tensors: the roots' tokens; for each further level its tokens, then the rows of their parents; last
    /// the targets, then the nodes, of the different (node, target) pairs. Axes: each level, all nodes, the
    /// pairs.
    Levels {
        /// The number of levels, that of the roots included.
        levels: usize,
        /// The most nodes of a level.
        rows: usize,
        /// The most pairs.
        pairs: usize,
    },
    /// Words as a trie, parents before children. Index tensors: the nodes' tokens; the rows of their parents
    /// (a root is its own); the targets, then the nodes, of the different (node, target) pairs; for models
    /// that need them, the nodes' positions. Axes: the nodes, the pairs.
    Tree {
        /// The most nodes.
        nodes: usize,
        /// The most pairs.
        pairs: usize,
    },
    /// The next T tokens of each of B streams of a running text: row t B + b is token t of stream b. Index
    /// tensors: the tokens (T B), the targets (T B). No axes.
    Streams {
        /// B
        streams: usize,
        /// T
        length: usize,
        /// Whether each batch begins with the states after the batch before; else states begin anew.
        carried: bool,
    },
    /// Blocks of a running text, T tokens each, one after another. Index tensors: the tokens (B T), the
    /// targets (B T). No axes.
    Blocks {
        /// B
        sequences: usize,
        /// T
        length: usize,
    },
}
