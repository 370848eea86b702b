//! Operations on whole rows: sums of rows, scaled rows, `y += scale x`.

use super::pool::parallel_for;
use super::simd::Simd;
use super::team::Shared;
use super::{Isa, dispatch, reference};

/// How many vectors are summed side by side.
const BLOCK: usize = 8;

#[inline(always)]
unsafe fn sum_rows_on<S: Simd>(d: &[f32], stride: usize, sum: &mut [f32]) {
    let width = sum.len();
    assert!(stride >= width, "rows overlap");
    // The last row may be shorter than the stride: (rows - 1) stride + width <= d.len().
    let rows = (d.len() + stride - width) / stride;
    let mut i = 0;
    // Several vectors side by side: the additions of one wait for each other, and each cache line is read
    // once.
    while i + BLOCK * S::LANES <= width {
        // SAFETY: the caller guarantees S's target features; the vectors end below `width`, so every access
        // stays in its row.
        unsafe {
            let mut totals = [S::splat(0.0); BLOCK];
            for (v, total) in totals.iter_mut().enumerate() {
                *total = S::load(sum.as_ptr().add(i + v * S::LANES));
            }
            for r in 0..rows {
                for (v, total) in totals.iter_mut().enumerate() {
                    *total = S::add(*total, S::load(d.as_ptr().add(r * stride + i + v * S::LANES)));
                }
            }
            for (v, &total) in totals.iter().enumerate() {
                S::store(sum.as_mut_ptr().add(i + v * S::LANES), total);
            }
        }
        i += BLOCK * S::LANES;
    }
    while i < width {
        let n = (width - i).min(S::LANES);
        // SAFETY: the caller guarantees S's target features; i + n <= width, so every access stays in its row.
        unsafe {
            let mut total = S::load_head(sum.as_ptr().add(i), n);
            for r in 0..rows {
                total = S::add(total, S::load_head(d.as_ptr().add(r * stride + i), n));
            }
            S::store_head(sum.as_mut_ptr().add(i), n, total);
        }
        i += n;
    }
}

dispatch! {
    fn sum_rows_isa(d: &[f32], stride: usize, sum: &mut [f32]) = sum_rows_on
}

/// Adds every row of `d` to `sum`.
pub fn sum_rows(d: &[f32], sum: &mut [f32]) {
    let width = sum.len();
    let sum = Shared::new(sum);
    // A thread's columns lie in rows that other threads may have cached: only a very large sum is worth
    // dividing.
    parallel_for(width, 16, d.len(), |columns| {
        let first = columns.start;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let sum = unsafe { sum.piece(columns) };
        sum_rows_isa(Isa::detect(), &d[first..], width, sum);
    });
}

#[inline(always)]
unsafe fn scale_rows_on<S: Simd>(factors: &[f32], x: &[f32], y: &mut [f32], add: bool) {
    let width = x.len() / factors.len();
    for ((y, x), &factor) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(factors) {
        // SAFETY: the caller guarantees S's target features; both rows are `width` long, and every access ends there.
        unsafe {
            let factor = S::splat(factor);
            let (x, y) = (x.as_ptr(), y.as_mut_ptr());
            let mut i = 0;
            while i + S::LANES <= width {
                let product = S::mul(factor, S::load(x.add(i)));
                S::store(y.add(i), if add { S::add(S::load(y.add(i)), product) } else { product });
                i += S::LANES;
            }
            if i < width {
                let n = width - i;
                let product = S::mul(factor, S::load_head(x.add(i), n));
                S::store_head(
                    y.add(i),
                    n,
                    if add { S::add(S::load_head(y.add(i), n), product) } else { product },
                );
            }
        }
    }
}

dispatch! {
    fn scale_rows_isa(factors: &[f32], x: &[f32], y: &mut [f32], add: bool) = scale_rows_on
}

/// `y = factor x`, row by row, or with `add` `y += factor x`.
pub fn scale_rows(factors: &[f32], x: &[f32], y: &mut [f32], add: bool) {
    scale_rows_isa(Isa::detect(), factors, x, y, add);
}

#[inline(always)]
unsafe fn add_scaled_on<S: Simd>(scale: f32, x: &[f32], y: &mut [f32]) {
    let n = x.len().min(y.len());
    let (x, y) = (x.as_ptr(), y.as_mut_ptr());
    let mut i = 0;
    // SAFETY: the caller guarantees S's target features; every access stops at n.
    unsafe {
        let s = S::splat(scale);
        // Rounded twice, as in torch's `p += -lr * g`.
        while i + S::LANES <= n {
            S::store(y.add(i), S::add(S::load(y.add(i)), S::mul(s, S::load(x.add(i)))));
            i += S::LANES;
        }
        if i < n {
            let product = S::mul(s, S::load_head(x.add(i), n - i));
            S::store_head(y.add(i), n - i, S::add(S::load_head(y.add(i), n - i), product));
        }
    }
}

dispatch! {
    pub(super) fn add_scaled_isa(scale: f32, x: &[f32], y: &mut [f32]) = add_scaled_on
}

/// `y += scale x`: a step of plain gradient descent.
pub fn add_scaled(scale: f32, x: &[f32], y: &mut [f32]) {
    let n = x.len().min(y.len());
    let y = Shared::new(y);
    parallel_for(n, 16, 8 * n, |part| {
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let y = unsafe { y.piece(part.clone()) };
        add_scaled_isa(Isa::detect(), scale, &x[part], y);
    });
}

#[inline(always)]
unsafe fn add_rows_on<S: Simd>(x: &[f32], stride: usize, z: &[f32], bias: &[f32], y: &mut [f32]) {
    reference::add_rows(x, stride, z, bias, y);
}

dispatch! {
    fn add_rows_isa(x: &[f32], stride: usize, z: &[f32], bias: &[f32], y: &mut [f32]) = add_rows_on
}

/// `y = x + z + bias`, row by row: rows of `x` are `stride` apart, rows of `z` and `y` are as long as `bias`.
pub fn add_rows(x: &[f32], stride: usize, z: &[f32], bias: &[f32], y: &mut [f32]) {
    add_rows_isa(Isa::detect(), x, stride, z, bias, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tests::{assert_close, numbers};

    #[test]
    fn every_width_equals_the_plain_loops() {
        for isa in Isa::available() {
            for width in [1, 5, 16, 27, 32, 50, 200] {
                let (table, bias, d) = (numbers(9 * width, 1), numbers(width, 2), numbers(4 * width, 3));
                let (mut fast, mut plain) = (bias.clone(), bias.clone());
                sum_rows_isa(isa, &d, width, &mut fast);
                reference::sum_rows(&d, &mut plain);
                assert_close(isa, &fast, &plain);

                for add in [false, true] {
                    let (mut fast, mut plain) = (table.clone(), table.clone());
                    scale_rows_isa(isa, &bias[..width.min(4)], &d[..width * width.min(4)], &mut fast, add);
                    reference::scale_rows(&bias[..width.min(4)], &d[..width * width.min(4)], &mut plain, add);
                    assert_close(isa, &fast, &plain);
                }

                add_scaled_isa(isa, -0.5, &d[..width], &mut fast);
                reference::add_scaled(-0.5, &d[..width], &mut plain);
                let (mut sum, mut plain_sum) = (vec![0.0; 3 * width], vec![0.0; 3 * width]);
                add_rows_isa(isa, &d[1..], width, &table, &bias, &mut sum);
                reference::add_rows(&d[1..], width, &table, &bias, &mut plain_sum);
                assert_close(isa, &sum, &plain_sum);
                assert_close(isa, &fast, &plain);
            }
        }
    }
}
