//! Attention as plain loops; scores are recomputed wherever they are needed.

use crate::Element;
use crate::kernels::{Attention, Cache};

fn dot<E: Element>(a: &[E], b: &[E]) -> E {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}

/// `y += factor x`
fn add<E: Element>(factor: E, x: &[E], y: &mut [E]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y += factor * x);
}

/// One head of one row.
struct Head<'a, E> {
    call: Attention<'a, E>,
    row: usize,
    head: usize,
    size: usize,
}

impl<'a, E: Element> Head<'a, E> {
    /// Calls `f` for each row and head.
    fn each(call: Attention<'a, E>, mut f: impl FnMut(Self)) {
        let size = call.width / call.heads;
        for row in 0..call.qkv.len() / (3 * call.width) {
            (0..call.heads).for_each(|head| f(Head { call, row, head, size }));
        }
    }

    /// Where in `qkv` this head's query of `row` begins; its key for `part` 1, its value for 2.
    fn at(&self, row: usize, part: usize) -> usize {
        (3 * row + part) * self.call.width + self.head * self.size
    }

    fn part(&self, row: usize, part: usize) -> &'a [E] {
        &self.call.qkv[self.at(row, part)..][..self.size]
    }

    /// The range of this row's head in rows of C numbers.
    fn range(&self) -> std::ops::Range<usize> {
        let at = self.row * self.call.width + self.head * self.size;
        at..at + self.size
    }

    fn scale(&self) -> E {
        E::of(self.size as f64).sqrt().recip()
    }

    /// Calls `f` for each row that this one attends to, with its scaled score and the dropout factor of its weight.
    fn each_score(&self, mut f: impl FnMut(usize, E, E)) {
        let rows = self.call.causal_rows;
        let mask = self.call.dropout.map(|mask| mask.row(self.row * self.call.heads + self.head));
        let mut row = self.row;
        for position in (0..=rows.position(self.row)).rev() {
            let score = dot(self.part(self.row, 0), self.part(row, 1)) * self.scale();
            let factor = match mask {
                None => E::one(),
                Some(mask) if mask.keeps(position) => E::of(mask.scale),
                Some(_) => E::zero(),
            };
            f(row, score, factor);
            if position > 0 {
                row = rows.previous(row);
            }
        }
    }
}

/// Writes each row's attention to `y`. Per row and head, `stats` gets the largest score m and
/// `1 / sum exp(score - m)`.
pub fn attend<E: Element>(call: Attention<'_, E>, y: &mut [E], stats: &mut [[E; 2]]) {
    Head::each(call, |head| {
        let mut max = E::neg_infinity();
        head.each_score(|_, score, _| max = max.max(score));
        let mut sum = E::zero();
        head.each_score(|_, score, _| sum += (score - max).exp());
        let (y, share) = (&mut y[head.range()], sum.recip());
        y.fill(E::zero());
        head.each_score(|row, score, factor| add((score - max).exp() * share * factor, head.part(row, 2), y));
        stats[head.row * call.heads + head.head] = [max, share];
    });
}

/// Writes the gradient of [`attend`] to `dx`, or adds it, given its results and their gradient `dy`.
pub fn attend_backward<E: Element>(
    call: Attention<'_, E>,
    y: &[E],
    stats: &[[E; 2]],
    dy: &[E],
    dx: &mut [E],
    add_to_dx: bool,
) {
    if !add_to_dx {
        dx.fill(E::zero());
    }
    Head::each(call, |head| {
        let [max, share] = stats[head.row * call.heads + head.head];
        let (y, dy) = (&y[head.range()], &dy[head.range()]);
        let mean = dot(dy, y);
        head.each_score(|row, score, factor| {
            let p = (score - max).exp() * share;
            let ds = p * (factor * dot(dy, head.part(row, 2)) - mean) * head.scale();
            let mut add_to =
                |row, part, factor, x| add(factor, x, &mut dx[head.at(row, part)..][..head.size]);
            add_to(head.row, 0, ds, head.part(row, 1));
            add_to(row, 1, ds, head.part(head.row, 0));
            add_to(row, 2, p * factor, dy);
        });
    });
}

/// Writes the attention of the newest row of each sequence, given the keys and values of the earlier rows.
pub fn attend_cached<E: Element>(qkv: &[E], width: usize, heads: usize, cache: Cache<'_, E>, y: &mut [E]) {
    let size = width / heads;
    let scale = E::of(size as f64).sqrt().recip();
    let most = if cache.lengths.is_empty() { 0 } else { cache.keys.len() / width / cache.lengths.len() };
    for (row, &length) in cache.lengths.iter().enumerate() {
        for at in (0..width).step_by(size) {
            let own = |part: usize| &qkv[(3 * row + part) * width + at..][..size];
            let kept = |j: usize| (row * most + j) * width + at..(row * most + j) * width + at + size;
            let score = |j: usize| {
                let key = if j < length as usize { &cache.keys[kept(j)] } else { own(1) };
                dot(own(0), key) * scale
            };
            let all = 0..=length as usize;
            let max = all.clone().map(score).fold(E::neg_infinity(), E::max);
            let sum: E = all.clone().map(|j| (score(j) - max).exp()).sum();
            let y = &mut y[row * width + at..][..size];
            y.fill(E::zero());
            for j in all {
                let value = if j < length as usize { &cache.values[kept(j)] } else { own(2) };
                add((score(j) - max).exp() / sum, value, y);
            }
        }
    }
}
