//! Attention of one row: scores, softmax, the weighted sum of values, and the gradients of the scores.
//!
//! A row of scores or weights is padded to a multiple of [`LANES`]; the padding may have any contents.

use crate::kernels::math;
use crate::kernels::simd::{LANES, Lanes, Simd, each_vector};
use crate::rng::DropoutMask;

/// The length of a row of `width` scores, with padding.
pub(super) fn padded(width: usize) -> usize {
    width.next_multiple_of(LANES)
}

/// Turns `width` scores into weights, `p_j = exp(scale s_j - m) / sum`; returns m, the largest scaled score,
/// and 1 / sum.
///
/// # Safety
/// S's target features hold; `s` is a row of at least one score.
#[inline(always)]
pub(super) unsafe fn softmax<S: Simd>(s: *mut f32, width: usize, scale: f32) -> [f32; 2] {
    // SAFETY: the caller's promise; whole vectors end in the row's padding.
    unsafe {
        let least = S::splat(f32::NEG_INFINITY);
        let mut m = Lanes::<S>::splat(f32::NEG_INFINITY);
        each_vector!(width, |i| m.max(i, S::load(s.add(i * S::LANES))), |i, n| m
            .max(i, S::load_or(s.add(i * S::LANES), n, least)));
        let largest = m.largest();
        let max = largest * scale;
        let (factor, shift, beyond) = (S::splat(scale), S::splat(-max), S::splat(largest));
        let mut sum = Lanes::<S>::splat(0.0);
        each_vector!(
            width,
            |i| {
                let e = math::exp::<S>(S::fma(S::load(s.add(i * S::LANES)), factor, shift));
                S::store(s.add(i * S::LANES), e);
                sum.add(i, e);
            },
            |i, n| {
                let e = math::exp::<S>(S::fma(S::load_or(s.add(i * S::LANES), n, beyond), factor, shift));
                let e = S::head(e, n);
                S::store(s.add(i * S::LANES), e);
                sum.add(i, e);
            }
        );
        let share = 1.0 / sum.sum();
        let factor = S::splat(share);
        for at in (0..width).step_by(S::LANES) {
            S::store(s.add(at), S::mul(S::load(s.add(at)), factor));
        }
        [max, share]
    }
}

/// Computes the same weights again, from the scores and the result of [`softmax`].
///
/// # Safety
/// As for [`softmax`].
#[inline(always)]
pub(super) unsafe fn recompute_softmax<S: Simd>(
    s: *mut f32,
    width: usize,
    scale: f32,
    [max, share]: [f32; 2],
) {
    // SAFETY: the caller's promise; whole vectors end in the row's padding.
    unsafe {
        let (factor, shift, share) = (S::splat(scale), S::splat(-max), S::splat(share));
        let mut at = 0;
        while at + S::LANES <= width {
            let e = math::exp::<S>(S::fma(S::load(s.add(at)), factor, shift));
            S::store(s.add(at), S::mul(e, share));
            at += S::LANES;
        }
        if at < width {
            let n = width - at;
            let e = math::exp::<S>(S::fma(S::load_head(s.add(at), n), factor, shift));
            S::store(s.add(at), S::head(S::mul(e, share), n));
        }
    }
}

/// Turns `d_j = dy v_j` into the gradients of the scores, `scale p_j (d_j - mean)`, with `mean = dy y`.
///
/// # Safety
/// S's target features hold; `p` and `d` are rows of `width`.
#[inline(always)]
pub(super) unsafe fn score_grads<S: Simd>(p: *const f32, d: *mut f32, width: usize, mean: f32, scale: f32) {
    // SAFETY: the caller's promise; whole vectors end in the rows' padding.
    unsafe {
        let (mean, factor) = (S::splat(mean), S::splat(scale));
        for at in (0..width).step_by(S::LANES) {
            let away = S::sub(S::load(d.add(at)), mean);
            S::store(d.add(at), S::mul(S::mul(S::load(p.add(at)), factor), away));
        }
    }
}

/// The sum of `a_i b_i`.
///
/// # Safety
/// S's target features hold; `n` numbers lie at `a` and at `b`.
#[inline(always)]
pub(super) unsafe fn dot<S: Simd>(a: *const f32, b: *const f32, n: usize) -> f32 {
    // SAFETY: the caller's promise; every access ends there.
    unsafe {
        let mut sum = Lanes::<S>::splat(0.0);
        each_vector!(
            n,
            |i| sum.add_products(i, S::load(a.add(i * S::LANES)), S::load(b.add(i * S::LANES))),
            |i, n| sum.add_products(
                i,
                S::load_head(a.add(i * S::LANES), n),
                S::load_head(b.add(i * S::LANES), n)
            )
        );
        sum.sum()
    }
}

/// Applies a row's dropout mask to its weights.
pub(super) fn apply_dropout(mask: DropoutMask, weights: &mut [f32]) {
    let scale = mask.scale as f32;
    for (i, pair) in weights.chunks_mut(2).enumerate() {
        for (weight, kept) in pair.iter_mut().zip(mask.pair(i)) {
            *weight *= if kept { scale } else { 0.0 };
        }
    }
}

/// Transposed keys or values of the rows of a path, for some heads: row `i` holds number `i` of all these
/// heads' numbers, one column per row of the path.
#[derive(Clone, Copy)]
pub(super) struct Transposed {
    pub start: *const f32,
    /// The row stride, including padding: a multiple of [`LANES`].
    pub stride: usize,
    /// The size of a head, and the number of heads.
    pub size: usize,
    pub heads: usize,
}

/// Per head, the products of `q` with the first `width` columns: rows of scores, `stride` apart.
///
/// # Safety
/// S's target features hold; all heads lie at `q`, and in the rows of keys and of scores the first `width`
/// numbers and their padding.
#[inline(always)]
pub(super) unsafe fn products<S: Simd>(
    q: *const f32,
    transposed: Transposed,
    width: usize,
    scores: *mut f32,
) {
    let mut head = 0;
    while head < transposed.heads {
        // Several heads at once, so that independent sums overlap.
        macro_rules! heads {
            ($($n:literal)+) => {
                match transposed.heads - head {
                    $(left if left >= $n => {
                        // SAFETY: the caller's promise.
                        unsafe { products_of::<S, $n>(q, transposed, head, width, scores) };
                        head += $n;
                    })+
                    _ => unreachable!("there is a head left"),
                }
            };
        }
        heads!(4 2 1);
    }
}

/// [`products`] of `N` heads from `head` on.
///
/// # Safety
/// As for [`products`].
#[inline(always)]
unsafe fn products_of<S: Simd, const N: usize>(
    q: *const f32,
    transposed: Transposed,
    head: usize,
    width: usize,
    scores: *mut f32,
) {
    let Transposed { start, stride, size, .. } = transposed;
    // SAFETY: the caller's promise; whole vectors end in the rows' padding.
    unsafe {
        for at in (0..width).step_by(S::LANES) {
            let mut sums = [S::splat(0.0); N];
            for i in 0..size {
                for (n, sum) in sums.iter_mut().enumerate() {
                    let row = (head + n) * size + i;
                    *sum = S::fma(S::splat(*q.add(row)), S::load(start.add(row * stride + at)), *sum);
                }
            }
            for (n, &sum) in sums.iter().enumerate() {
                S::store(scores.add((head + n) * stride + at), sum);
            }
        }
    }
}

/// Per head, `y = sum_j p_j v_j` over the first `width` rows of values, `values_stride` apart, with all heads
/// side by side.
///
/// # Safety
/// S's target features hold; rows of weights, `weights_stride` apart, rows of values, and all heads at `y` are there.
#[inline(always)]
pub(super) unsafe fn weighted_sum<S: Simd>(
    [size, heads, width]: [usize; 3],
    weights: *const f32,
    weights_stride: usize,
    values: *const f32,
    values_stride: usize,
    y: *mut f32,
) {
    for head in 0..heads {
        let mut at = 0;
        while at < size {
            let n = (size - at).min(S::LANES);
            // SAFETY: the caller's promise; all vectors end in the head.
            unsafe {
                let weights = weights.add(head * weights_stride);
                let (values, y) = (values.add(head * size + at), y.add(head * size + at));
                if n < S::LANES {
                    let mut sum = S::splat(0.0);
                    for j in 0..width {
                        sum = S::fma(
                            S::splat(*weights.add(j)),
                            S::load_head(values.add(j * values_stride), n),
                            sum,
                        );
                    }
                    S::store_head(y, n, sum);
                    at += n;
                } else if size - at >= 4 * S::LANES {
                    weighted_sum_vectors::<S, 4>(width, weights, values, values_stride, y);
                    at += 4 * S::LANES;
                } else {
                    weighted_sum_vectors::<S, 1>(width, weights, values, values_stride, y);
                    at += S::LANES;
                }
            }
        }
    }
}

/// `N` vectors of one head of [`weighted_sum`].
///
/// # Safety
/// As for [`weighted_sum`].
#[inline(always)]
unsafe fn weighted_sum_vectors<S: Simd, const N: usize>(
    width: usize,
    weights: *const f32,
    values: *const f32,
    stride: usize,
    y: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [S::splat(0.0); N];
        for j in 0..width {
            let weight = S::splat(*weights.add(j));
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = S::fma(weight, S::load(values.add(j * stride + i * S::LANES)), *sum);
            }
        }
        for (i, &sum) in sums.iter().enumerate() {
            S::store(y.add(i * S::LANES), sum);
        }
    }
}

/// Writes a column of [`Transposed`] numbers: the `n` numbers at `from`, one to each row.
///
/// # Safety
/// `n` rows with that column lie at `to`, `stride` apart, and `n` numbers at `from`.
#[inline(always)]
pub(super) unsafe fn write_column(from: *const f32, n: usize, to: *mut f32, stride: usize, column: usize) {
    for i in 0..n {
        // SAFETY: the caller's promise.
        unsafe { *to.add(i * stride + column) = *from.add(i) };
    }
}

/// The attention of one row to a path of `width` rows, given their transposed keys and their values in rows.
///
/// # Safety
/// S's target features hold; all heads' numbers lie at `q`, `y`, in the keys and in each row of values; there are
/// a row of `scores` and a pair of `stats` for each head.
#[expect(clippy::too_many_arguments, reason = "pointers into what each caller lays out otherwise")]
#[inline(always)]
pub(super) unsafe fn attend_row<S: Simd>(
    q: *const f32,
    keys: Transposed,
    values: *const f32,
    width: usize,
    scale: f32,
    mask: Option<(DropoutMask, usize)>,
    scores: &mut [f32],
    y: *mut f32,
    stats: *mut [f32; 2],
) {
    let Transposed { stride, size, heads, .. } = keys;
    assert!(scores.len() >= heads * stride && padded(width) <= stride, "a row of scores for each head");
    // SAFETY: the caller's promise.
    unsafe {
        products::<S>(q, keys, width, scores.as_mut_ptr());
        for (head, s) in scores.chunks_exact_mut(stride).take(heads).enumerate() {
            *stats.add(head) = softmax::<S>(s.as_mut_ptr(), width, scale);
            if let Some((mask, first)) = mask {
                apply_dropout(mask.row(first + head), &mut s[..width]);
            }
        }
        weighted_sum::<S>([size, heads, width], scores.as_ptr(), stride, values, heads * size, y);
    }
}
