//! Attention: each row's values are those of the rows in its context, weighed by how well its query fits their keys.
//!
//! `y_i = sum_j p_ij v_j`, `p_ij = softmax_j(q_i k_j / sqrt(size of a head))`, head by head.

mod context;

pub use super::reference::{attend, attend_backward, attend_cached};
pub use context::{Context, Tree};

use crate::rng::DropoutMask;

/// What is attended to, and how.
#[derive(Clone, Copy)]
pub struct Attention<'a, E> {
    /// (N, 3C): each row's query, key and value side by side.
    pub qkv: &'a [E],
    /// C.
    pub width: usize,
    /// How many heads C is cut into.
    pub heads: usize,
    /// Which rows each row attends to.
    pub context: Context<'a>,
    /// Which weights p are kept; of row i's head h those of mask row i heads + h.
    pub dropout: Option<DropoutMask>,
}

/// The earlier keys and values of sequences that go on.
#[derive(Clone, Copy)]
pub struct Cache<'a, E> {
    /// (B, T, C): of each row's sequence the earlier keys.
    pub keys: &'a [E],
    /// (B, T, C): their values.
    pub values: &'a [E],
    /// (B): how many of the T there are.
    pub lengths: &'a [u32],
}
