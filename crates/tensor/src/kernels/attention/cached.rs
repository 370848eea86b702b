//! Attention of the newest row of each sequence, given the keys and values of the earlier rows.

use super::row::{self, Transposed, attend_row, write_column};
use super::{Cache, with_scratch};
use crate::kernels::pool::{ROW_GRAIN, parallel_for};
use crate::kernels::simd::Simd;
use crate::kernels::team::Shared;
use crate::kernels::transpose::transpose_isa;
use crate::kernels::{Isa, dispatch};

/// # Safety
/// S's target features hold.
#[inline(always)]
unsafe fn attend_newest_on<S: Simd>(
    own: &[f32],
    heads: usize,
    length: usize,
    stride: usize,
    [keys, values, scores, stats]: [&mut [f32]; 4],
    y: &mut [f32],
) {
    let width = y.len();
    assert!(own.len() >= 3 * width && length < stride, "a query, a key and a value");
    assert!(
        keys.len().min(values.len()) >= width * stride && stats.len() >= 2 * heads,
        "keys and values of a path"
    );
    let (size, scale) = (width / heads, 1.0 / ((width / heads) as f32).sqrt());
    // SAFETY: the caller's promise; `own` has three times `width` numbers, keys and values have `stride`
    // places, more than `length`, all heads together are at most as wide as a row, and `stats` has two numbers
    // for each. `attend_row` asserts that a row of keys or scores holds its padding.
    unsafe {
        write_column(own.as_ptr().add(width), width, keys.as_mut_ptr(), stride, length);
        values[length * width..][..width].copy_from_slice(&own[2 * width..]);
        let transposed = Transposed { start: keys.as_ptr(), stride, size, heads };
        let stats = stats.as_mut_ptr().cast();
        let (q, values, y) = (own.as_ptr(), values.as_ptr(), y.as_mut_ptr());
        attend_row::<S>(q, transposed, values, length + 1, scale, None, scores, y, stats);
    }
}

dispatch! {
    fn attend_newest_isa(
        own: &[f32], heads: usize, length: usize, stride: usize, scratch: [&mut [f32]; 4], y: &mut [f32],
    ) = attend_newest_on
}

/// Writes the attention of the newest row of each sequence, (B, 3C), given the keys and values of the earlier
/// rows.
///
/// # Panics
/// If the sizes do not fit, or a length is above T.
pub fn attend_cached(qkv: &[f32], width: usize, heads: usize, cache: Cache<'_, f32>, y: &mut [f32]) {
    let Cache { keys, values, lengths } = cache;
    super::check_heads(width, heads);
    let rows = lengths.len();
    let most = (keys.len() / width).checked_div(rows).unwrap_or(0);
    assert!(qkv.len() == rows * 3 * width && y.len() == rows * width, "a row of results for each sequence");
    let longest = lengths.iter().copied().max().unwrap_or(0) as usize;
    assert!(longest <= most, "{longest} earlier rows of at most {most}");
    let stride = row::padded(longest + 1);
    let y = Shared::new(y);
    parallel_for(rows, ROW_GRAIN, rows * (longest + 1) * 8 * width, |part| {
        with_scratch(
            [width * stride, width * stride, heads * stride, 2 * heads],
            |[transposed, kept, scores, stats]| {
                for row in part {
                    let (length, first) = (lengths[row] as usize, row * most * width);
                    // SAFETY: `parallel_for`'s ranges do not overlap.
                    let y = unsafe { y.piece(row * width..(row + 1) * width) };
                    transpose_isa(Isa::detect(), &keys[first..], width, [length, width], transposed, stride);
                    kept[..length * width].copy_from_slice(&values[first..][..length * width]);
                    let own = &qkv[row * 3 * width..][..3 * width];
                    attend_newest_isa(
                        Isa::detect(),
                        own,
                        heads,
                        length,
                        stride,
                        [transposed, kept, scores, stats],
                        y,
                    );
                }
            },
        );
    });
}
