//! Norms of rows as plain loops.

use crate::Element;
use crate::kernels::Norm;

/// Normalizes each row; `stats` gets its mean (0 if not centred) and 1 over its standard deviation.
pub fn norm_rows<E: Element>(norm: Norm<'_, E>, x: &[E], y: &mut [E], stats: &mut [[E; 2]]) {
    let Norm { width, eps, centred, weight, bias } = norm;
    let n = E::of(width as f64);
    for ((x, y), stats) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(stats) {
        let mean = if centred { x.iter().copied().sum::<E>() / n } else { E::zero() };
        let squares: E = x.iter().map(|&x| (x - mean) * (x - mean)).sum();
        let inv_std = (squares / n + eps).sqrt().recip();
        for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
            let weight = weight.map_or(E::one(), |weight| weight[i]);
            *y = weight * ((x - mean) * inv_std) + bias.map_or(E::zero(), |bias| bias[i]);
        }
        *stats = [mean, inv_std];
    }
}

/// The gradient of [`norm_rows`], written to `dx`, or added.
pub fn norm_rows_backward<E: Element>(
    norm: Norm<'_, E>,
    x: &[E],
    stats: &[[E; 2]],
    dy: &[E],
    dx: &mut [E],
    add: bool,
) {
    let Norm { width, centred, weight, .. } = norm;
    let n = E::of(width as f64);
    let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)).zip(stats);
    for (((x, dy), dx), &[mean, inv_std]) in rows {
        let arrives = |i: usize| weight.map_or(E::one(), |weight| weight[i]) * dy[i];
        let normed = |i: usize| (x[i] - mean) * inv_std;
        let mean_d = if centred { (0..width).map(arrives).sum::<E>() / n } else { E::zero() };
        let mean_product = (0..width).map(|i| arrives(i) * normed(i)).sum::<E>() / n;
        for (i, dx) in dx.iter_mut().enumerate() {
            let d = inv_std * (arrives(i) - mean_d - normed(i) * mean_product);
            *dx = if add { *dx + d } else { d };
        }
    }
}

/// Adds the gradient of the weight of [`norm_rows`].
pub fn norm_rows_weight<E: Element>(x: &[E], stats: &[[E; 2]], dy: &[E], dweight: &mut [E]) {
    let width = dweight.len();
    for ((x, dy), &[mean, inv_std]) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(stats) {
        for ((dw, &x), &dy) in dweight.iter_mut().zip(x).zip(dy) {
            *dw += dy * ((x - mean) * inv_std);
        }
    }
}
