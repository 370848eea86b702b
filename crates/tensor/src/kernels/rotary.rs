//! Rotary positions: pairs of numbers turned by angles that grow with the position.

use super::pool::{ROWS, split};
use super::simd::Simd;
use super::team::Shared;
use super::{Isa, dispatch, reference};

/// How rows are turned.
#[derive(Clone, Copy)]
pub struct Rotary<'a, E> {
    /// How long a row is.
    pub width: usize,
    /// How many heads at its beginning are turned.
    pub heads: usize,
    /// How long a head is.
    pub size: usize,
    /// Of each position the cosines of a head's pairs, and their sines.
    pub angles: &'a [E],
}

#[inline(always)]
unsafe fn rotate_on<S: Simd>(
    rotary: Rotary<'_, f32>,
    positions: &[u32],
    x: &[f32],
    y: &mut [f32],
    back: bool,
    add: bool,
) {
    reference::rotate(rotary, positions, x, y, back, add);
}

dispatch! {
    fn rotate_isa(
        rotary: Rotary<'_, f32>, positions: &[u32], x: &[f32], y: &mut [f32], back: bool, add: bool,
    ) = rotate_on
}

/// Each row turned by its position's angles, or turned back; or that is added to `y`.
pub fn rotate(rotary: Rotary<'_, f32>, positions: &[u32], x: &[f32], y: &mut [f32], back: bool, add: bool) {
    let width = rotary.width;
    let numbers = positions.len().checked_mul(width);
    assert!(numbers.is_some_and(|numbers| numbers <= y.len()), "a row for each position");
    let y = Shared::new(y);
    split(positions.len(), ROWS, 6 * x.len(), |part| {
        let numbers = part.start * width..part.end * width;
        // SAFETY: the parts of a split do not overlap.
        let y = unsafe { y.piece(numbers.clone()) };
        rotate_isa(Isa::detect(), rotary, &positions[part], &x[numbers], y, back, add);
    });
}
