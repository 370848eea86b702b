//! Attention: each row's values are those of the rows in its context, weighed by how well its query fits their keys.
//!
//! `y_i = sum_j p_ij v_j`, `p_ij = softmax_j(q_i k_j / sqrt(size of a head))`, head by head.

mod cached;
mod causal;
mod context;
mod room;
mod row;
mod tree;

pub use cached::attend_cached;
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

impl<E> Attention<'_, E> {
    /// Panics unless there are so many rows of results, and the sizes fit.
    fn check(&self, rows: usize) {
        let Self { qkv, width, heads, context, .. } = self;
        check_heads(*width, *heads);
        assert_eq!(qkv.len(), rows * 3 * width, "a query, a key and a value for each row");
        match context {
            Context::Sequences(length) => {
                assert!(*length > 0 && rows.is_multiple_of(*length), "whole sequences")
            }
            Context::Tree(tree) => assert_eq!(tree.rows(), rows, "a place in a tree for each row"),
        }
    }
}

/// Panics unless rows of `width` numbers can be cut into so many heads.
fn check_heads(width: usize, heads: usize) {
    assert!(heads > 0 && width > 0 && width.is_multiple_of(heads), "{heads} heads of {width} numbers");
}

/// Writes each row's attended values; of each row and head, `stats` gets the largest score, and 1 over the sum of
/// exponentials of what is above it.
///
/// # Panics
/// If the sizes do not fit.
pub fn attend(call: Attention<'_, f32>, y: &mut [f32], stats: &mut [[f32; 2]]) {
    call.check(y.len() / call.width);
    match call.context {
        Context::Sequences(length) => causal::attend(call, length, y, stats),
        Context::Tree(tree) => tree::attend(call, tree, y, stats),
    }
}

/// Writes the gradient of [`attend`] to `dx`, or adds it, given its results and the gradient that arrives there.
///
/// # Panics
/// As there.
pub fn attend_backward(
    call: Attention<'_, f32>,
    y: &[f32],
    stats: &[[f32; 2]],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
) {
    call.check(y.len() / call.width);
    match call.context {
        Context::Sequences(length) => causal::attend_backward(call, length, y, stats, dy, dx, add),
        Context::Tree(tree) => {
            // Nodes add to their ancestors' gradients.
            if !add {
                dx.fill(0.0);
            }
            tree::attend_backward(call, tree, y, stats, dy, dx);
        }
    }
}

#[cfg(test)]
mod tests;
