//! The passes of a batch norm: sums and affine maps, channel by channel.
//!
//! Sums run down the columns, in registers, for a few vectors of channels at a time; a thread has some of the
//! channels or, if there are many rows, half of the rows. Affine maps are plain loops over rows, which the
//! compiler vectorizes for each instruction set.

use super::gemm::load;
use super::halves::{in_halves, is_halved};
use super::pool::{ROW_GRAIN, middle_row, parallel_for};
use super::simd::Simd;
use super::team::Shared;
use super::{Isa, dispatch, reference};
use std::ops::Range;

/// How many vectors of channels are summed side by side.
const BLOCK: usize = 4;

/// The inputs of sums over some channels.
struct Channels<'a> {
    /// The rows, each of `channels` numbers.
    x: &'a [f32],
    /// What belongs to each row: its count (may be empty), or its gradient.
    with: &'a [f32],
    channels: usize,
    /// The channels to sum; the results have only these.
    range: Range<usize>,
}

impl Channels<'_> {
    /// Panics unless the range lies in the rows' channels and has length `len`.
    fn check(&self, len: usize) {
        assert!(self.range.end <= self.channels && self.range.len() == len, "channels outside the rows");
    }
}

/// Calls `$sums::<S, vectors>($arguments, first channel, length of the last vector)` for all channels of a
/// range.
macro_rules! blocks {
    ($range:expr, $sums:ident($($argument:expr),*)) => {{
        let mut at = 0;
        while at < $range.len() {
            let left = $range.len() - at;
            if left >= BLOCK * S::LANES {
                $sums::<S, BLOCK>($($argument,)* at, S::LANES);
                at += BLOCK * S::LANES;
            } else {
                $sums::<S, 1>($($argument,)* at, left.min(S::LANES));
                at += left.min(S::LANES);
            }
        }
    }};
}

/// Stores `N` vectors, the last of which has `last` elements.
#[inline(always)]
unsafe fn store<S: Simd, const N: usize>(p: *mut f32, all: [S::V; N], last: usize) {
    for (v, x) in all.into_iter().enumerate() {
        let n = if v + 1 == N { last } else { S::LANES };
        // SAFETY: the caller guarantees S's target features, and that these elements fit at `p`.
        unsafe { S::store_head(p.add(v * S::LANES), n, x) };
    }
}

/// The moments of `N` vectors of channels, from index `at` of the range on; the last vector has `last`.
#[inline(always)]
unsafe fn moments_of<S: Simd, const N: usize>(
    call: &Channels<'_>,
    mean: &mut [f32],
    squares: &mut [f32],
    at: usize,
    last: usize,
) {
    let &Channels { x, with: counts, channels, ref range } = call;
    let rows = x.len() / channels;
    let per_count = if counts.is_empty() { 1 } else { rows / counts.len() };
    // SAFETY: the caller guarantees S's target features, and that the vectors end with the range, which ends
    // within a row.
    unsafe {
        let mut n = 0.0;
        let mut sums = [S::splat(0.0); N];
        for (i, x) in x.chunks_exact(channels).enumerate() {
            let w = if counts.is_empty() { 1.0 } else { counts[i / per_count] };
            n += w;
            for (v, sum) in sums.iter_mut().enumerate() {
                let x = load::<S, N>(x.as_ptr().add(range.start + at), v, last);
                *sum = S::fma(S::splat(w), x, *sum);
            }
        }
        let share = S::splat(1.0 / n);
        for sum in &mut sums {
            *sum = S::mul(*sum, share);
        }
        let mut distances = [S::splat(0.0); N];
        for (i, x) in x.chunks_exact(channels).enumerate() {
            let w = S::splat(if counts.is_empty() { 1.0 } else { counts[i / per_count] });
            for (v, (distance, &mean)) in distances.iter_mut().zip(&sums).enumerate() {
                let d = S::sub(load::<S, N>(x.as_ptr().add(range.start + at), v, last), mean);
                *distance = S::fma(S::mul(w, d), d, *distance);
            }
        }
        store::<S, N>(mean[at..].as_mut_ptr(), sums, last);
        store::<S, N>(squares[at..].as_mut_ptr(), distances, last);
    }
}

#[inline(always)]
unsafe fn channel_moments_on<S: Simd>(call: Channels<'_>, mean: &mut [f32], squares: &mut [f32]) {
    call.check(mean.len().min(squares.len()));
    // SAFETY: the caller guarantees S's target features; checked above.
    unsafe { blocks!(call.range, moments_of(&call, mean, squares)) }
}

dispatch! {
    fn channel_moments_isa(call: Channels<'_>, mean: &mut [f32], squares: &mut [f32]) = channel_moments_on
}

/// Per channel: the mean, and the sum of squared distances from it, where row i counts `counts[i]` times
/// (once if `counts` is empty).
pub fn channel_moments(x: &[f32], counts: &[f32], mean: &mut [f32], squares: &mut [f32]) {
    let (channels, work) = (mean.len(), 8 * x.len());
    let rows = x.len() / channels;
    let (mean, squares) = (Shared::new(mean), Shared::new(squares));
    if (counts.is_empty() || counts.len() == rows) && is_halved(rows, channels, channels) {
        let counts = |rows: Range<usize>| if counts.is_empty() { counts } else { &counts[rows] };
        return in_halves(
            rows,
            work,
            [0, 2 * channels],
            |second, rows, scratch| {
                let (mean, squares) = match second {
                    true => scratch.split_at_mut(channels),
                    // SAFETY: only the first half has them.
                    false => unsafe { (mean.all(), squares.all()) },
                };
                let x = &x[rows.start * channels..rows.end * channels];
                let call = Channels { x, with: counts(rows), channels, range: 0..channels };
                channel_moments_isa(Isa::detect(), call, mean, squares);
            },
            |_, second| {
                let middle = middle_row(rows);
                let examples = |part: Range<usize>| match counts(part.clone()) {
                    [] => part.len() as f32,
                    counts => counts.iter().sum(),
                };
                // SAFETY: both halves are done.
                let (mean, squares) = unsafe { (mean.all(), squares.all()) };
                join_moments([examples(0..middle), examples(middle..rows)], second, mean, squares);
            },
        );
    }
    parallel_for(channels, 16, work, |range| {
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let (mean, squares) = unsafe { (mean.piece(range.clone()), squares.piece(range.clone())) };
        channel_moments_isa(Isa::detect(), Channels { x, with: counts, channels, range }, mean, squares);
    });
}

/// Combines the moments of two halves with `n0` and `n1` examples; the result is in `mean` and `squares`.
fn join_moments([n0, n1]: [f32; 2], second: &[f32], mean: &mut [f32], squares: &mut [f32]) {
    let share = n1 / (n0 + n1);
    let (other_mean, other_squares) = second.split_at(mean.len());
    for (((m, s), &other), &more) in mean.iter_mut().zip(squares).zip(other_mean).zip(other_squares) {
        let apart = other - *m;
        *m += apart * share;
        *s += more + apart * apart * n0 * share;
    }
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
    parallel_for(y_len / c, ROW_GRAIN, 8 * y_len, |rows| {
        let part = rows.start * c..rows.end * c;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let y = unsafe { y.piece(part.clone()) };
        channel_affine_isa(Isa::detect(), &x[part], scale, shift, y);
    });
}

/// The sums of `N` vectors of channels, from index `at` of the range on; the last vector has `last`.
#[inline(always)]
unsafe fn sums_of<S: Simd, const N: usize>(
    call: &Channels<'_>,
    [mean, inv_std]: [&[f32]; 2],
    [sum, sum_hat]: [&mut [f32]; 2],
    at: usize,
    last: usize,
) {
    let &Channels { x, with: d, channels, ref range } = call;
    // SAFETY: the caller guarantees S's target features, and that the vectors end with the range, which ends
    // within a row and is as long as the sums.
    unsafe {
        let mut means = [S::splat(0.0); N];
        for (v, m) in means.iter_mut().enumerate() {
            *m = load::<S, N>(mean[at..].as_ptr(), v, last);
        }
        let mut sums = [[S::splat(0.0); N]; 2];
        for (d, x) in d.chunks_exact(channels).zip(x.chunks_exact(channels)) {
            let (d, x) = (d.as_ptr().add(range.start + at), x.as_ptr().add(range.start + at));
            for v in 0..N {
                let (d, x) = (load::<S, N>(d, v, last), load::<S, N>(x, v, last));
                sums[0][v] = S::add(sums[0][v], d);
                sums[1][v] = S::fma(d, S::sub(x, means[v]), sums[1][v]);
            }
        }
        for (v, hat) in sums[1].iter_mut().enumerate() {
            *hat = S::mul(*hat, load::<S, N>(inv_std[at..].as_ptr(), v, last));
        }
        store::<S, N>(sum[at..].as_mut_ptr(), sums[0], last);
        store::<S, N>(sum_hat[at..].as_mut_ptr(), sums[1], last);
    }
}

#[inline(always)]
unsafe fn channel_sums_on<S: Simd>(call: Channels<'_>, of: [&[f32]; 2], [sum, sum_hat]: [&mut [f32]; 2]) {
    let [mean, inv_std] = of;
    call.check(mean.len().min(inv_std.len()).min(sum.len()).min(sum_hat.len()));
    // SAFETY: the caller guarantees S's target features; checked above.
    unsafe { blocks!(call.range, sums_of(&call, [mean, inv_std], [&mut *sum, &mut *sum_hat])) }
}

dispatch! {
    fn channel_sums_isa(call: Channels<'_>, of: [&[f32]; 2], sums: [&mut [f32]; 2]) = channel_sums_on
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
    let (channels, work) = (sum.len(), 8 * x.len());
    let rows = x.len() / channels;
    let sums = [Shared::new(sum), Shared::new(sum_hat)];
    if is_halved(rows, channels, channels) {
        return in_halves(
            rows,
            work,
            [0, 2 * channels],
            |second, rows, scratch| {
                let of_half = match second {
                    true => <[_; 2]>::from(scratch.split_at_mut(channels)),
                    // SAFETY: only the first half has them.
                    false => sums.map(|sums| unsafe { sums.all() }),
                };
                let numbers = rows.start * channels..rows.end * channels;
                let (x, with) = (&x[numbers.clone()], &d[numbers]);
                let call = Channels { x, with, channels, range: 0..channels };
                channel_sums_isa(Isa::detect(), call, [mean, inv_std], of_half);
            },
            |_, second| {
                // SAFETY: both halves are done.
                let all = sums.into_iter().flat_map(|sums| unsafe { sums.all() });
                all.zip(second).for_each(|(sum, &more)| *sum += more);
            },
        );
    }
    let [sum, sum_hat] = sums;
    parallel_for(channels, 16, work, |range| {
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let sums = unsafe { [sum.piece(range.clone()), sum_hat.piece(range.clone())] };
        let of = [&mean[range.clone()], &inv_std[range.clone()]];
        channel_sums_isa(Isa::detect(), Channels { x, with: d, channels, range }, of, sums);
    });
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

/// `dx = a d + count (b x + c)`, channel by channel, or added to `dx`; row i counts `counts[i]` times (once
/// if `counts` is empty).
pub fn channel_backward(x: &[f32], d: &[f32], counts: &[f32], abc: [&[f32]; 3], dx: &mut [f32], add: bool) {
    let c = abc[0].len();
    // A part must have all rows of each count.
    let unit = if counts.is_empty() { 1 } else { x.len() / c / counts.len() };
    let (rows, work) = (x.len() / c, 8 * x.len());
    let dx = Shared::new(dx);
    parallel_for(rows, ROW_GRAIN * unit.max(1), work, |rows| {
        let part = rows.start * c..rows.end * c;
        let counts = if counts.is_empty() { counts } else { &counts[rows.start / unit..rows.end / unit] };
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let dx = unsafe { dx.piece(part.clone()) };
        channel_backward_isa(Isa::detect(), &x[part.clone()], &d[part], counts, abc, dx, add);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tests::numbers;

    #[test]
    fn every_instruction_set_gives_the_same() {
        let (rows, c) = (6, 150);
        let (x, d, counts) = (numbers(rows * c, 1), numbers(rows * c, 2), [2.0, 1.0, 1.0, 3.0, 1.0, 1.0]);
        for counts in [&counts[..], &[]] {
            let run = |isa: Option<Isa>| {
                let (mut m, mut s, mut t, mut u) = (vec![0.0; c], vec![0.0; c], vec![0.0; c], vec![0.0; c]);
                let (mut y, mut dx) = (vec![0.0; rows * c], numbers(rows * c, 3));
                match isa {
                    Some(isa) => {
                        for range in [0..c / 2, c / 2..c] {
                            let [m, s] = [&mut m[range.clone()], &mut s[range.clone()]];
                            channel_moments_isa(
                                isa,
                                Channels { x: &x, with: counts, channels: c, range },
                                m,
                                s,
                            );
                        }
                        channel_affine_isa(isa, &x, &m, &s, &mut y);
                        for range in [0..c / 2, c / 2..c] {
                            let sums = [&mut t[range.clone()], &mut u[range.clone()]];
                            let of = [&m[range.clone()], &s[range.clone()]];
                            channel_sums_isa(isa, Channels { x: &x, with: &d, channels: c, range }, of, sums);
                        }
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
