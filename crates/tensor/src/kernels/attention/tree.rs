//! Attention in trees: node by node, from each to its children, with the keys and values of the path at hand.

use super::room::with_room;
use super::row::{self, Turned, attend_row, push};
use super::{Attention, Tree};
use crate::kernels::pool::split;
use crate::kernels::simd::Simd;
use crate::kernels::team::Shared;
use crate::kernels::{Isa, dispatch};
use crate::rng::DropoutMask;
use std::ops::Range;

/// Some heads of all nodes.
struct Part<'a> {
    call: Attention<'a, f32>,
    tree: &'a Tree,
    heads: Range<usize>,
    /// How many numbers a head has.
    size: usize,
    /// How much room a path's scores take.
    step: usize,
    scale: f32,
}

impl<'a> Part<'a> {
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
            step: row::room(tree.deepest() + 1),
            scale: 1.0 / (size as f32).sqrt(),
        }
    }

    /// How many numbers its heads have.
    fn width(&self) -> usize {
        self.heads.len() * self.size
    }

    fn turned(&self, start: *const f32) -> Turned {
        Turned { start, step: self.step, size: self.size, heads: self.heads.len() }
    }

    /// Where its heads' queries begin in the node's row; keys and values lie C and 2C further.
    fn at(&self, node: usize) -> usize {
        node * 3 * self.call.width + self.heads.start * self.size
    }

    /// The mask of a node's first head.
    fn mask(&self, node: usize) -> Option<(DropoutMask, usize)> {
        self.call.dropout.map(|mask| (mask, node * self.call.heads + self.heads.start))
    }
}

/// Calls `f` for the heads that each thread has.
fn each_part(call: Attention<'_, f32>, tree: &Tree, products: usize, f: impl Fn(Part<'_>) + Sync) {
    let work = tree.pairs() * (2 * products * call.width + 20 * call.heads);
    split(call.heads, 1, work, |heads| f(Part::new(call, tree, heads)));
}

#[inline(always)]
unsafe fn attend_on<S: Simd>(
    part: &Part<'_>,
    y: Shared<f32>,
    stats: Shared<[f32; 2]>,
    room: [&mut [f32]; 3],
) {
    let ([keys, values, scores], width, all) = (room, part.width(), part.call.width);
    let (rows, heads) = (part.tree.rows(), part.call.heads);
    assert!(y.holds(0, rows * all) && stats.holds(0, rows * heads), "a row of results for each node");
    assert!(keys.len().min(values.len()) >= width * part.step, "room for a path");
    for (node, depth) in part.tree.visits() {
        // SAFETY: the caller guarantees S's target features. The node is one of the tree's, so its row lies in `qkv`, and its
        // results, which no other thread's heads have, in `y` and `stats`; its depth is below the step.
        unsafe {
            let from = part.call.qkv.as_ptr().add(part.at(node));
            push(from.add(all), width, keys.as_mut_ptr(), part.step, depth);
            from.add(2 * all).copy_to_nonoverlapping(values.as_mut_ptr().add(depth * width), width);
            attend_row::<S>(
                from,
                part.turned(keys.as_ptr()),
                values.as_ptr(),
                depth + 1,
                part.scale,
                part.mask(node),
                scores,
                y.start().add(node * all + part.heads.start * part.size),
                stats.start().add(node * heads + part.heads.start),
            );
        }
    }
}

dispatch! {
    fn attend_isa(part: &Part<'_>, y: Shared<f32>, stats: Shared<[f32; 2]>, room: [&mut [f32]; 3]) = attend_on
}

/// [`super::attend`] for the nodes of trees.
pub(super) fn attend(call: Attention<'_, f32>, tree: &Tree, y: &mut [f32], stats: &mut [[f32; 2]]) {
    let (y, stats) = (Shared::new(y), Shared::new(stats));
    each_part(call, tree, 2, |part| {
        let path = part.width() * part.step;
        with_room([path, path, part.heads.len() * part.step], |room| {
            attend_isa(Isa::detect(), &part, y, stats, room);
        });
    });
}

#[inline(always)]
unsafe fn backward_on<S: Simd>(
    part: &Part<'_>,
    [y, dy]: [&[f32]; 2],
    stats: &[[f32; 2]],
    dx: Shared<f32>,
    room: [&mut [f32]; 4],
) {
    let ([keys, values, p, d], width, all) = (room, part.width(), part.call.width);
    let (rows, heads, size, step) = (part.tree.rows(), part.call.heads, part.size, part.step);
    assert!(
        y.len().min(dy.len()) >= rows * all && stats.len() >= rows * heads,
        "a row of results for each node"
    );
    assert!(dx.holds(0, rows * 3 * all), "a row of gradients for each node");
    assert!(keys.len().min(values.len()) >= width * step, "room for a path");
    assert!(p.len().min(d.len()) >= part.heads.len() * step, "a row of scores for each head");
    for (node, depth) in part.tree.visits() {
        let at = node * all + part.heads.start * size;
        let (y, dy) = (&y[at..at + width], &dy[at..at + width]);
        // SAFETY: the caller guarantees S's target features. The node and its ancestors are of the tree, so their rows lie in
        // `qkv` and in `dx`, of which no other thread has these heads; its depth is below the step.
        unsafe {
            let from = part.call.qkv.as_ptr().add(part.at(node));
            push(from.add(all), width, keys.as_mut_ptr(), step, depth);
            push(from.add(2 * all), width, values.as_mut_ptr(), step, depth);
            row::products::<S>(from, part.turned(keys.as_ptr()), depth + 1, p.as_mut_ptr());
            row::products::<S>(dy.as_ptr(), part.turned(values.as_ptr()), depth + 1, d.as_mut_ptr());
            let rows = p.chunks_exact_mut(step).zip(d.chunks_exact_mut(step)).take(part.heads.len());
            for (head, (p, d)) in rows.enumerate() {
                let stats = stats[node * heads + part.heads.start + head];
                row::weigh_again::<S>(p.as_mut_ptr(), depth + 1, part.scale, stats);
                let mask = part.mask(node).map(|(mask, row)| mask.row(row + head));
                if let Some(mask) = mask {
                    row::drop_weights(mask, &mut d[..=depth]);
                }
                let mean = row::dot::<S>(y.as_ptr().add(head * size), dy.as_ptr().add(head * size), size);
                row::slopes::<S>(p.as_ptr(), d.as_mut_ptr(), depth + 1, mean, part.scale);
                if let Some(mask) = mask {
                    row::drop_weights(mask, &mut p[..=depth]);
                }
            }
            let mut ancestor = node;
            for place in (0..=depth).rev() {
                spread::<S>(part, [node, ancestor], place, [&*p, &*d], dy, dx);
                ancestor = part.tree.parent(ancestor);
            }
        }
    }
}

/// Adds what passes between a node and one of its ancestors: `dq += ds k, dk += ds q, dv += p dy`.
///
/// # Safety
/// As in [`backward_on`].
#[inline(always)]
unsafe fn spread<S: Simd>(
    part: &Part<'_>,
    [node, ancestor]: [usize; 2],
    place: usize,
    [p, d]: [&[f32]; 2],
    dy: &[f32],
    dx: Shared<f32>,
) {
    let (all, size) = (part.call.width, part.size);
    // SAFETY: the caller's promise; every access ends in its head.
    unsafe {
        let (q, k) =
            (part.call.qkv.as_ptr().add(part.at(node)), part.call.qkv.as_ptr().add(part.at(ancestor) + all));
        let (dq, dk) = (dx.start().add(part.at(node)), dx.start().add(part.at(ancestor) + all));
        let dv = dk.add(all);
        for head in 0..part.heads.len() {
            let (p, ds) = (S::splat(p[head * part.step + place]), S::splat(d[head * part.step + place]));
            let mut at = head * size;
            let end = at + size;
            while at + S::LANES <= end {
                S::store(dq.add(at), S::fma(ds, S::load(k.add(at)), S::load(dq.add(at))));
                S::store(dk.add(at), S::fma(ds, S::load(q.add(at)), S::load(dk.add(at))));
                S::store(dv.add(at), S::fma(p, S::load(dy.as_ptr().add(at)), S::load(dv.add(at))));
                at += S::LANES;
            }
            if at < end {
                let n = end - at;
                for (factor, x, to) in [(ds, k, dq), (ds, q, dk), (p, dy.as_ptr(), dv)] {
                    let (x, to) = (x.add(at), to.add(at));
                    S::store_head(to, n, S::fma(factor, S::load_head(x, n), S::load_head(to, n)));
                }
            }
        }
    }
}

dispatch! {
    fn backward_isa(
        part: &Part<'_>, results: [&[f32]; 2], stats: &[[f32; 2]], dx: Shared<f32>, room: [&mut [f32]; 4],
    ) = backward_on
}

/// [`super::attend_backward`] for the nodes of trees, which adds.
pub(super) fn attend_backward(
    call: Attention<'_, f32>,
    tree: &Tree,
    y: &[f32],
    stats: &[[f32; 2]],
    dy: &[f32],
    dx: &mut [f32],
) {
    let dx = Shared::new(dx);
    each_part(call, tree, 5, |part| {
        let (path, rows) = (part.width() * part.step, part.heads.len() * part.step);
        with_room([path, path, rows, rows], |room| {
            backward_isa(Isa::detect(), &part, [y, dy], stats, dx, room);
        });
    });
}
