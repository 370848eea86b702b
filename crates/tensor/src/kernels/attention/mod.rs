//! Attention: each row gets a mean of the values of some rows, weighted by how well its query fits their
//! keys.
//!
//! `y_i = sum_j p_ij v_j`, `p_ij = softmax_j(q_i k_j / sqrt(size of a head))`, in each head separately.

mod cached;
mod causal;
mod causal_rows;
mod row;
mod tree;

pub use cached::attend_cached;
pub use causal_rows::{CausalRows, Tree};

use super::scratch::Scratch;
use crate::rng::DropoutMask;
use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

/// Calls `f` with slices of these lengths of the thread's scratch memory.
fn with_scratch<const N: usize, T>(lens: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| f(scratch.slices(lens)))
}

/// The inputs and settings of an attention.
#[derive(Clone, Copy)]
pub struct Attention<'a, E> {
    /// (N, 3C): each row's query, key and value side by side.
    pub qkv: &'a [E],
    /// C
    pub width: usize,
    /// The number of heads that C is divided into.
    pub heads: usize,
    /// Which rows each row attends to.
    pub causal_rows: CausalRows<'a>,
    /// The dropout of the weights p; row i's head h uses mask row i heads + h.
    pub dropout: Option<DropoutMask>,
}

/// The keys and values of the earlier rows of sequences that are continued.
#[derive(Clone, Copy)]
pub struct Cache<'a, E> {
    /// (B, T, C): the earlier keys of each sequence.
    pub keys: &'a [E],
    /// (B, T, C): the earlier values.
    pub values: &'a [E],
    /// (B): how many of the T rows each sequence has.
    pub lengths: &'a [u32],
}

impl<E> Attention<'_, E> {
    /// Panics unless the sizes fit each other and the number of rows of results.
    fn check(&self, rows: usize) {
        let Self { qkv, width, heads, causal_rows, .. } = self;
        check_heads(*width, *heads);
        assert_eq!(qkv.len(), rows * 3 * width, "a query, a key and a value for each row");
        match causal_rows {
            CausalRows::Sequences(length) => {
                assert!(*length > 0 && rows.is_multiple_of(*length), "whole sequences")
            }
            CausalRows::Tree(tree) => assert_eq!(tree.rows(), rows, "a node of a tree for each row"),
        }
    }
}

/// Panics unless rows of `width` numbers can be divided into `heads` heads.
fn check_heads(width: usize, heads: usize) {
    assert!(heads > 0 && width > 0 && width.is_multiple_of(heads), "{heads} heads of {width} numbers");
}

/// Writes each row's attention to `y`. Per row and head, `stats` gets the largest score m and
/// `1 / sum exp(score - m)`.
///
/// # Panics
/// If the sizes do not fit.
pub fn attend(call: Attention<'_, f32>, y: &mut [f32], stats: &mut [[f32; 2]]) {
    call.check(y.len() / call.width);
    match call.causal_rows {
        CausalRows::Sequences(length) => causal::attend(call, length, y, stats),
        CausalRows::Tree(tree) => tree::attend(call, tree, y, stats),
    }
}

/// Writes the gradient of [`attend`] to `dx`, or adds it, given its results and their gradient `dy`.
///
/// # Panics
/// As [`attend`].
pub fn attend_backward(
    call: Attention<'_, f32>,
    y: &[f32],
    stats: &[[f32; 2]],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
) {
    call.check(y.len() / call.width);
    match call.causal_rows {
        CausalRows::Sequences(length) => causal::attend_backward(call, length, y, stats, dy, dx, add),
        CausalRows::Tree(tree) => {
            // Tree nodes add to the gradients of their ancestors.
            if !add {
                dx.fill(0.0);
            }
            tree::attend_backward(call, tree, y, stats, dy, dx);
        }
    }
}

#[cfg(test)]
mod tests;
