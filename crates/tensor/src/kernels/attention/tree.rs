//! Attention in trees: node by node in depth-first order, with the keys and values of the present path at
//! hand.

use super::row::{self, Transposed, attend_row, write_column};
use super::{Attention, Tree, with_scratch};
use crate::kernels::pool::parallel_for;
use crate::kernels::simd::{Arithmetic, Several, Simd};
use crate::kernels::team::Shared;
use crate::kernels::{Isa, dispatch};
use crate::rng::DropoutMask;
use std::ops::Range;

/// Some of the heads, in all nodes: the share of a thread.
struct HeadGroup<'a> {
    call: Attention<'a, f32>,
    tree: &'a Tree,
    heads: Range<usize>,
    /// The size of a head.
    size: usize,
    /// The row stride of scores and of transposed keys: the length of the longest path, padded.
    stride: usize,
    scale: f32,
}

impl<'a> HeadGroup<'a> {
    fn new(call: Attention<'a, f32>, tree: &'a Tree, heads: Range<usize>) -> Self {
        let size = call.width / call.heads;
        assert!(
            call.qkv.len() >= tree.rows() * 3 * call.width && heads.end <= call.heads,
            "rows of all nodes"
        );
        Self {
            call,
            tree,
            heads,
            size,
            stride: row::padded(tree.deepest() + 1),
            scale: 1.0 / (size as f32).sqrt(),
        }
    }

    /// The total size of its heads.
    fn width(&self) -> usize {
        self.heads.len() * self.size
    }

    fn transposed(&self, start: *const f32) -> Transposed {
        Transposed { start, stride: self.stride, size: self.size, heads: self.heads.len() }
    }

    /// Where its heads' queries begin in the node's row; keys and values are C and 2C further on.
    fn at(&self, node: usize) -> usize {
        node * 3 * self.call.width + self.heads.start * self.size
    }

    /// The dropout mask and the mask row of a node's first head.
    fn mask(&self, node: usize) -> Option<(DropoutMask, usize)> {
        self.call.dropout.map(|mask| (mask, node * self.call.heads + self.heads.start))
    }
}

/// Calls `f` for the heads of each thread.
fn each_group(call: Attention<'_, f32>, tree: &Tree, products: usize, f: impl Fn(HeadGroup<'_>) + Sync) {
    let work = tree.pairs() * (2 * products * call.width + 20 * call.heads);
    parallel_for(call.heads, 1, work, |heads| f(HeadGroup::new(call, tree, heads)));
}

/// # Safety
/// S's target features hold; `y` and `stats` are still borrowed, and no other thread has the group's heads.
#[inline(always)]
unsafe fn attend_on<S: Simd>(
    group: &HeadGroup<'_>,
    y: Shared<f32>,
    stats: Shared<[f32; 2]>,
    scratch: [&mut [f32]; 3],
) {
    let ([keys, values, scores], width, all) = (scratch, group.width(), group.call.width);
    let (rows, heads) = (group.tree.rows(), group.call.heads);
    assert!(y.holds(0, rows * all) && stats.holds(0, rows * heads), "a row of results for each node");
    assert!(keys.len().min(values.len()) >= width * group.stride, "keys and values of a path");
    for (node, depth) in group.tree.visits() {
        // SAFETY: the caller's promise. The node is one of the tree's, so its row lies in `qkv`, and its
        // results in `y` and `stats`; its depth is below the stride.
        unsafe {
            let from = group.call.qkv.as_ptr().add(group.at(node));
            write_column(from.add(all), width, keys.as_mut_ptr(), group.stride, depth);
            from.add(2 * all).copy_to_nonoverlapping(values.as_mut_ptr().add(depth * width), width);
            attend_row::<S>(
                from,
                group.transposed(keys.as_ptr()),
                values.as_ptr(),
                depth + 1,
                group.scale,
                group.mask(node),
                scores,
                y.start().add(node * all + group.heads.start * group.size),
                stats.start().add(node * heads + group.heads.start),
            );
        }
    }
}

dispatch! {
    fn attend_isa(
        group: &HeadGroup<'_>, y: Shared<f32>, stats: Shared<[f32; 2]>, scratch: [&mut [f32]; 3],
    ) = attend_on
}

/// [`super::attend`] for the nodes of trees.
pub(super) fn attend(call: Attention<'_, f32>, tree: &Tree, y: &mut [f32], stats: &mut [[f32; 2]]) {
    let (y, stats) = (Shared::new(y), Shared::new(stats));
    each_group(call, tree, 2, |group| {
        let path = group.width() * group.stride;
        with_scratch([path, path, group.heads.len() * group.stride], |scratch| {
            // `y` and `stats` are borrowed until `each_group` returns, and its groups have different heads.
            attend_isa(Isa::detect(), &group, y, stats, scratch);
        });
    });
}

/// # Safety
/// S's target features hold; `dx` is still borrowed, and no other thread has the group's heads.
#[inline(always)]
unsafe fn backward_on<S: Simd>(
    group: &HeadGroup<'_>,
    [y, dy]: [&[f32]; 2],
    stats: &[[f32; 2]],
    dx: Shared<f32>,
    scratch: [&mut [f32]; 4],
) {
    let ([keys, values, p, d], width, all) = (scratch, group.width(), group.call.width);
    let (rows, heads, size, stride) = (group.tree.rows(), group.call.heads, group.size, group.stride);
    assert!(
        y.len().min(dy.len()) >= rows * all && stats.len() >= rows * heads,
        "a row of results for each node"
    );
    assert!(dx.holds(0, rows * 3 * all), "a row of gradients for each node");
    assert!(keys.len().min(values.len()) >= width * stride, "keys and values of a path");
    assert!(p.len().min(d.len()) >= group.heads.len() * stride, "a row of scores for each head");
    for (node, depth) in group.tree.visits() {
        let at = node * all + group.heads.start * size;
        let (y, dy) = (&y[at..at + width], &dy[at..at + width]);
        // SAFETY: the caller's promise. The node and its ancestors are of the tree, so their rows lie in
        // `qkv` and in `dx`; its depth is below the stride.
        unsafe {
            let from = group.call.qkv.as_ptr().add(group.at(node));
            write_column(from.add(all), width, keys.as_mut_ptr(), stride, depth);
            write_column(from.add(2 * all), width, values.as_mut_ptr(), stride, depth);
            row::products::<S>(from, group.transposed(keys.as_ptr()), depth + 1, p.as_mut_ptr());
            row::products::<S>(dy.as_ptr(), group.transposed(values.as_ptr()), depth + 1, d.as_mut_ptr());
            let rows = p.chunks_exact_mut(stride).zip(d.chunks_exact_mut(stride)).take(group.heads.len());
            for (head, (p, d)) in rows.enumerate() {
                let stats = stats[node * heads + group.heads.start + head];
                row::recompute_softmax::<S>(p.as_mut_ptr(), depth + 1, group.scale, stats);
                let mask = group.mask(node).map(|(mask, row)| mask.row(row + head));
                if let Some(mask) = mask {
                    row::apply_dropout(mask, &mut d[..=depth]);
                }
                let mean = row::dot::<S>(y.as_ptr().add(head * size), dy.as_ptr().add(head * size), size);
                row::score_grads::<S>(p.as_ptr(), d.as_mut_ptr(), depth + 1, mean, group.scale);
                if let Some(mask) = mask {
                    row::apply_dropout(mask, &mut p[..=depth]);
                }
            }
            for head in 0..group.heads.len() {
                let row = head * group.stride..(head + 1) * group.stride;
                add_grads::<S>(group, node, [head, depth], [&p[row.clone()], &d[row]], dy, dx);
            }
        }
    }
}

/// Adds the gradients between a node and its ancestors in one head: `dq += ds k, dk += ds q, dv += p dy`.
///
/// # Safety
/// As in [`backward_on`]; the node is of the group's tree and has `depth` ancestors, for each of which and
/// for itself there are weights, and `dy` has the columns of all of the group's heads.
#[inline(always)]
unsafe fn add_grads<S: Simd>(
    group: &HeadGroup<'_>,
    node: usize,
    [head, depth]: [usize; 2],
    weights: [&[f32]; 2],
    dy: &[f32],
    dx: Shared<f32>,
) {
    let (mut at, end) = (head * group.size, (head + 1) * group.size);
    // SAFETY: the caller's promise; the columns are the head's.
    unsafe {
        while at + 2 * S::LANES <= end {
            add_grads_of_columns::<S, 2>(group, node, depth, [at, 2 * S::LANES], weights, dy, dx);
            at += 2 * S::LANES;
        }
        while at < end {
            let n = (end - at).min(S::LANES);
            add_grads_of_columns::<S, 1>(group, node, depth, [at, n], weights, dy, dx);
            at += n;
        }
    }
}

/// As [`add_grads`] for `n` columns from `at` on: `W` whole vectors, or less than one. The node's own numbers
/// stay in registers for all ancestors.
///
/// # Safety
/// As in [`add_grads`]; the columns are of one head.
#[inline(always)]
unsafe fn add_grads_of_columns<S: Simd, const W: usize>(
    group: &HeadGroup<'_>,
    node: usize,
    depth: usize,
    [at, n]: [usize; 2],
    [p, ds]: [&[f32]; 2],
    dy: &[f32],
    dx: Shared<f32>,
) {
    let (all, qkv, dx) = (group.call.width, group.call.qkv.as_ptr(), dx.start());
    // SAFETY: the caller's promise; every access ends in its columns.
    unsafe {
        let own = group.at(node) + at;
        let (q, dy) = (load::<S, W>(qkv.add(own), n), load::<S, W>(dy.as_ptr().add(at), n));
        let mut dq = load::<S, W>(dx.add(own), n);
        let mut ancestor = node;
        for position in (0..=depth).rev() {
            let key = group.at(ancestor) + all + at;
            let (dk, dv) = (dx.add(key), dx.add(key + all));
            let (p, ds) = (Several::<S, W>::splat(p[position]), Several::<S, W>::splat(ds[position]));
            dq = Several::<S, W>::fma(ds, load::<S, W>(qkv.add(key), n), dq);
            store::<S, W>(dk, n, Several::<S, W>::fma(ds, q, load::<S, W>(dk, n)));
            store::<S, W>(dv, n, Several::<S, W>::fma(p, dy, load::<S, W>(dv, n)));
            ancestor = group.tree.parent(ancestor);
        }
        store::<S, W>(dx.add(own), n, dq);
    }
}

/// Loads `n` numbers: `W` whole vectors, or less than one, padded with zeros.
///
/// # Safety
/// S's target features hold; the numbers lie at `p`.
#[inline(always)]
unsafe fn load<S: Simd, const W: usize>(p: *const f32, n: usize) -> [S::V; W] {
    // SAFETY: the caller's promise.
    unsafe { if n == W * S::LANES { Several::<S, W>::load(p) } else { [S::load_head(p, n); W] } }
}

/// Stores the first `n` numbers of `v`, as [`load`] reads them.
///
/// # Safety
/// As for [`load`].
#[inline(always)]
unsafe fn store<S: Simd, const W: usize>(p: *mut f32, n: usize, v: [S::V; W]) {
    // SAFETY: the caller's promise.
    unsafe { if n == W * S::LANES { Several::<S, W>::store(p, v) } else { S::store_head(p, n, v[0]) } }
}

dispatch! {
    fn backward_isa(
        group: &HeadGroup<'_>, results: [&[f32]; 2], stats: &[[f32; 2]], dx: Shared<f32>, scratch: [&mut [f32]; 4],
    ) = backward_on
}

/// [`super::attend_backward`] for the nodes of trees; always adds.
pub(super) fn attend_backward(
    call: Attention<'_, f32>,
    tree: &Tree,
    y: &[f32],
    stats: &[[f32; 2]],
    dy: &[f32],
    dx: &mut [f32],
) {
    let dx = Shared::new(dx);
    each_group(call, tree, 5, |group| {
        let (path, rows) = (group.width() * group.stride, group.heads.len() * group.stride);
        with_scratch([path, path, rows, rows], |scratch| {
            // As in `attend`, for `dx`.
            backward_isa(Isa::detect(), &group, [y, dy], stats, dx, scratch);
        });
    });
}
