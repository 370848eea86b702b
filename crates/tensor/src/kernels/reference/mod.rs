//! The kernels as safe plain loops.

mod attention;
mod cells;
mod norm;
mod rotary;

use super::{Activation, Epilogue, Gemm};
use crate::Element;

pub use attention::{attend, attend_backward, attend_cached};
pub use cells::{cell_backward, cell_forward};
pub use norm::{norm_rows, norm_rows_backward, norm_rows_weight};
pub use rotary::rotate;

/// How many columns of a product are summed outside of C at a time.
const PART: usize = 64;

/// A matrix product; see [`Gemm`].
pub fn gemm<E: Element>(call: Gemm<'_, E>) {
    call.check();
    let Gemm { m, n, k, a, a_strides: [ar, ac], b, b_strides: [br, bc], c, c_stride, epilogue } = call;
    if n == 0 {
        return;
    }
    for i in 0..m {
        let c = &mut c[i * c_stride..][..n];
        let add_product = |c: &mut [E], col: usize| {
            for l in 0..k {
                let a = a[i * ar + l * ac];
                let row = b[l * br + col * bc..].iter().step_by(bc);
                c.iter_mut().zip(row).for_each(|(c, &b)| *c += a * b);
            }
        };
        match epilogue {
            Epilogue::Set => c.fill(E::zero()),
            Epilogue::Bias(bias) => c.copy_from_slice(&bias[..n]),
            Epilogue::Add | Epilogue::AddBias(_) => {}
            Epilogue::AddScaled(scale) => {
                for (part, c) in c.chunks_mut(PART).enumerate() {
                    let product = &mut [E::zero(); PART][..c.len()];
                    add_product(product, part * PART);
                    add_scaled(scale, product, c);
                }
                continue;
            }
        }
        add_product(c, 0);
        if let Epilogue::AddBias(bias) = epilogue {
            c.iter_mut().zip(bias).for_each(|(c, &b)| *c += b);
        }
    }
}

/// `count` products of equal shape, one after another; in product i the operands begin at i times their
/// batch strides.
pub fn gemm_batched<E: Element>(count: usize, [a_batch, b_batch, c_batch]: [usize; 3], call: Gemm<'_, E>) {
    let Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue } = call;
    let [a_batch, b_batch] = if k == 0 { [0; 2] } else { [a_batch, b_batch] };
    for i in 0..count {
        let (a, b, c) = (&a[i * a_batch..], &b[i * b_batch..], &mut c[i * c_batch..]);
        gemm(Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride, epilogue });
    }
}

/// Does nothing: the plain loops read B as it is.
pub fn pack<E: Element>(_b: &[E], _n: usize, _to: &mut [E]) {}

/// As [`gemm`].
pub fn gemm_packed<E: Element>(call: Gemm<'_, E>, _packed: &[E]) {
    gemm(call);
}

/// As [`gemm`]: the plain loops do not split sums.
pub fn gemm_over_rows<E: Element>(call: Gemm<'_, E>) {
    gemm(call);
}

/// Applies an activation to every element.
pub fn activate<E: Element>(activation: Activation, x: &[E], y: &mut [E]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = value(activation, x));
}

/// An activation's value at `x`.
fn value<E: Element>(activation: Activation, x: E) -> E {
    match activation {
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
        Activation::GeluTanh => x * E::of(0.5) * (E::one() + gelu_angle(x).tanh()),
        Activation::SquaredRelu => {
            let positive = value(Activation::Relu, x);
            positive * positive
        }
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
        Activation::GeluTanh => {
            let tanh = gelu_angle(x).tanh();
            let slope = E::of(GELU_ANGLE) * (E::one() + E::of(3.0 * GELU_CUBE) * x * x);
            E::of(0.5) * (E::one() + tanh + x * (E::one() - tanh * tanh) * slope)
        }
        Activation::SquaredRelu => E::of(2.0) * value(Activation::Relu, x),
    }
}

/// sqrt(2 / pi), and the coefficient of x^3, in gelu's approximation.
const GELU_ANGLE: f64 = 0.797_884_560_802_865_4;
const GELU_CUBE: f64 = 0.044_715;

fn gelu_angle<E: Element>(x: E) -> E {
    E::of(GELU_ANGLE) * (x + E::of(GELU_CUBE) * x * x * x)
}

fn normal_cdf<E: Element>(x: E) -> E {
    E::of(0.5) * (E::one() + (x * E::of(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

/// The gradient of [`activate`].
pub fn activate_backward<E: Element>(kind: Activation, x: &[E], y: &[E], dy: &[E], dx: &mut [E], add: bool) {
    for (i, dx) in dx.iter_mut().enumerate() {
        let x = if kind.slope_is_of_x() { x[i] } else { E::zero() };
        let d = dy[i] * slope(kind, x, y[i]);
        *dx = if add { *dx + d } else { d };
    }
}

/// `y[i] = exp(x[i])`
pub fn exp<E: Element>(x: &[E], y: &mut [E]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = x.exp());
}

/// Each row's softmax and log-sum-exp, computed with the row's maximum subtracted so that nothing overflows.
pub fn softmax_rows<E: Element>(logits: &[E], width: usize, probs: &mut [E], lse: &mut [[E; 2]]) {
    for ((x, p), lse) in logits.chunks_exact(width).zip(probs.chunks_exact_mut(width)).zip(lse) {
        let max = x.iter().copied().fold(E::neg_infinity(), E::max);
        let mut sum = E::zero();
        for (p, &x) in p.iter_mut().zip(x) {
            *p = (x - max).exp();
            sum += *p;
        }
        p.iter_mut().for_each(|p| *p /= sum);
        *lse = [max, sum.ln()];
    }
}

/// The logarithm of each row's softmax.
pub fn log_softmax_rows<E: Element>(logits: &[E], width: usize, y: &mut [E]) {
    for (x, y) in logits.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        let max = x.iter().copied().fold(E::neg_infinity(), E::max);
        let log_sum = x.iter().map(|&x| (x - max).exp()).sum::<E>().ln();
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - max) - log_sum);
    }
}

/// `y[r] = activation(bias + sum_t table[slots[r, t]])`; not for activations whose slope is computed from x,
/// as their backward needs the sum itself.
pub fn gather_rows<E: Element>(
    table: &[E],
    bias: &[E],
    slots: &[u32],
    per_row: usize,
    activation: Option<Activation>,
    y: &mut [E],
) {
    for (y, slots) in y.chunks_exact_mut(bias.len()).zip(slots.chunks_exact(per_row)) {
        y.copy_from_slice(bias);
        for &s in slots {
            y.iter_mut().zip(&table[s as usize * bias.len()..]).for_each(|(y, &t)| *y += t);
        }
        if let Some(kind) = activation
            && !kind.slope_is_of_x()
        {
            y.iter_mut().for_each(|y| *y = value(kind, *y));
        }
    }
}

/// Adds each row of `d`, multiplied by the activation's slope, to every table row that its slots name.
pub fn scatter_rows<E: Element>(
    activation: Option<Activation>,
    v: &[E],
    d: &[E],
    width: usize,
    slots: &[u32],
    per_row: usize,
    table: &mut [E],
) {
    for (r, slots) in slots.chunks_exact(per_row).take(d.len() / width).enumerate() {
        for i in r * width..(r + 1) * width {
            let x = activation.map_or(d[i], |kind| d[i] * slope(kind, v[i], v[i]));
            for &s in slots {
                table[s as usize * width + i % width] += x;
            }
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
    for (r, from) in from.chunks_exact(cols.max(1)).take(rows).enumerate() {
        for (c, &x) in from.iter().enumerate() {
            to[c * rows + r] = x;
        }
    }
}

/// `y = x + z + bias`, row by row; rows of `x` are `stride` apart.
#[inline(always)]
pub fn add_rows<E: Element>(x: &[E], stride: usize, z: &[E], bias: &[E], y: &mut [E]) {
    let width = bias.len();
    for ((y, x), z) in y.chunks_exact_mut(width).zip(x.chunks(stride)).zip(z.chunks_exact(width)) {
        for (((y, &x), &z), &bias) in y.iter_mut().zip(x).zip(z).zip(bias) {
            *y = (x + z) + bias;
        }
    }
}

/// `y = factor x`, row by row, or with `add` `y += factor x`.
#[inline(always)]
pub fn scale_rows<E: Element>(factors: &[E], x: &[E], y: &mut [E], add: bool) {
    let width = x.len() / factors.len();
    for ((y, x), &factor) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(factors) {
        if add {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y += factor * x);
        } else {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = factor * x);
        }
    }
}

/// The count of row `i` of `rows`. For inputs (B, T, C) each of the B counts is that of T rows.
#[inline(always)]
fn count<E: Element>(counts: &[E], i: usize, rows: usize) -> E {
    if counts.is_empty() { E::one() } else { counts[i / (rows / counts.len())] }
}

/// Per channel: the mean, and the sum of squared distances from it, where row i counts `counts[i]` times
/// (once if `counts` is empty).
#[inline(always)]
pub fn channel_moments<E: Element>(x: &[E], counts: &[E], mean: &mut [E], squares: &mut [E]) {
    let c = mean.len();
    let rows = x.len() / c;
    mean.fill(E::zero());
    squares.fill(E::zero());
    let mut n = E::zero();
    for (i, x) in x.chunks_exact(c).enumerate() {
        let w = count(counts, i, rows);
        n += w;
        mean.iter_mut().zip(x).for_each(|(m, &x)| *m += w * x);
    }
    let share = n.recip();
    mean.iter_mut().for_each(|m| *m *= share);
    for (i, x) in x.chunks_exact(c).enumerate() {
        let w = count(counts, i, rows);
        for ((s, &m), &x) in squares.iter_mut().zip(&*mean).zip(x) {
            *s += w * (x - m) * (x - m);
        }
    }
}

/// `y = x scale + shift`, channel by channel.
#[inline(always)]
pub fn channel_affine<E: Element>(x: &[E], scale: &[E], shift: &[E], y: &mut [E]) {
    let c = scale.len();
    for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
        for (((y, &x), &a), &b) in y.iter_mut().zip(x).zip(scale).zip(shift) {
            *y = x * a + b;
        }
    }
}

/// Per channel: the sums of `d` and of `d (x - mean) inv_std`.
#[inline(always)]
pub fn channel_sums<E: Element>(
    x: &[E],
    d: &[E],
    mean: &[E],
    inv_std: &[E],
    sum: &mut [E],
    sum_hat: &mut [E],
) {
    let c = mean.len();
    sum.fill(E::zero());
    sum_hat.fill(E::zero());
    for (d, x) in d.chunks_exact(c).zip(x.chunks_exact(c)) {
        for ((((s, h), &d), &x), &m) in sum.iter_mut().zip(sum_hat.iter_mut()).zip(d).zip(x).zip(mean) {
            *s += d;
            *h += d * (x - m);
        }
    }
    sum_hat.iter_mut().zip(inv_std).for_each(|(h, &i)| *h *= i);
}

/// `dx = a d + count (b x + c)`, channel by channel, or added to `dx`; row i counts `counts[i]` times (once
/// if `counts` is empty).
#[inline(always)]
pub fn channel_backward<E: Element>(
    x: &[E],
    d: &[E],
    counts: &[E],
    [a, b, c]: [&[E]; 3],
    dx: &mut [E],
    add: bool,
) {
    let channels = a.len();
    let rows = x.len() / channels;
    let lines = dx.chunks_exact_mut(channels).zip(d.chunks_exact(channels)).zip(x.chunks_exact(channels));
    for (i, ((dx, d), x)) in lines.enumerate() {
        let w = count(counts, i, rows);
        if !add {
            dx.fill(E::zero());
        }
        for (((((dx, &d), &x), &a), &b), &c) in dx.iter_mut().zip(d).zip(x).zip(a).zip(b).zip(c) {
            *dx += a * d + w * (b * x + c);
        }
    }
}

/// `v = momentum v + g + decay p; p -= lr v`
#[inline(always)]
pub fn momentum_step<E: Element>([lr, momentum, decay]: [E; 3], g: &[E], v: &mut [E], p: &mut [E]) {
    for ((p, &g), v) in p.iter_mut().zip(g).zip(v) {
        *v = momentum * *v + (g + decay * *p);
        *p -= lr * *v;
    }
}

/// `m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2; p = p keep - size m / (sqrt(v) / root + eps)`, with the
/// rates keep, size, root, 1 - beta1, beta2, 1 - beta2, eps.
#[inline(always)]
pub fn adamw_step<E: Element>(
    [keep, size, root, new1, beta2, new2, eps]: [E; 7],
    g: &[E],
    m: &mut [E],
    v: &mut [E],
    p: &mut [E],
) {
    for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        *m += new1 * (g - *m);
        *v = beta2 * *v + new2 * g * g;
        *p = *p * keep - size * *m / (v.sqrt() / root + eps);
    }
}
