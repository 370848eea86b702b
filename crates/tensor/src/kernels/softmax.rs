//! Softmax along rows.

use super::pool::{ROW_GRAIN, parallel_for};
use super::simd::{Arithmetic, LANES, Lanes, Several, Simd, each_vector};
use super::team::Shared;
use super::{Isa, dispatch, math};

/// How far below the row's maximum the padding of its last vector is: its exponential is negligible beside
/// the maximum's, but still a normal number, since subnormal ones take the processor a hundred cycles.
const BEYOND: f32 = 80.0;

/// The softmax of a row of `W` vectors, the last of which has `last` elements; returns its maximum m and
/// `sum exp(x - m)`.
#[inline(always)]
unsafe fn short_row<S: Simd, const W: usize>(x: *const f32, p: *mut f32, last: usize) -> [f32; 2] {
    // SAFETY: the caller guarantees S's target features, and a row of that length at x and at p.
    unsafe {
        let tail = x.add((W - 1) * S::LANES);
        let mut v = [S::load_or(tail, last, S::splat(f32::NEG_INFINITY)); W];
        let mut m = Lanes::<S>::splat(f32::NEG_INFINITY);
        for (i, v) in v.iter_mut().enumerate() {
            if i + 1 < W {
                *v = S::load(x.add(i * S::LANES));
            }
            m.max(i, *v);
        }
        let max = m.largest();
        let shift = S::splat(max);
        v[W - 1] = S::load_or(tail, last, S::splat(max - BEYOND));
        let mut sum = Lanes::<S>::splat(0.0);
        v = math::exp::<Several<S, W>>(Several::<S, W>::sub(v, [shift; W]));
        v[W - 1] = S::head(v[W - 1], last);
        for (i, &v) in v.iter().enumerate() {
            sum.add(i, v);
        }
        let total = sum.sum();
        let scale = S::splat(1.0 / total);
        for (i, &v) in v.iter().take(W - 1).enumerate() {
            S::store(p.add(i * S::LANES), S::mul(v, scale));
        }
        S::store_head(p.add((W - 1) * S::LANES), last, S::mul(v[W - 1], scale));
        [max, total]
    }
}

/// As [`short_row`], for a row of any length, which is read again for each of the three steps.
#[inline(always)]
unsafe fn long_row<S: Simd>(x: *const f32, p: *mut f32, width: usize) -> [f32; 2] {
    // SAFETY: the caller guarantees S's target features, and a row of that length at x and at p, where every
    // access ends.
    unsafe {
        let least = S::splat(f32::NEG_INFINITY);
        let mut m = Lanes::<S>::splat(f32::NEG_INFINITY);
        each_vector!(width, |i| m.max(i, S::load(x.add(i * S::LANES))), |i, n| m
            .max(i, S::load_or(x.add(i * S::LANES), n, least)));
        let max = m.largest();
        let (shift, beyond) = (S::splat(max), S::splat(max - BEYOND));
        let mut sum = Lanes::<S>::splat(0.0);
        each_vector!(
            width,
            |i| {
                let e = math::exp::<S>(S::sub(S::load(x.add(i * S::LANES)), shift));
                S::store(p.add(i * S::LANES), e);
                sum.add(i, e);
            },
            |i, n| {
                let e = math::exp::<S>(S::sub(S::load_or(x.add(i * S::LANES), n, beyond), shift));
                S::store_head(p.add(i * S::LANES), n, e);
                sum.add(i, S::head(e, n));
            }
        );
        let total = sum.sum();
        scale_row::<S>(S::splat(1.0 / total), p, width);
        [max, total]
    }
}

/// Multiplies a row by `factor`.
#[inline(always)]
unsafe fn scale_row<S: Simd>(factor: S::V, p: *mut f32, width: usize) {
    let mut i = 0;
    // SAFETY: the caller guarantees S's target features, and a row of that length at p, where every access ends.
    unsafe {
        while i + S::LANES <= width {
            S::store(p.add(i), S::mul(S::load(p.add(i)), factor));
            i += S::LANES;
        }
        if i < width {
            S::store_head(p.add(i), width - i, S::mul(S::load_head(p.add(i), width - i), factor));
        }
    }
}

/// Replaces every sum by its logarithm.
#[inline(always)]
unsafe fn logarithms<S: Simd>(lse: &mut [[f32; 2]]) {
    let mut totals = [1.0; LANES];
    for group in lse.chunks_mut(S::LANES) {
        group.iter().zip(&mut totals).for_each(|([_, total], to)| *to = *total);
        // SAFETY: the caller guarantees S's target features; a vector has at most that many lanes.
        unsafe { S::store(totals.as_mut_ptr(), math::ln::<S>(S::load(totals.as_ptr()))) };
        group.iter_mut().zip(&totals).for_each(|([_, total], &ln)| *total = ln);
    }
}

#[inline(always)]
unsafe fn softmax_rows_on<S: Simd>(logits: &[f32], width: usize, probs: &mut [f32], lse: &mut [[f32; 2]]) {
    let vectors = width.div_ceil(S::LANES);
    let last = width - (vectors - 1) * S::LANES;
    let rows = logits.chunks_exact(width).zip(probs.chunks_exact_mut(width)).zip(lse.iter_mut());
    // Loops instead of closures, which would be compiled without the target features.
    macro_rules! each {
        ($row:ident $(of $size:literal)?, $length:expr) => {
            for ((x, p), lse) in rows {
                // SAFETY: the caller guarantees S's target features; x and p are `width` long.
                *lse = unsafe { $row::<S, $($size)?>(x.as_ptr(), p.as_mut_ptr(), $length) };
            }
        };
    }
    match vectors {
        1 => each!(short_row of 1, last),
        2 => each!(short_row of 2, last),
        3 => each!(short_row of 3, last),
        4 => each!(short_row of 4, last),
        5 => each!(short_row of 5, last),
        _ => each!(long_row, width),
    }
    // SAFETY: the caller guarantees S's target features.
    unsafe { logarithms::<S>(lse) }
}

dispatch! {
    fn softmax_rows_isa(logits: &[f32], width: usize, probs: &mut [f32], lse: &mut [[f32; 2]]) = softmax_rows_on
}

/// The softmax of each row of `logits` (rows of `width`). `lse` gets each row's maximum m and
/// `ln sum exp(x - m)`: their sum is the log-sum-exp.
pub fn softmax_rows(logits: &[f32], width: usize, probs: &mut [f32], lse: &mut [[f32; 2]]) {
    let rows = logits.len() / width;
    let (probs, lse) = (Shared::new(probs), Shared::new(lse));
    parallel_for(rows, ROW_GRAIN, 60 * logits.len(), |part| {
        let numbers = part.start * width..part.end * width;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let (probs, lse) = unsafe { (probs.piece(numbers.clone()), lse.piece(part)) };
        softmax_rows_isa(Isa::detect(), &logits[numbers], width, probs, lse);
    });
}

/// How many rows' log-sum-exps are computed before these rows are written: as many as the widest vector has
/// lanes.
const GROUP: usize = LANES;

#[inline(always)]
unsafe fn log_softmax_rows_on<S: Simd>(logits: &[f32], width: usize, y: &mut [f32]) {
    let mut lse = [[0.0; 2]; GROUP];
    for (x, y) in logits.chunks(GROUP * width).zip(y.chunks_mut(GROUP * width)) {
        // The last group may be smaller; a word sampled alone is a group of one.
        let lse = &mut lse[..x.len() / width];
        // SAFETY: the caller guarantees S's target features.
        unsafe { softmax_rows_on::<S>(x, width, y, lse) };
        for ((x, y), &mut [max, log_sum]) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(lse) {
            // SAFETY: the caller guarantees S's target features; both rows are `width` long, and every access
            // ends there.
            unsafe {
                let (x, y, max, log_sum) = (x.as_ptr(), y.as_mut_ptr(), S::splat(max), S::splat(log_sum));
                let mut i = 0;
                while i + S::LANES <= width {
                    S::store(y.add(i), S::sub(S::sub(S::load(x.add(i)), max), log_sum));
                    i += S::LANES;
                }
                let above = S::sub(S::load_head(x.add(i), width - i), max);
                S::store_head(y.add(i), width - i, S::sub(above, log_sum));
            }
        }
    }
}

dispatch! {
    fn log_softmax_rows_isa(logits: &[f32], width: usize, y: &mut [f32]) = log_softmax_rows_on
}

/// The logarithm of the softmax of each row of `logits` (rows of `width`).
pub fn log_softmax_rows(logits: &[f32], width: usize, y: &mut [f32]) {
    let rows = logits.len() / width;
    let y = Shared::new(y);
    parallel_for(rows, ROW_GRAIN, 60 * logits.len(), |part| {
        let numbers = part.start * width..part.end * width;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let y = unsafe { y.piece(numbers.clone()) };
        log_softmax_rows_isa(Isa::detect(), &logits[numbers], width, y);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;

    #[test]
    fn every_width_equals_the_plain_loops() {
        for isa in Isa::available() {
            for width in [1, 7, 8, 15, 16, 27, 65, 200] {
                let x: Vec<f32> = (0..3 * width).map(|i| (i as f32 * 0.37).sin() * 30.0).collect();
                let wide: Vec<f64> = x.iter().map(|&x| x.into()).collect();
                let (mut p, mut lse) = (vec![0.0; x.len()], [[0.0; 2]; 3]);
                let (mut q, mut expected) = (vec![0.0; x.len()], [[0.0; 2]; 3]);
                softmax_rows_isa(isa, &x, width, &mut p, &mut lse);
                reference::softmax_rows(&wide, width, &mut q, &mut expected);
                for (p, q) in p.iter().zip(&q) {
                    assert!(
                        (f64::from(*p) - q).abs() <= 1e-5 * q + 1e-30,
                        "{isa:?} width {width}: {p} instead of {q}"
                    );
                }
                for (l, e) in lse.as_flattened().iter().zip(expected.as_flattened()) {
                    assert!(
                        (f64::from(*l) - e).abs() <= 1e-6 * e.abs() + 1e-6,
                        "{isa:?} width {width}: {l} instead of {e}"
                    );
                }
            }
        }
    }

    #[test]
    fn logarithms_are_those_of_the_softmax() {
        for isa in Isa::available() {
            for (rows, width) in [(1, 1), (16, 27), (17, 27), (35, 200)] {
                let x: Vec<f32> = (0..rows * width).map(|i| (i as f32 * 0.37).sin() * 30.0).collect();
                let wide: Vec<f64> = x.iter().map(|&x| x.into()).collect();
                let (mut y, mut expected) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                log_softmax_rows_isa(isa, &x, width, &mut y);
                reference::log_softmax_rows(&wide, width, &mut expected);
                for (y, e) in y.iter().zip(&expected) {
                    assert!(
                        (f64::from(*y) - e).abs() <= 1e-5,
                        "{isa:?} {rows} x {width}: {y} instead of {e}"
                    );
                }
            }
        }
    }
}
