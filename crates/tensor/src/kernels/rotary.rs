//! Rotary positions: pairs of numbers rotated by angles that grow with the position.

use super::pool::{ROW_GRAIN, parallel_for};
use super::simd::Simd;
use super::team::Shared;
use super::{Isa, dispatch, reference};

/// The sizes and angles of a rotation of rows.
#[derive(Clone, Copy)]
pub struct Rotary<'a, E> {
    /// The length of a row.
    pub width: usize,
    /// How many heads at the beginning of a row are rotated.
    pub heads: usize,
    /// The length of a head.
    pub size: usize,
    /// Per position: the cosines, then the sines, of the angles of a head's pairs.
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

/// Rotates each row by the angles of its position, or by their negatives if `back`; writes to `y`, or adds.
pub fn rotate(rotary: Rotary<'_, f32>, positions: &[u32], x: &[f32], y: &mut [f32], back: bool, add: bool) {
    let width = rotary.width;
    let numbers = positions.len().checked_mul(width);
    assert!(numbers.is_some_and(|numbers| numbers <= y.len()), "a row for each position");
    let y = Shared::new(y);
    parallel_for(positions.len(), ROW_GRAIN, 6 * x.len(), |part| {
        let numbers = part.start * width..part.end * width;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let y = unsafe { y.piece(numbers.clone()) };
        rotate_isa(Isa::detect(), rotary, &positions[part], &x[numbers], y, back, add);
    });
}
