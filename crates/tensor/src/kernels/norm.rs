//! Norms of rows.

use super::pool::{ROW_GRAIN, parallel_for};
use super::simd::{Lanes, Simd, each_vector};
use super::team::Shared;
use super::{Isa, dispatch};

/// Estimated operations per number, forward or backward: rows are read two or three times.
const WORK: usize = 35;

/// The norm of rows x: `y = weight (x - m) / sqrt(mean (x - m)^2 + eps) + bias`, with m the row's mean, or 0
/// if not `centred`.
#[derive(Clone, Copy)]
pub struct Norm<'a, E> {
    /// The length of a row.
    pub width: usize,
    /// Added to the mean square.
    pub eps: E,
    /// Whether the mean is subtracted.
    pub centred: bool,
    /// The weight; 1 if there is none.
    pub weight: Option<&'a [E]>,
    /// The bias; 0 if there is none.
    pub bias: Option<&'a [E]>,
}

impl<E> Norm<'_, E> {
    /// Panics unless the weight and the bias are as long as a row.
    fn check(&self) {
        let fits = |part: Option<&[E]>| part.is_none_or(|part| part.len() >= self.width);
        assert!(
            self.width > 0 && fits(self.weight) && fits(self.bias),
            "a norm's weight and bias are as long as a row"
        );
    }
}

/// A pointer to the weight or bias; null if there is none.
fn start(part: Option<&[f32]>) -> *const f32 {
    part.map_or(std::ptr::null(), <[f32]>::as_ptr)
}

/// Runs `$each` for each vector of a row of `$width`, with its first index and number of elements.
macro_rules! each_place {
    ($width:expr, |$at:ident, $n:ident| $each:expr) => {
        let mut $at = 0;
        while $at + S::LANES <= $width {
            let $n = S::LANES;
            $each;
            $at += S::LANES;
        }
        if $at < $width {
            let $n = $width - $at;
            $each;
        }
    };
}

/// Loads `n` elements, as a whole vector if `n` is one.
#[inline(always)]
unsafe fn load<S: Simd>(p: *const f32, n: usize) -> S::V {
    // SAFETY: the caller guarantees S's target features and `n` elements at `p`.
    unsafe { if n == S::LANES { S::load(p) } else { S::load_head(p, n) } }
}

/// Stores `n` elements.
#[inline(always)]
unsafe fn store<S: Simd>(p: *mut f32, n: usize, v: S::V) {
    // SAFETY: the caller guarantees S's target features and `n` elements at `p`.
    unsafe { if n == S::LANES { S::store(p, v) } else { S::store_head(p, n, v) } }
}

#[inline(always)]
unsafe fn norm_rows_on<S: Simd>(norm: Norm<'_, f32>, x: &[f32], y: &mut [f32], stats: &mut [[f32; 2]]) {
    norm.check();
    let Norm { width, eps, centred, weight, bias } = norm;
    let share = 1.0 / width as f32;
    let (weight, bias) = (start(weight), start(bias));
    let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(stats);
    for ((x, y), stats) in rows {
        let (x, y) = (x.as_ptr(), y.as_mut_ptr());
        // SAFETY: the caller guarantees S's target features; the rows, and weight and bias where there are
        // any, have `width` elements, and every access ends there.
        unsafe {
            let mean = if centred {
                let mut sum = Lanes::<S>::splat(0.0);
                each_vector!(width, |i| sum.add(i, S::load(x.add(i * S::LANES))), |i, n| sum
                    .add(i, S::load_head(x.add(i * S::LANES), n)));
                sum.sum() * share
            } else {
                0.0
            };
            let shift = S::splat(mean);
            let mut squares = Lanes::<S>::splat(0.0);
            each_vector!(
                width,
                |i| {
                    let x = S::sub(S::load(x.add(i * S::LANES)), shift);
                    squares.add_products(i, x, x);
                },
                |i, n| {
                    let x = S::head(S::sub(S::load_head(x.add(i * S::LANES), n), shift), n);
                    squares.add_products(i, x, x);
                }
            );
            let inv_std = 1.0 / (squares.sum() * share + eps).sqrt();
            let scale = S::splat(inv_std);
            each_place!(width, |at, n| {
                let mut v = S::mul(S::sub(load::<S>(x.add(at), n), shift), scale);
                if !weight.is_null() {
                    v = S::mul(v, load::<S>(weight.add(at), n));
                }
                if !bias.is_null() {
                    v = S::add(v, load::<S>(bias.add(at), n));
                }
                store::<S>(y.add(at), n, v);
            });
            *stats = [mean, inv_std];
        }
    }
}

dispatch! {
    fn norm_rows_isa(norm: Norm<'_, f32>, x: &[f32], y: &mut [f32], stats: &mut [[f32; 2]]) = norm_rows_on
}

/// Normalizes each row; `stats` gets its mean (0 if not centred) and 1 over its standard deviation.
pub fn norm_rows(norm: Norm<'_, f32>, x: &[f32], y: &mut [f32], stats: &mut [[f32; 2]]) {
    let width = norm.width;
    let (y, stats) = (Shared::new(y), Shared::new(stats));
    parallel_for(x.len() / width, ROW_GRAIN, WORK * x.len(), |part| {
        let numbers = part.start * width..part.end * width;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let (y, stats) = unsafe { (y.piece(numbers.clone()), stats.piece(part)) };
        norm_rows_isa(Isa::detect(), norm, &x[numbers], y, stats);
    });
}

#[inline(always)]
unsafe fn norm_rows_backward_on<S: Simd>(
    norm: Norm<'_, f32>,
    x: &[f32],
    stats: &[[f32; 2]],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
) {
    norm.check();
    let Norm { width, centred, weight, .. } = norm;
    let share = 1.0 / width as f32;
    let weight = start(weight);
    let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)).zip(stats);
    for (((x, dy), dx), &[mean, inv_std]) in rows {
        let (x, dy, dx) = (x.as_ptr(), dy.as_ptr(), dx.as_mut_ptr());
        // SAFETY: as in `norm_rows_on`.
        unsafe {
            let (shift, scale) = (S::splat(mean), S::splat(inv_std));
            // The gradient with respect to the normalized row; no closure, which would be compiled without
            // the target features.
            macro_rules! arrives {
                ($at:expr, $n:expr) => {{
                    let d = load::<S>(dy.add($at), $n);
                    if weight.is_null() { d } else { S::mul(d, load::<S>(weight.add($at), $n)) }
                }};
            }
            macro_rules! normed {
                ($at:expr, $n:expr) => {
                    S::mul(S::sub(load::<S>(x.add($at), $n), shift), scale)
                };
            }
            let (mut sum, mut products) = (Lanes::<S>::splat(0.0), Lanes::<S>::splat(0.0));
            each_vector!(
                width,
                |i| {
                    let d = arrives!(i * S::LANES, S::LANES);
                    sum.add(i, d);
                    products.add_products(i, d, normed!(i * S::LANES, S::LANES));
                },
                |i, n| {
                    // Beyond the row's end d is 0, and the normalized row is finite.
                    let d = arrives!(i * S::LANES, n);
                    sum.add(i, d);
                    products.add_products(i, d, S::head(normed!(i * S::LANES, n), n));
                }
            );
            let mean_d = S::splat(if centred { sum.sum() * share } else { 0.0 });
            let mean_product = S::splat(-(products.sum() * share));
            each_place!(width, |at, n| {
                let v = S::sub(arrives!(at, n), mean_d);
                let v = S::mul(scale, S::fma(normed!(at, n), mean_product, v));
                let to = dx.add(at);
                store::<S>(to, n, if add { S::add(load::<S>(to, n), v) } else { v });
            });
        }
    }
}

dispatch! {
    fn norm_rows_backward_isa(
        norm: Norm<'_, f32>, x: &[f32], stats: &[[f32; 2]], dy: &[f32], dx: &mut [f32], add: bool,
    ) = norm_rows_backward_on
}

/// The gradient of [`norm_rows`], written to `dx`, or added.
pub fn norm_rows_backward(
    norm: Norm<'_, f32>,
    x: &[f32],
    stats: &[[f32; 2]],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
) {
    let width = norm.width;
    let dx = Shared::new(dx);
    parallel_for(x.len() / width, ROW_GRAIN, WORK * x.len(), |part| {
        let numbers = part.start * width..part.end * width;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let dx = unsafe { dx.piece(numbers.clone()) };
        norm_rows_backward_isa(Isa::detect(), norm, &x[numbers.clone()], &stats[part], &dy[numbers], dx, add);
    });
}

/// How many vectors of columns are summed at a time.
const BLOCK: usize = 4;

#[inline(always)]
unsafe fn norm_rows_weight_on<S: Simd>(
    x: &[f32],
    stats: &[[f32; 2]],
    dy: &[f32],
    width: usize,
    first: usize,
    dweight: &mut [f32],
) {
    let columns = dweight.len();
    assert!(first + columns <= width, "columns of a row");
    let mut at = 0;
    while at < columns {
        let whole = columns - at >= BLOCK * S::LANES;
        let n = if whole { BLOCK * S::LANES } else { (columns - at).min(S::LANES) };
        let to = dweight[at..].as_mut_ptr();
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(stats);
        // SAFETY: the caller guarantees S's target features; `n` columns from `at` on lie in `dweight`, and
        // from `first + at` on in every row.
        unsafe {
            let mut sums = [S::splat(0.0); BLOCK];
            if whole {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(to.add(i * S::LANES));
                }
                for ((x, dy), &[mean, inv_std]) in rows {
                    let (x, dy) = (x.as_ptr().add(first + at), dy.as_ptr().add(first + at));
                    let (shift, scale) = (S::splat(mean), S::splat(inv_std));
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let hat = S::mul(S::sub(S::load(x.add(i * S::LANES)), shift), scale);
                        *sum = S::fma(S::load(dy.add(i * S::LANES)), hat, *sum);
                    }
                }
                for (i, &sum) in sums.iter().enumerate() {
                    S::store(to.add(i * S::LANES), sum);
                }
            } else {
                let mut sum = load::<S>(to, n);
                for ((x, dy), &[mean, inv_std]) in rows {
                    let (x, dy) = (x.as_ptr().add(first + at), dy.as_ptr().add(first + at));
                    let hat = S::mul(S::sub(load::<S>(x, n), S::splat(mean)), S::splat(inv_std));
                    sum = S::fma(load::<S>(dy, n), hat, sum);
                }
                store::<S>(to, n, sum);
            }
        }
        at += n;
    }
}

dispatch! {
    fn norm_rows_weight_isa(
        x: &[f32], stats: &[[f32; 2]], dy: &[f32], width: usize, first: usize, dweight: &mut [f32],
    ) = norm_rows_weight_on
}

/// Adds the gradient of the weight of [`norm_rows`]: `sum over rows of dy (x - mean) inv_std`.
pub fn norm_rows_weight(x: &[f32], stats: &[[f32; 2]], dy: &[f32], dweight: &mut [f32]) {
    let width = dweight.len();
    let dweight = Shared::new(dweight);
    parallel_for(width, 16, 4 * x.len(), |columns| {
        let first = columns.start;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let dweight = unsafe { dweight.piece(columns) };
        norm_rows_weight_isa(Isa::detect(), x, stats, dy, width, first, dweight);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;
    use crate::kernels::tests::{assert_close, numbers};

    #[test]
    fn every_width_equals_the_plain_loops() {
        const ROWS: usize = 5;
        for isa in Isa::available() {
            for width in [1, 3, 8, 15, 16, 17, 64, 100] {
                let (x, dy) = (numbers(ROWS * width, 1), numbers(ROWS * width, 2));
                let (weight, bias) = (numbers(width, 3), numbers(width, 4));
                for (centred, weight, bias) in [
                    (true, Some(&weight[..]), Some(&bias[..])),
                    (false, Some(&weight[..]), None),
                    (false, None, None),
                ] {
                    let norm = Norm { width, eps: 0.1, centred, weight, bias };
                    let (mut y, mut stats) = (vec![0.0; x.len()], [[0.0; 2]; ROWS]);
                    let (mut plain, mut plain_stats) = (y.clone(), stats);
                    norm_rows_isa(isa, norm, &x, &mut y, &mut stats);
                    reference::norm_rows(norm, &x, &mut plain, &mut plain_stats);
                    assert_close(isa, &y, &plain);
                    assert_close(isa, stats.as_flattened(), plain_stats.as_flattened());
                    for add in [false, true] {
                        let (mut dx, mut plain) = (dy.clone(), dy.clone());
                        norm_rows_backward_isa(isa, norm, &x, &stats, &dy, &mut dx, add);
                        reference::norm_rows_backward(norm, &x, &stats, &dy, &mut plain, add);
                        assert_close(isa, &dx, &plain);
                    }
                    let (mut fast, mut plain) = (numbers(width, 5), numbers(width, 5));
                    norm_rows_weight_isa(isa, &x, &stats, &dy, width, 0, &mut fast);
                    reference::norm_rows_weight(&x, &stats, &dy, &mut plain);
                    assert_close(isa, &fast, &plain);
                }
            }
        }
    }
}
