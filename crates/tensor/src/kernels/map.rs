//! Functions of every element of a slice.

use super::simd::Simd;
use super::{Activation, Isa, dispatch, math};

/// `y[i] = f(x[i])`, with the last few elements in one masked vector.
#[inline(always)]
unsafe fn map<S: Simd>(x: &[f32], y: &mut [f32], f: impl Fn(S::V) -> S::V) {
    let n = x.len().min(y.len());
    let (x, y) = (x.as_ptr(), y.as_mut_ptr());
    let mut i = 0;
    // SAFETY: the caller guarantees S's target features; i + LANES <= n, and the last access stops at n.
    unsafe {
        while i + S::LANES <= n {
            S::store(y.add(i), f(S::load(x.add(i))));
            i += S::LANES;
        }
        if i < n {
            S::store_head(y.add(i), n - i, f(S::load_head(x.add(i), n - i)));
        }
    }
}

#[inline(always)]
unsafe fn activate_on<S: Simd>(activation: Activation, x: &[f32], y: &mut [f32]) {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        match activation {
            Activation::Tanh => map::<S>(x, y, |x| math::tanh::<S>(x)),
            Activation::Relu => map::<S>(x, y, |x| S::max(S::splat(0.0), x)),
            Activation::Gelu => map::<S>(x, y, |x| S::mul(x, math::normal_cdf::<S>(x))),
            Activation::Sigmoid => map::<S>(x, y, |x| math::sigmoid::<S>(x)),
        }
    }
}

dispatch! {
    fn activate_isa(activation: Activation, x: &[f32], y: &mut [f32]) = activate_on
}

/// Applies `activation` to every element of `x`.
pub fn activate(activation: Activation, x: &[f32], y: &mut [f32]) {
    activate_isa(Isa::detect(), activation, x, y);
}

#[inline(always)]
unsafe fn exp_on<S: Simd>(x: &[f32], y: &mut [f32]) {
    // SAFETY: the caller guarantees S's target features.
    unsafe { map::<S>(x, y, |x| math::exp::<S>(x)) }
}

dispatch! {
    fn exp_isa(x: &[f32], y: &mut [f32]) = exp_on
}

/// `y[i] = exp(x[i])`.
pub fn exp(x: &[f32], y: &mut [f32]) {
    exp_isa(Isa::detect(), x, y);
}

/// One pass over three slices of equal length: `dx[i] = f(x[i], dy[i])`, or added to what is there.
#[inline(always)]
unsafe fn zip<S: Simd>(x: &[f32], dy: &[f32], dx: &mut [f32], add: bool, f: impl Fn(S::V, S::V) -> S::V) {
    let n = x.len().min(dy.len()).min(dx.len());
    let (x, dy, dx) = (x.as_ptr(), dy.as_ptr(), dx.as_mut_ptr());
    let mut i = 0;
    // SAFETY: the caller guarantees S's target features; i + LANES <= n, and the last access stops at n.
    unsafe {
        while i + S::LANES <= n {
            let mut d = f(S::load(x.add(i)), S::load(dy.add(i)));
            if add {
                d = S::add(d, S::load(dx.add(i)));
            }
            S::store(dx.add(i), d);
            i += S::LANES;
        }
        if i < n {
            let mut d = f(S::load_head(x.add(i), n - i), S::load_head(dy.add(i), n - i));
            if add {
                d = S::add(d, S::load_head(dx.add(i), n - i));
            }
            S::store_head(dx.add(i), n - i, d);
        }
    }
}

#[inline(always)]
unsafe fn activate_backward_on<S: Simd>(
    kind: Activation,
    x: &[f32],
    y: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
) {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        let one = S::splat(1.0);
        match kind {
            Activation::Tanh => zip::<S>(y, dy, dx, add, |y, d| S::mul(d, S::sub(one, S::mul(y, y)))),
            Activation::Relu => zip::<S>(y, dy, dx, add, |y, d| S::where_positive(y, d)),
            Activation::Sigmoid => zip::<S>(y, dy, dx, add, |y, d| S::mul(d, S::mul(y, S::sub(one, y)))),
            // d/dx x Phi(x) = Phi(x) + x phi(x)
            Activation::Gelu => zip::<S>(x, dy, dx, add, |x, d| {
                let density = math::exp::<S>(S::mul(S::mul(x, x), S::splat(-0.5)));
                let density = S::mul(density, S::splat(0.398_942_3));
                S::mul(d, S::fma(x, density, math::normal_cdf::<S>(x)))
            }),
        }
    }
}

dispatch! {
    fn activate_backward_isa(
        kind: Activation, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], add: bool,
    ) = activate_backward_on
}

/// The gradient of [`activate`]: `dx = dy f'(x)`, or added to `dx`. Only gelu looks at `x`, the others at `y = f(x)`.
pub fn activate_backward(kind: Activation, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], add: bool) {
    activate_backward_isa(Isa::detect(), kind, x, y, dy, dx, add);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;

    const ALL: [Activation; 4] = [Activation::Tanh, Activation::Relu, Activation::Gelu, Activation::Sigmoid];

    /// From -12 to 12, more closely around 0, in a length that no vector divides.
    fn points() -> Vec<f32> {
        (-1000..=1000).map(|i| (i as f32 / 1000.0).powi(3) * 12.0).collect()
    }

    fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64, what: &str) {
        for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
            let close = (f64::from(a) - e).abs() <= tolerance * e.abs().max(1e-2);
            assert!(close, "{what}[{i}]: {a} instead of {e}");
        }
    }

    #[test]
    fn activations_equal_their_f64_twins() {
        let x = points();
        let wide: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        for isa in Isa::available() {
            for kind in ALL {
                let (mut y, mut expected) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                activate_isa(isa, kind, &x, &mut y);
                reference::activate(kind, &wide, &mut expected);
                // gelu multiplies erf's last bit by x.
                let tolerance = if kind == Activation::Gelu { 1e-4 } else { 1e-6 };
                assert_close(&y, &expected, tolerance, &format!("{isa:?} {kind:?}"));

                let dy: Vec<f32> = (0..x.len()).map(|i| (i as f32).sin()).collect();
                let mut dx = vec![1.0; x.len()];
                activate_backward_isa(isa, kind, &x, &y, &dy, &mut dx, true);
                let expected: Vec<f64> = (0..x.len())
                    .map(|i| 1.0 + f64::from(dy[i]) * reference::slope(kind, wide[i], expected[i]))
                    .collect();
                assert_close(&dx, &expected, 1e-4, &format!("{isa:?} {kind:?} backward"));
            }
        }
    }

    #[test]
    fn exp_is_right_everywhere() {
        let x: Vec<f32> = (-1100..=950).map(|i| i as f32 / 10.0).collect();
        for isa in Isa::available() {
            let mut y = vec![0.0; x.len()];
            exp_isa(isa, &x, &mut y);
            for (x, y) in x.iter().zip(y) {
                let e = f64::from(*x).exp();
                let right = if e > f64::from(f32::MAX) {
                    y == f32::INFINITY
                } else {
                    (f64::from(y) - e).abs() <= 2e-7 * e + 1e-44
                };
                assert!(right, "{isa:?}: exp({x}) = {y:e}, not {e:e}");
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        for isa in Isa::available() {
            for kind in ALL {
                let mut y = [0.0; 3];
                activate_isa(isa, kind, &[1.0, f32::NAN, -1.0], &mut y);
                assert!(y[1].is_nan() && !y[0].is_nan() && !y[2].is_nan(), "{isa:?} {kind:?}: {y:?}");
            }
        }
    }
}
