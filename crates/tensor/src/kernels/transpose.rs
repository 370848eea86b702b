//! Transposes.

use super::scratch::LINE;
use super::simd::Simd;
use super::{Isa, dispatch};

/// Writes the transpose of `rows` rows of `cols` numbers, each of its rows with zeros up to `padded` numbers.
///
/// # Safety
/// S's target features hold; the rows lie at `from`, `from_stride` apart, and `cols` rows of `padded` numbers
/// fit at `to`, `to_stride` apart; `padded` is `rows`, or `rows` rounded up to whole vectors.
#[inline(always)]
pub(super) unsafe fn transpose_part<S: Simd>(
    from: *const f32,
    from_stride: usize,
    [rows, cols]: [usize; 2],
    to: *mut f32,
    to_stride: usize,
    padded: usize,
) {
    let side = S::LANES.max(8);
    // A cache line is a multiple of any tile's side. Tiles that write the same cache lines of the transpose
    // come one after another: if rows are a power of two apart, a line could be evicted before its other half
    // is written.
    for band in (0..rows).step_by(LINE) {
        for c in (0..cols).step_by(side) {
            let width = (cols - c).min(side);
            for r in (band..(band + LINE).min(rows)).step_by(side) {
                let (height, written) = ((rows - r).min(side), (padded - r).min(side));
                // SAFETY: the caller's promise: the tile lies inside both matrices.
                unsafe {
                    let (from, to) = (from.add(r * from_stride + c), to.add(c * to_stride + r));
                    if !S::transpose_tile(from, from_stride, to, to_stride, [height, width], written) {
                        for i in 0..width {
                            for j in 0..written {
                                *to.add(i * to_stride + j) =
                                    if j < height { *from.add(j * from_stride + i) } else { 0.0 };
                            }
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn transpose_on<S: Simd>(
    from: &[f32],
    from_stride: usize,
    [rows, cols]: [usize; 2],
    to: &mut [f32],
    to_stride: usize,
) {
    let holds = |len: usize, rows: usize, stride: usize, cols: usize| {
        let needed = || rows.checked_sub(1)?.checked_mul(stride)?.checked_add(cols);
        rows == 0 || cols == 0 || cols <= stride && needed().is_some_and(|needed| needed <= len)
    };
    let fits = holds(from.len(), rows, from_stride, cols) && holds(to.len(), cols, to_stride, rows);
    assert!(fits, "a matrix is too short to transpose");
    // SAFETY: the caller guarantees S's target features; the matrices are as long as was asserted.
    unsafe { transpose_part::<S>(from.as_ptr(), from_stride, [rows, cols], to.as_mut_ptr(), to_stride, rows) }
}

dispatch! {
    pub(super) fn transpose_isa(
        from: &[f32], from_stride: usize, sizes: [usize; 2], to: &mut [f32], to_stride: usize,
    ) = transpose_on
}

/// Writes the transpose of a (rows, cols) matrix.
pub fn transpose(from: &[f32], rows: usize, cols: usize, to: &mut [f32]) {
    transpose_isa(Isa::detect(), from, cols, [rows, cols], to, rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect()
    }

    #[test]
    fn transposes_are_exact() {
        for isa in Isa::available() {
            let sizes =
                [(0, 3), (3, 0), (1, 1), (16, 16), (27, 200), (200, 27), (33, 17), (5, 40), (1, 37), (37, 1)];
            for (rows, cols) in sizes {
                let x = numbers(rows * cols);
                let (mut fast, mut plain) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                transpose_isa(isa, &x, cols, [rows, cols], &mut fast, rows);
                reference::transpose(&x, rows, cols, &mut plain);
                assert_eq!(fast, plain, "{isa:?} {rows}x{cols}");
            }
        }
    }

    /// Each matrix ends with its last number, and the gaps between written rows stay unchanged.
    #[test]
    fn rows_may_lie_apart() {
        for isa in Isa::available() {
            for (rows, cols) in [(1, 1), (7, 9), (8, 16), (17, 24), (33, 40)] {
                let (from_stride, to_stride) = (cols + 3, rows + 5);
                let x = numbers((rows - 1) * from_stride + cols);
                let mut y = vec![9.0; (cols - 1) * to_stride + rows];
                transpose_isa(isa, &x, from_stride, [rows, cols], &mut y, to_stride);
                for (i, &y) in y.iter().enumerate() {
                    let (column, row) = (i / to_stride, i % to_stride);
                    let wanted = if row < rows { x[row * from_stride + column] } else { 9.0 };
                    assert_eq!(y, wanted, "{isa:?} {rows}x{cols} at {i}");
                }
            }
        }
    }

    /// 2^32 x 2^32 wraps to 0 in 64 bits.
    #[test]
    #[should_panic(expected = "too short to transpose")]
    fn a_size_that_overflows_is_refused() {
        transpose(&[], 1 << (usize::BITS / 2), 1 << (usize::BITS / 2), &mut []);
    }
}
