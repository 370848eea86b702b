//! Sums in independent lanes, which the compiler can vectorize.

use crate::Element;

const LANES: usize = 16;

/// The sum of `x`.
pub(super) fn sum<E: Element>(x: &[E]) -> E {
    let mut lanes = [E::zero(); LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().sum::<E>();
    for x in chunks {
        lanes.iter_mut().zip(x).for_each(|(lane, &x)| *lane += x);
    }
    lanes.into_iter().sum::<E>() + rest
}

/// The sum of the products of `a` and `b`.
pub(super) fn dot<E: Element>(a: &[E], b: &[E]) -> E {
    let mut lanes = [E::zero(); LANES];
    let (xs, ys) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = xs.remainder().iter().zip(ys.remainder()).map(|(&a, &b)| a * b).sum::<E>();
    for (a, b) in xs.zip(ys) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (&a, &b))| *lane += a * b);
    }
    lanes.into_iter().sum::<E>() + rest
}
