//! Transposes, and products with a transposed second factor.

use super::simd::Simd;
use super::{Isa, dispatch};

/// A tile of the transpose, element by element.
fn plain_tile(from: &[f32], rows: usize, cols: usize, to: &mut [f32], r: [usize; 2], c: [usize; 2]) {
    for i in c[0]..c[1] {
        for j in r[0]..r[1] {
            to[i * rows + j] = from[j * cols + i];
        }
    }
}

#[inline(always)]
unsafe fn transpose_on<S: Simd>(from: &[f32], rows: usize, cols: usize, to: &mut [f32]) {
    assert!(from.len() >= rows * cols && to.len() >= rows * cols, "a matrix is too short to transpose");
    let side = S::LANES.max(8);
    for r in (0..rows).step_by(side) {
        let height = (rows - r).min(side);
        for c in (0..cols).step_by(side) {
            let width = (cols - c).min(side);
            // SAFETY: the caller guarantees S's target features; the tile lies inside both matrices.
            let done = unsafe {
                S::transpose_tile(
                    from.as_ptr().add(r * cols + c),
                    cols,
                    to.as_mut_ptr().add(c * rows + r),
                    rows,
                    height,
                    width,
                )
            };
            if !done {
                plain_tile(from, rows, cols, to, [r, r + height], [c, c + width]);
            }
        }
    }
}

dispatch! {
    fn transpose_isa(from: &[f32], rows: usize, cols: usize, to: &mut [f32]) = transpose_on
}

/// Writes the transpose of a (rows, cols) matrix.
pub fn transpose(from: &[f32], rows: usize, cols: usize, to: &mut [f32]) {
    transpose_isa(Isa::detect(), from, rows, cols, to);
}

/// The first `n` elements, without a mask where they fill a vector.
#[inline(always)]
unsafe fn load<S: Simd>(p: *const f32, n: usize) -> S::V {
    // SAFETY: the caller guarantees S's target features, and `n` elements at p.
    unsafe { if n == S::LANES { S::load(p) } else { S::load_head(p, n) } }
}

/// `R` rows of A against `C` rows of B: their dot products.
#[inline(always)]
unsafe fn dots<S: Simd, const R: usize, const C: usize>(
    a: *const f32,
    b: *const f32,
    k: usize,
    step: usize,
) -> [[f32; C]; R] {
    // SAFETY: the caller guarantees S's target features, and that R rows of k lie at a, C rows of k at b, `step` apart.
    unsafe {
        let zero = S::splat(0.0);
        let mut acc = [[zero; C]; R];
        let mut l = 0;
        while l < k {
            let n = (k - l).min(S::LANES);
            let mut bs = [zero; C];
            for (j, x) in bs.iter_mut().enumerate() {
                *x = load::<S>(b.add(j * step + l), n);
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let x = load::<S>(a.add(i * step + l), n);
                for (acc, &b) in acc.iter_mut().zip(&bs) {
                    *acc = S::fma(x, b, *acc);
                }
            }
            l += n;
        }
        let mut sums = [[0.0; C]; R];
        for (sums, acc) in sums.iter_mut().zip(&acc) {
            for (sums, acc) in sums.chunks_mut(4).zip(acc.chunks(4)) {
                let mut four = [zero; 4];
                four[..acc.len()].copy_from_slice(acc);
                sums.copy_from_slice(&S::sums(four)[..sums.len()]);
            }
        }
        sums
    }
}

#[inline(always)]
unsafe fn dots_into<S: Simd, const R: usize, const C: usize>(
    [n, k, step]: [usize; 3],
    [i, j]: [usize; 2],
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
    add: bool,
) {
    let (a, b) = (&a[i * step..][..(R - 1) * step + k], &b[j * step..][..(C - 1) * step + k]);
    // SAFETY: the caller guarantees S's target features; the slices hold R and C rows of k, `step` apart.
    let sums = unsafe { dots::<S, R, C>(a.as_ptr(), b.as_ptr(), k, step) };
    for (r, sums) in sums.iter().enumerate() {
        for (c, &s) in c[(i + r) * n + j..][..C].iter_mut().zip(sums) {
            *c = if add { *c + s } else { s };
        }
    }
}

/// The size of the next block, of at most `most`, that divides what is `left` evenly.
fn even(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
}

#[inline(always)]
unsafe fn gemm_nt_on<S: Simd>(size: [usize; 3], step: usize, a: &[f32], b: &[f32], c: &mut [f32], add: bool) {
    let [m, n, k] = size;
    macro_rules! block {
        ($i:expr, $j:expr, $high:expr, $wide:expr, $($r:literal: $($w:literal)*;)*) => {
            match ($high, $wide) {
                // SAFETY: the caller guarantees S's target features.
                $($(($r, $w) => unsafe { dots_into::<S, $r, $w>([n, k, step], [$i, $j], a, b, c, add) },)*)*
                _ => unreachable!("blocks have at most five rows and four columns"),
            }
        };
    }
    let mut i = 0;
    while i < m {
        let high = even(m - i, 5);
        let mut j = 0;
        while j < n {
            let wide = even(n - j, 4);
            block!(i, j, high, wide, 1: 1 2 3 4; 2: 1 2 3 4; 3: 1 2 3 4; 4: 1 2 3 4; 5: 1 2 3 4;);
            j += wide;
        }
        i += high;
    }
}

dispatch! {
    fn gemm_nt_isa(size: [usize; 3], step: usize, a: &[f32], b: &[f32], c: &mut [f32], add: bool) = gemm_nt_on
}

/// C = A B^T (or C += A B^T), for A (m, k) and B (n, k) whose rows are `step` apart, and contiguous C (m, n): for a long k
/// and small m or n.
pub fn gemm_nt(size: [usize; 3], step: usize, a: &[f32], b: &[f32], c: &mut [f32], add: bool) {
    gemm_nt_isa(Isa::detect(), size, step, a, b, c, add);
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
            for (rows, cols) in [(1, 1), (16, 16), (27, 200), (200, 27), (33, 17), (5, 40)] {
                let x = numbers(rows * cols);
                let (mut fast, mut plain) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                transpose_isa(isa, &x, rows, cols, &mut fast);
                reference::transpose(&x, rows, cols, &mut plain);
                assert_eq!(fast, plain, "{isa:?} {rows}x{cols}");
            }
        }
    }

    #[test]
    fn products_equal_the_plain_loops() {
        for isa in Isa::available() {
            for (m, n, k) in [(1, 1, 1), (17, 10, 200), (4, 5, 16), (6, 3, 33)] {
                for (add, step) in [(false, k), (true, k), (false, k + 3)] {
                    let (a, b) = (numbers(m * step), numbers(n * step));
                    let (mut fast, mut plain) = (numbers(m * n), numbers(m * n));
                    gemm_nt_isa(isa, [m, n, k], step, &a, &b, &mut fast, add);
                    reference::gemm_nt([m, n, k], step, &a, &b, &mut plain, add);
                    for (i, (f, p)) in fast.iter().zip(&plain).enumerate() {
                        assert!((f - p).abs() <= 1e-4, "{isa:?} {m}x{n}x{k} at {i}: {f} instead of {p}");
                    }
                }
            }
        }
    }
}
