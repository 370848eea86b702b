//! Attention in sequences by matrix products: a block of queries at a time with all keys up to the block's
//! end.
//!
//! A block's scores stay in the cache; the matrix of all scores never exists.

use super::{Attention, row, with_scratch};
use crate::kernels::gemm;
use crate::kernels::pool::parallel_for;
use crate::kernels::scratch::LINE;
use crate::kernels::simd::Simd;
use crate::kernels::team::Shared;
use crate::kernels::transpose::transpose_isa;
use crate::kernels::{Epilogue, Gemm, Isa, dispatch};
use crate::rng::DropoutMask;

/// The number of queries in a block.
const BLOCK: usize = 32;

/// The sizes of a sequence and its heads, and the row stride of scores.
#[derive(Clone, Copy)]
struct Sizes {
    length: usize,
    width: usize,
    heads: usize,
    size: usize,
    stride: usize,
    scale: f32,
}

impl Sizes {
    fn of(call: &Attention<'_, f32>, length: usize) -> Self {
        let (width, heads) = (call.width, call.heads);
        let size = width / heads;
        // One cache line more, so that rows a power of two apart do not collide in the cache.
        Self {
            length,
            width,
            heads,
            size,
            stride: row::padded(length) + 16,
            scale: 1.0 / (size as f32).sqrt(),
        }
    }

    /// Estimated operations of a sequence in a pass with `products` matrix products.
    fn work(&self, products: usize) -> usize {
        self.length * self.length * (products * self.width + 20 * self.heads)
    }
}

/// Copies the first `size` numbers of each row, `from_stride` apart, to contiguous rows.
fn copy_rows(from: &[f32], from_stride: usize, size: usize, to: &mut [f32]) {
    for (to, from) in to.chunks_exact_mut(size).zip(from.chunks(from_stride)) {
        to.copy_from_slice(&from[..size]);
    }
}

/// Prefetches the first `size` numbers of rows `stride` apart, which are read soon; the hardware prefetcher
/// does not recognize such distances.
#[inline(always)]
unsafe fn prefetch_on<S: Simd>(rows: &[f32], stride: usize, size: usize) {
    for row in rows.chunks(stride) {
        for at in (0..size).step_by(LINE) {
            // SAFETY: the caller guarantees S's target features; any address may be asked for.
            unsafe { S::prefetch(row.as_ptr().wrapping_add(at)) };
        }
    }
}

dispatch! {
    fn prefetch_isa(rows: &[f32], stride: usize, size: usize) = prefetch_on
}

/// A product on this thread only.
fn product(mut call: Gemm<'_, f32>) {
    gemm::gemm_serial(&mut call, None);
}

/// The scores of a block of queries: `q` (queries, D) times the transposed keys up to the last of these
/// queries, (D, keys).
fn products(
    sizes: Sizes,
    q: &[f32],
    q_stride: usize,
    transposed: &[f32],
    [m, n]: [usize; 2],
    scores: &mut [f32],
) {
    let Sizes { size, stride, .. } = sizes;
    product(Gemm {
        m,
        n,
        k: size,
        a: q,
        a_strides: [q_stride, 1],
        b: transposed,
        b_strides: [stride, 1],
        c: scores,
        c_stride: stride,
        epilogue: Epilogue::Set,
    });
}

/// A block of queries, from `first` on, and the columns of its scores: the number of keys up to its end.
#[derive(Clone, Copy)]
struct Block {
    sizes: Sizes,
    first: usize,
    columns: usize,
}

impl Block {
    /// Panics unless every row holds all columns and their padding, and no query attends to keys beyond them.
    fn check(&self, scores: &[f32]) {
        let Self { sizes: Sizes { stride, .. }, first, columns } = *self;
        let fits = row::padded(columns) <= stride && first + scores.len() / stride <= columns;
        assert!(fits, "a block's rows hold its columns");
    }
}

#[inline(always)]
unsafe fn softmax_block_on<S: Simd>(block: Block, scores: &mut [f32], stats: &mut [[f32; 2]]) {
    block.check(scores);
    let Block { sizes: Sizes { stride, scale, heads, .. }, first, columns } = block;
    for (r, (s, stats)) in scores.chunks_exact_mut(stride).zip(stats.iter_mut().step_by(heads)).enumerate() {
        let width = first + r + 1;
        // SAFETY: the caller guarantees S's target features; a row holds all columns and their padding.
        *stats = unsafe { row::softmax::<S>(s.as_mut_ptr(), width, scale) };
        s[width..columns].fill(0.0);
    }
}

dispatch! {
    fn softmax_block_isa(block: Block, scores: &mut [f32], stats: &mut [[f32; 2]]) = softmax_block_on
}

/// [`super::attend`] for sequences of `length` rows.
pub(super) fn attend(call: Attention<'_, f32>, length: usize, y: &mut [f32], stats: &mut [[f32; 2]]) {
    let sizes = Sizes::of(&call, length);
    let Sizes { width, heads, .. } = sizes;
    let sequences = y.len() / (length * width);
    let (y, stats) = (Shared::new(y), Shared::new(stats));
    parallel_for(sequences, 1, sequences * sizes.work(2), |part| {
        for i in part {
            let rows = i * length..(i + 1) * length;
            // SAFETY: `parallel_for`'s ranges do not overlap.
            let (y, stats) = unsafe {
                (
                    y.piece(rows.start * width..rows.end * width),
                    stats.piece(rows.start * heads..rows.end * heads),
                )
            };
            attend_sequence(&call, sizes, rows.start, y, stats);
        }
    });
}

fn attend_sequence(
    call: &Attention<'_, f32>,
    sizes: Sizes,
    start: usize,
    y: &mut [f32],
    stats: &mut [[f32; 2]],
) {
    let (isa, Sizes { length, width, heads, size, stride, .. }) = (Isa::detect(), sizes);
    let qkv = &call.qkv[start * 3 * width..(start + length) * 3 * width];
    let block = BLOCK.min(length);
    with_scratch([size * stride, length * size, block * stride], |[keys, values, scores]| {
        for head in 0..heads {
            let [q, k, v] = [0, 1, 2].map(|which| &qkv[which * width + head * size..]);
            transpose_isa(isa, k, 3 * width, [length, size], keys, stride);
            copy_rows(v, 3 * width, size, values);
            for first in (0..length).step_by(block) {
                let m = block.min(length - first);
                let n = first + m;
                let scores = &mut scores[..m * stride];
                products(sizes, &q[first * 3 * width..], 3 * width, keys, [m, n], scores);
                let rows = Block { sizes, first, columns: n };
                softmax_block_isa(isa, rows, scores, &mut stats[first * heads + head..]);
                if let Some(mask) = call.dropout {
                    for (r, s) in scores.chunks_exact_mut(stride).enumerate() {
                        let position = first + r;
                        row::apply_dropout(mask.row((start + position) * heads + head), &mut s[..=position]);
                    }
                }
                product(Gemm {
                    m,
                    n: size,
                    k: n,
                    a: scores,
                    a_strides: [stride, 1],
                    b: values,
                    b_strides: [size, 1],
                    c: &mut y[first * width + head * size..],
                    c_stride: width,
                    epilogue: Epilogue::Set,
                });
            }
        }
    });
}

/// Turns scores into weights, and the products of dy with the values into the gradients of the scores; both
/// are 0 where a query does not attend.
#[inline(always)]
unsafe fn score_grads_on<S: Simd>(
    block: Block,
    scores: &mut [f32],
    d: &mut [f32],
    [y, dy]: [&[f32]; 2],
    stats: &[[f32; 2]],
    mask: Option<(DropoutMask, usize)>,
) {
    block.check(scores);
    let Block { sizes: Sizes { width, heads, size, stride, scale, .. }, first, columns } = block;
    let rows =
        scores.chunks_exact_mut(stride).zip(d.chunks_exact_mut(stride)).zip(stats.iter().step_by(heads));
    for (r, ((p, d), &stats)) in rows.enumerate() {
        let at = first + r + 1;
        let (y, dy) = (&y[r * width..][..size], &dy[r * size..][..size]);
        let mask = mask.map(|(mask, row)| mask.row(row + r * heads));
        // SAFETY: the caller guarantees S's target features; a row holds all columns and their padding, a
        // head has `size` numbers.
        unsafe {
            row::recompute_softmax::<S>(p.as_mut_ptr(), at, scale, stats);
            if let Some(mask) = mask {
                row::apply_dropout(mask, &mut d[..at]);
            }
            let mean = row::dot::<S>(y.as_ptr(), dy.as_ptr(), size);
            row::score_grads::<S>(p.as_ptr(), d.as_mut_ptr(), at, mean, scale);
        }
        if let Some(mask) = mask {
            row::apply_dropout(mask, &mut p[..at]);
        }
        p[at..columns].fill(0.0);
        d[at..columns].fill(0.0);
    }
}

dispatch! {
    fn score_grads_isa(
        block: Block, scores: &mut [f32], d: &mut [f32], results: [&[f32]; 2], stats: &[[f32; 2]],
        mask: Option<(DropoutMask, usize)>,
    ) = score_grads_on
}

/// [`super::attend_backward`] for sequences of `length` rows.
pub(super) fn attend_backward(
    call: Attention<'_, f32>,
    length: usize,
    y: &[f32],
    stats: &[[f32; 2]],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
) {
    let sizes = Sizes::of(&call, length);
    let Sizes { width, heads, .. } = sizes;
    let sequences = y.len() / (length * width);
    let dx = Shared::new(dx);
    parallel_for(sequences, 1, sequences * sizes.work(5), |part| {
        for i in part {
            let rows = i * length..(i + 1) * length;
            let stats = &stats[rows.start * heads..rows.end * heads];
            let numbers = rows.start * width..rows.end * width;
            // SAFETY: `parallel_for`'s ranges do not overlap.
            let dx = unsafe { dx.piece(3 * numbers.start..3 * numbers.end) };
            backward_sequence(&call, sizes, rows.start, [&y[numbers.clone()], &dy[numbers]], stats, dx, add);
        }
    });
}

fn backward_sequence(
    call: &Attention<'_, f32>,
    sizes: Sizes,
    start: usize,
    [y, dy]: [&[f32]; 2],
    stats: &[[f32; 2]],
    dx: &mut [f32],
    add: bool,
) {
    let (isa, Sizes { length, width, heads, size, stride, .. }) = (Isa::detect(), sizes);
    let qkv = &call.qkv[start * 3 * width..(start + length) * 3 * width];
    let (block, all) = (BLOCK.min(length), length * size);
    let lens = [size * stride, size * stride, all, all, all, all, all, block * stride, block * stride];
    with_scratch(lens, |[transposed_keys, transposed_values, qs, ks, dys, dks, dvs, p, d]| {
        for head in 0..heads {
            let [q, k, v] = [0, 1, 2].map(|which| &qkv[which * width + head * size..]);
            transpose_isa(isa, k, 3 * width, [length, size], transposed_keys, stride);
            transpose_isa(isa, v, 3 * width, [length, size], transposed_values, stride);
            copy_rows(q, 3 * width, size, qs);
            copy_rows(k, 3 * width, size, ks);
            copy_rows(&dy[head * size..], width, size, dys);
            dks.fill(0.0);
            dvs.fill(0.0);
            for first in (0..length).step_by(block) {
                let m = block.min(length - first);
                let n = first + m;
                let (p, d) = (&mut p[..m * stride], &mut d[..m * stride]);
                let (q, dy_of) = (&qs[first * size..], &dys[first * size..]);
                prefetch_isa(isa, &y[first * width + head * size..n * width], width, size);
                products(sizes, q, size, transposed_keys, [m, n], p);
                products(sizes, dy_of, size, transposed_values, [m, n], d);
                let results = [&y[first * width + head * size..], dy_of];
                let mask = call.dropout.map(|mask| (mask, (start + first) * heads + head));
                let rows = Block { sizes, first, columns: n };
                score_grads_isa(isa, rows, p, d, results, &stats[first * heads + head..], mask);
                // dq = ds k
                product(Gemm {
                    m,
                    n: size,
                    k: n,
                    a: d,
                    a_strides: [stride, 1],
                    b: ks,
                    b_strides: [size, 1],
                    c: &mut dx[first * 3 * width + head * size..],
                    c_stride: 3 * width,
                    epilogue: if add { Epilogue::Add } else { Epilogue::Set },
                });
                // dk += ds^T q, dv += p^T dy
                for (a, b, c) in [(d, q, &mut *dks), (p, dy_of, &mut *dvs)] {
                    let (a_strides, epilogue) = ([1, stride], Epilogue::Add);
                    product(Gemm {
                        m: n,
                        n: size,
                        k: m,
                        a,
                        a_strides,
                        b,
                        b_strides: [size, 1],
                        c,
                        c_stride: size,
                        epilogue,
                    });
                }
            }
            if head + 1 < heads {
                let next = (head + 1) * size;
                for which in 0..3 {
                    prefetch_isa(isa, &qkv[which * width + next..], 3 * width, size);
                }
                prefetch_isa(isa, &dy[next..], width, size);
            }
            for (which, from) in [(1, &*dks), (2, &*dvs)] {
                let to = dx[which * width + head * size..].chunks_mut(3 * width);
                for (to, from) in to.zip(from.chunks_exact(size)) {
                    match add {
                        true => to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
                        false => to[..size].copy_from_slice(from),
                    }
                }
            }
        }
    });
}
