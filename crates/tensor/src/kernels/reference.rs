//! The kernels as plain loops: their safe twins.

use super::{Activation, Gemm};
use crate::Element;

/// C = A B, or C += A B, with a bias added to every row.
pub fn gemm<E: Element>(call: Gemm<'_, E>) {
    call.check();
    let Gemm { m, n, k, a, a_strides: [ar, ac], b, b_stride, c, c_stride, bias, add } = call;
    for i in 0..m {
        let c = &mut c[i * c_stride..][..n];
        if !add {
            c.fill(E::zero());
        }
        if let Some(bias) = bias {
            c.iter_mut().zip(bias).for_each(|(c, &b)| *c += b);
        }
        for l in 0..k {
            let a = a[i * ar + l * ac];
            c.iter_mut().zip(&b[l * b_stride..]).for_each(|(c, &b)| *c += a * b);
        }
    }
}

/// Applies an activation to every element.
pub fn activate<E: Element>(activation: Activation, x: &[E], y: &mut [E]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = match activation {
            Activation::Tanh => x.tanh(),
            Activation::Relu => {
                if x > E::zero() || x.is_nan() {
                    x
                } else {
                    E::zero()
                }
            }
            Activation::Gelu => x * normal_cdf(x),
            Activation::Sigmoid => (E::one() + (-x).exp()).recip(),
        };
    }
}

/// An activation's derivative at `x`, where its value is `y`.
pub fn slope<E: Element>(activation: Activation, x: E, y: E) -> E {
    match activation {
        Activation::Tanh => E::one() - y * y,
        Activation::Relu => {
            if y > E::zero() {
                E::one()
            } else {
                E::zero()
            }
        }
        Activation::Gelu => normal_cdf(x) + x * (E::of(-0.5) * x * x).exp() * E::of(0.398_942_280_401_432_7),
        Activation::Sigmoid => y * (E::one() - y),
    }
}

fn normal_cdf<E: Element>(x: E) -> E {
    E::of(0.5) * (E::one() + (x * E::of(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

/// The gradient of [`activate`].
pub fn activate_backward<E: Element>(kind: Activation, x: &[E], y: &[E], dy: &[E], dx: &mut [E], add: bool) {
    for (i, dx) in dx.iter_mut().enumerate() {
        let x = if kind == Activation::Gelu { x[i] } else { E::zero() };
        let d = dy[i] * slope(kind, x, y[i]);
        *dx = if add { *dx + d } else { d };
    }
}

/// `y[i] = exp(x[i])`
pub fn exp<E: Element>(x: &[E], y: &mut [E]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = x.exp());
}

/// Each row's softmax and log-sum-exp, shifted by the row's maximum so that nothing overflows.
pub fn softmax_rows<E: Element>(logits: &[E], width: usize, probs: &mut [E], lse: &mut [E]) {
    for ((x, p), lse) in logits.chunks_exact(width).zip(probs.chunks_exact_mut(width)).zip(lse) {
        let max = x.iter().copied().fold(E::neg_infinity(), E::max);
        let mut sum = E::zero();
        for (p, &x) in p.iter_mut().zip(x) {
            *p = (x - max).exp();
            sum += *p;
        }
        p.iter_mut().for_each(|p| *p /= sum);
        *lse = max + sum.ln();
    }
}

/// `y[r] = activation(bias + sum_t table[slots[r, t]])`; gelu is left out, its backward needs the sum itself.
pub fn gather_rows<E: Element>(
    table: &[E],
    bias: &[E],
    slots: &[u32],
    per_row: usize,
    activation: Option<Activation>,
    y: &mut [E],
) {
    let width = bias.len();
    let mut sum = vec![E::zero(); width];
    for (y, slots) in y.chunks_exact_mut(width).zip(slots.chunks_exact(per_row)) {
        sum.copy_from_slice(bias);
        for &s in slots {
            sum.iter_mut().zip(&table[s as usize * width..]).for_each(|(y, &t)| *y += t);
        }
        match activation {
            Some(Activation::Gelu) | None => y.copy_from_slice(&sum),
            Some(kind) => activate(kind, &sum, y),
        }
    }
}

/// Adds each row of `d` to every row of the table that its slots name.
pub fn scatter_rows<E: Element>(d: &[E], width: usize, slots: &[u32], per_row: usize, table: &mut [E]) {
    for (d, slots) in d.chunks_exact(width).zip(slots.chunks_exact(per_row)) {
        for &s in slots {
            add_scaled(E::one(), d, &mut table[s as usize * width..][..width]);
        }
    }
}

/// Adds every row of `d` to `sum`.
pub fn sum_rows<E: Element>(d: &[E], sum: &mut [E]) {
    for d in d.chunks_exact(sum.len()) {
        add_scaled(E::one(), d, sum);
    }
}

/// `y += scale x`
pub fn add_scaled<E: Element>(scale: E, x: &[E], y: &mut [E]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y += scale * x);
}

/// The transpose of a (rows, cols) matrix.
pub fn transpose<E: Element>(from: &[E], rows: usize, cols: usize, to: &mut [E]) {
    for (r, from) in from.chunks_exact(cols).take(rows).enumerate() {
        for (c, &x) in from.iter().enumerate() {
            to[c * rows + r] = x;
        }
    }
}

/// C = A B^T (or C += A B^T), for contiguous A (m, k), B (n, k), C (m, n).
pub fn gemm_nt<E: Element>([m, n, k]: [usize; 3], a: &[E], b: &[E], c: &mut [E], add: bool) {
    for (c, a) in c.chunks_exact_mut(n).zip(a.chunks_exact(k)).take(m) {
        for (c, b) in c.iter_mut().zip(b.chunks_exact(k)) {
            let dot = a.iter().zip(b).map(|(&a, &b)| a * b).sum();
            *c = if add { *c + dot } else { dot };
        }
    }
}
