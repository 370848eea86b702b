//! The passes of a batch norm: sums and affine maps, channel by channel.
//!
//! These are plain loops over rows; compiled for each instruction set, the compiler turns them into vectors.

use super::simd::Simd;
use super::team::{Shared, split};
use super::{Isa, dispatch, reference};

#[inline(always)]
unsafe fn channel_moments_on<S: Simd>(x: &[f32], counts: &[f32], mean: &mut [f32], squares: &mut [f32]) {
    reference::channel_moments(x, counts, mean, squares);
}

dispatch! {
    fn channel_moments_isa(x: &[f32], counts: &[f32], mean: &mut [f32], squares: &mut [f32]) = channel_moments_on
}

/// Per channel: the mean, and the sum of squared distances from it, of rows that count `counts` times each (once
/// where it is empty).
pub fn channel_moments(x: &[f32], counts: &[f32], mean: &mut [f32], squares: &mut [f32]) {
    channel_moments_isa(Isa::detect(), x, counts, mean, squares);
}

#[inline(always)]
unsafe fn channel_affine_on<S: Simd>(x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32]) {
    reference::channel_affine(x, scale, shift, y);
}

dispatch! {
    fn channel_affine_isa(x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32]) = channel_affine_on
}

/// `y = x scale + shift`, channel by channel.
pub fn channel_affine(x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32]) {
    let c = scale.len();
    let y_len = y.len();
    let y = Shared::new(y);
    split(y_len / c, 1, 8 * y_len, |rows| {
        let part = rows.start * c..rows.end * c;
        // SAFETY: the parts of a split do not overlap.
        let y = unsafe { y.piece(part.clone()) };
        channel_affine_isa(Isa::detect(), &x[part], scale, shift, y);
    });
}

#[inline(always)]
unsafe fn channel_sums_on<S: Simd>(
    x: &[f32],
    d: &[f32],
    mean: &[f32],
    inv_std: &[f32],
    sum: &mut [f32],
    sum_hat: &mut [f32],
) {
    reference::channel_sums(x, d, mean, inv_std, sum, sum_hat);
}

dispatch! {
    fn channel_sums_isa(
        x: &[f32], d: &[f32], mean: &[f32], inv_std: &[f32], sum: &mut [f32], sum_hat: &mut [f32],
    ) = channel_sums_on
}

/// Per channel: the sums of `d` and of `d (x - mean) inv_std`.
pub fn channel_sums(
    x: &[f32],
    d: &[f32],
    mean: &[f32],
    inv_std: &[f32],
    sum: &mut [f32],
    sum_hat: &mut [f32],
) {
    channel_sums_isa(Isa::detect(), x, d, mean, inv_std, sum, sum_hat);
}

#[inline(always)]
unsafe fn channel_backward_on<S: Simd>(
    x: &[f32],
    d: &[f32],
    counts: &[f32],
    abc: [&[f32]; 3],
    dx: &mut [f32],
    add: bool,
) {
    reference::channel_backward(x, d, counts, abc, dx, add);
}

dispatch! {
    fn channel_backward_isa(
        x: &[f32], d: &[f32], counts: &[f32], abc: [&[f32]; 3], dx: &mut [f32], add: bool,
    ) = channel_backward_on
}

/// `dx = a d + count (b x + c)`, channel by channel, or added to `dx`; rows count `counts` times each (once where it
/// is empty).
pub fn channel_backward(x: &[f32], d: &[f32], counts: &[f32], abc: [&[f32]; 3], dx: &mut [f32], add: bool) {
    channel_backward_isa(Isa::detect(), x, d, counts, abc, dx, add);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same() {
        let numbers = |n: usize, seed: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1000) as f32 / 500.0 - 1.0).collect()
        };
        let (rows, c) = (6, 19);
        let (x, d, counts) = (numbers(rows * c, 1), numbers(rows * c, 2), [2.0, 1.0, 1.0, 3.0, 1.0, 1.0]);
        for counts in [&counts[..], &[]] {
            let run = |isa: Option<Isa>| {
                let (mut m, mut s, mut t, mut u) = (vec![0.0; c], vec![0.0; c], vec![0.0; c], vec![0.0; c]);
                let (mut y, mut dx) = (vec![0.0; rows * c], numbers(rows * c, 3));
                match isa {
                    Some(isa) => {
                        channel_moments_isa(isa, &x, counts, &mut m, &mut s);
                        channel_affine_isa(isa, &x, &m, &s, &mut y);
                        channel_sums_isa(isa, &x, &d, &m, &s, &mut t, &mut u);
                        channel_backward_isa(isa, &x, &d, counts, [&m, &s, &t], &mut dx, true);
                    }
                    None => {
                        reference::channel_moments(&x, counts, &mut m, &mut s);
                        reference::channel_affine(&x, &m, &s, &mut y);
                        reference::channel_sums(&x, &d, &m, &s, &mut t, &mut u);
                        reference::channel_backward(&x, &d, counts, [&m, &s, &t], &mut dx, true);
                    }
                }
                [m, s, t, u, y, dx].concat()
            };
            for isa in Isa::available() {
                for (i, (a, b)) in run(Some(isa)).iter().zip(run(None)).enumerate() {
                    assert!((a - b).abs() <= 1e-5, "{isa:?} at {i}: {a} instead of {b}");
                }
            }
        }
    }
}
