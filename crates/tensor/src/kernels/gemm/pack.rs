//! Copies of operands in the order in which blocks read them.

use super::strips::heights;
use crate::kernels::scratch::LINE;
use crate::kernels::simd::Simd;
use crate::kernels::transpose::transpose_part;
/// How many rows ahead of the packing B is prefetched.
const AHEAD: usize = 4;

/// The width of the next strip in vectors, where C has `columns` columns left.
#[inline(always)]
pub(super) fn vectors<S: Simd>(columns: usize) -> usize {
    let left = columns.div_ceil(S::LANES);
    // One more than a strip holds is split into two halves: a narrow strip would leave the arithmetic units
    // waiting.
    if left == S::STRIP_VECTORS + 1 && S::STRIP_VECTORS > 2 {
        left.div_ceil(2)
    } else {
        left.min(S::STRIP_VECTORS)
    }
}

/// How many strips of the largest width, all of whole vectors, come next where C has `columns` columns left.
#[inline(always)]
pub(super) fn whole_strips<S: Simd>(columns: usize) -> usize {
    let strip = S::STRIP_VECTORS * S::LANES;
    let (whole, left) = (columns / strip, columns % strip);
    // If one vector is left over, `vectors` divides it and the last strip into two halves.
    if S::STRIP_VECTORS > 2 && left > 0 && left <= S::LANES { whole.saturating_sub(1) } else { whole }
}

/// Packs `k` rows of B, `n` columns wide, strip by strip: the rows of each strip one after another, the last
/// vector padded with zeros. `k` is at least 1.
///
/// # Safety
/// S's target features hold; the rows, `stride` apart, lie at `from`, and `k` times as many whole vectors fit
/// at `to`.
#[inline(always)]
pub(super) unsafe fn pack_b<S: Simd>(from: *const f32, stride: usize, k: usize, n: usize, to: *mut f32) {
    let whole = whole_strips::<S>(n) * S::STRIP_VECTORS * S::LANES;
    // Along B's rows, the order in memory, which the hardware prefetcher recognizes.
    for l in 0..k {
        // SAFETY: the caller's promise. Vectors begin below `n`, since strips have none beyond the last
        // column; a strip's rows are as long as its vectors.
        unsafe {
            let from = from.add(l * stride);
            let mut column = 0;
            while column < whole {
                let to = to.add(column * k + l * S::STRIP_VECTORS * S::LANES);
                for at in (0..S::STRIP_VECTORS * S::LANES).step_by(S::LANES) {
                    if at % LINE == 0 {
                        S::prefetch(from.wrapping_add(AHEAD.wrapping_mul(stride)).wrapping_add(column + at));
                    }
                    S::store(to.add(at), S::load(from.add(column + at)));
                }
                column += S::STRIP_VECTORS * S::LANES;
            }
            while column < n {
                let wide = vectors::<S>(n - column) * S::LANES;
                let to = to.add(column * k + l * wide);
                for at in (0..wide).step_by(S::LANES) {
                    let (from, left) = (from.add(column + at), n - column - at);
                    S::store(
                        to.add(at),
                        if left < S::LANES { S::load_head(from, left) } else { S::load(from) },
                    );
                }
                column += wide;
            }
        }
    }
}

/// As [`pack_b`], for a B with contiguous columns, `stride` apart.
///
/// # Safety
/// S's target features hold; the columns lie at `from`, and `k` times as many whole vectors as hold `n` fit at `to`.
#[inline(always)]
pub(super) unsafe fn pack_b_across<S: Simd>(
    from: *const f32,
    stride: usize,
    k: usize,
    n: usize,
    to: *mut f32,
) {
    let mut column = 0;
    while column < n {
        let wide = vectors::<S>(n - column) * S::LANES;
        let columns = wide.min(n - column);
        // SAFETY: the caller's promise: `columns` columns of `k` numbers lie in B, and the strip's `k` rows
        // fit at `to`.
        unsafe {
            let to = to.add(column * k);
            transpose_part::<S>(from.add(column * stride), stride, [columns, k], to, wide, wide);
        }
        column += wide;
    }
}

/// How many columns of A are packed at a time: few enough that their lines stay in the L1 cache for all
/// groups.
const COLUMNS: usize = 16;

/// Packs `rows` by `k` numbers of A in groups of rows of about equal height: each group column by column.
///
/// # Safety
/// S's target features hold; the numbers, `strides` apart, lie at `from`, and as many fit at `to`.
#[inline(always)]
pub(super) unsafe fn pack_a<S: Simd>(
    from: *const f32,
    strides: [usize; 2],
    [rows, k]: [usize; 2],
    to: *mut f32,
) {
    let [min_height, taller_until] = heights::<S>(rows);
    for first in (0..k).step_by(COLUMNS) {
        let mut row = 0;
        while row < rows {
            let height = min_height + usize::from(row < taller_until);
            let columns = first..(first + COLUMNS).min(k);
            // SAFETY: the caller's promise: the group's numbers lie at `from` and fit at `to`.
            let (from, to) = unsafe {
                (from.add(row * strides[0] + first * strides[1]), to.add(row * k + first * height))
            };
            // Whole vectors are read if enough rows are left, and written where they stay within the group:
            // the surplus is overwritten by the next columns.
            let vectors = height.next_multiple_of(S::LANES);
            let ahead = (vectors - height).div_ceil(height);
            let fast = match strides[0] {
                1 => columns.end.min(k.saturating_sub(ahead)).saturating_sub(first),
                _ => 0,
            };
            let whole = rows - row >= vectors;
            for l in 0..fast {
                for at in (0..height).step_by(S::LANES) {
                    // SAFETY: as above.
                    unsafe {
                        let from = from.add(l * strides[1] + at);
                        let x = if whole {
                            S::load(from)
                        } else {
                            S::load_head(from, (height - at).min(S::LANES))
                        };
                        S::store(to.add(l * height + at), x);
                    }
                }
            }
            for l in fast..columns.len() {
                for r in 0..height {
                    // SAFETY: as above.
                    unsafe { *to.add(l * height + r) = *from.add(r * strides[0] + l * strides[1]) };
                }
            }
            row += height;
        }
    }
}

/// Copies `rows` rows of `k` numbers of A to rows `to_stride` apart.
///
/// # Safety
/// The rows, `stride` apart, lie at `from`, and as many fit at `to`.
pub(super) unsafe fn copy_rows(
    from: *const f32,
    stride: usize,
    [rows, k]: [usize; 2],
    to: *mut f32,
    to_stride: usize,
) {
    for row in 0..rows {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from.add(row * stride), to.add(row * to_stride), k) };
    }
}
