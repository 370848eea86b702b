//! Functions applied to every element of a slice.

use super::activation::{
    Exp, Gelu, GeluSlope, GeluTanh, NormalCdf, Product, Relu, Sigmoid, Slope, SquaredRelu, Tanh, Unary,
};
use super::pool::parallel_for;
use super::simd::{Arithmetic, Several, Simd};
use super::team::Shared;
use super::{Activation, Isa, dispatch};

/// Estimated operations per element of an exp or tanh.
const WORK: usize = 40;

/// Four vectors at a time, as long as four are left.
type Four<S> = Several<S, 4>;

/// `y[i] = F(x[i])`, with the last few elements in one masked vector.
#[inline(always)]
unsafe fn map<S: Simd, F: Unary>(x: &[f32], y: &mut [f32]) {
    let n = x.len().min(y.len());
    let (x, y) = (x.as_ptr(), y.as_mut_ptr());
    let mut i = 0;
    // SAFETY: the caller guarantees S's target features; i + LANES <= n, and the last access stops at n.
    unsafe {
        while i + Four::<S>::LANES <= n {
            Four::<S>::store(y.add(i), F::at::<Four<S>>(Four::<S>::load(x.add(i))));
            i += Four::<S>::LANES;
        }
        while i + S::LANES <= n {
            S::store(y.add(i), F::at::<S>(S::load(x.add(i))));
            i += S::LANES;
        }
        if i < n {
            S::store_head(y.add(i), n - i, F::at::<S>(S::load_head(x.add(i), n - i)));
        }
    }
}

/// `dx[i] = F(v[i], dy[i])`, or added to `dx[i]`.
#[inline(always)]
unsafe fn zip<S: Simd, F: Slope>(v: &[f32], dy: &[f32], dx: &mut [f32], add: bool) {
    let n = v.len().min(dy.len()).min(dx.len());
    let (v, dy, dx) = (v.as_ptr(), dy.as_ptr(), dx.as_mut_ptr());
    let mut i = 0;
    // SAFETY: the caller guarantees S's target features; i + LANES <= n, and the last access stops at n.
    unsafe {
        while i + Four::<S>::LANES <= n {
            zip_vectors::<S, F, 4>(v.add(i), dy.add(i), dx.add(i), add);
            i += Four::<S>::LANES;
        }
        while i + S::LANES <= n {
            zip_vectors::<S, F, 1>(v.add(i), dy.add(i), dx.add(i), add);
            i += S::LANES;
        }
        if i < n {
            let mut d = F::at::<S>(S::load_head(v.add(i), n - i), S::load_head(dy.add(i), n - i));
            if add {
                d = S::add(d, S::load_head(dx.add(i), n - i));
            }
            S::store_head(dx.add(i), n - i, d);
        }
    }
}

/// [`zip`] for `N` whole vectors.
#[inline(always)]
unsafe fn zip_vectors<S: Simd, F: Slope, const N: usize>(
    v: *const f32,
    dy: *const f32,
    dx: *mut f32,
    add: bool,
) {
    // SAFETY: the caller guarantees S's target features, and `N` vectors in each place.
    unsafe {
        let mut d = F::at::<Several<S, N>>(Several::<S, N>::load(v), Several::<S, N>::load(dy));
        if add {
            d = Several::<S, N>::add(d, Several::<S, N>::load(dx));
        }
        Several::<S, N>::store(dx, d);
    }
}

/// Elements in a piece: few enough that intermediate results stay in the L1 cache.
const PIECE: usize = 256;

/// [`zip`] for [`Gelu`], in steps: one loop would need more constants than there are registers.
#[inline(always)]
unsafe fn gelu_backward<S: Simd>(x: &[f32], dy: &[f32], dx: &mut [f32], add: bool) {
    let [mut cdf, mut slope] = [[0.0; PIECE]; 2];
    for ((x, dy), dx) in x.chunks(PIECE).zip(dy.chunks(PIECE)).zip(dx.chunks_mut(PIECE)) {
        // SAFETY: the caller guarantees S's target features.
        unsafe {
            map::<S, NormalCdf>(x, &mut cdf);
            zip::<S, GeluSlope>(x, &cdf, &mut slope, false);
            zip::<S, Product>(&slope, dy, dx, add);
        }
    }
}

#[inline(always)]
unsafe fn activate_on<S: Simd>(activation: Activation, x: &[f32], y: &mut [f32]) {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        match activation {
            Activation::Tanh => map::<S, Tanh>(x, y),
            Activation::Relu => map::<S, Relu>(x, y),
            Activation::Gelu => map::<S, Gelu>(x, y),
            Activation::Sigmoid => map::<S, Sigmoid>(x, y),
            Activation::GeluTanh => map::<S, GeluTanh>(x, y),
            Activation::SquaredRelu => map::<S, SquaredRelu>(x, y),
        }
    }
}

dispatch! {
    fn activate_isa(activation: Activation, x: &[f32], y: &mut [f32]) = activate_on
}

/// Applies `activation` to every element of `x`.
pub fn activate(activation: Activation, x: &[f32], y: &mut [f32]) {
    let n = x.len().min(y.len());
    let y = Shared::new(y);
    parallel_for(n, 16, WORK * n, |part| {
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let y = unsafe { y.piece(part.clone()) };
        activate_isa(Isa::detect(), activation, &x[part], y);
    });
}

#[inline(always)]
unsafe fn exp_on<S: Simd>(x: &[f32], y: &mut [f32]) {
    // SAFETY: the caller guarantees S's target features.
    unsafe { map::<S, Exp>(x, y) }
}

dispatch! {
    fn exp_isa(x: &[f32], y: &mut [f32]) = exp_on
}

/// `y[i] = exp(x[i])`.
pub fn exp(x: &[f32], y: &mut [f32]) {
    exp_isa(Isa::detect(), x, y);
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
        match kind {
            Activation::Tanh => zip::<S, Tanh>(y, dy, dx, add),
            Activation::Relu => zip::<S, Relu>(y, dy, dx, add),
            Activation::Sigmoid => zip::<S, Sigmoid>(y, dy, dx, add),
            Activation::Gelu => gelu_backward::<S>(x, dy, dx, add),
            Activation::GeluTanh => zip::<S, GeluTanh>(x, dy, dx, add),
            Activation::SquaredRelu => zip::<S, SquaredRelu>(x, dy, dx, add),
        }
    }
}

dispatch! {
    fn activate_backward_isa(
        kind: Activation, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], add: bool,
    ) = activate_backward_on
}

/// The gradient of [`activate`]: `dx = dy f'(x)`, or added to `dx`. It reads either `x` or `y = f(x)`; see
/// [`Activation::slope_is_of_x`].
pub fn activate_backward(kind: Activation, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], add: bool) {
    let n = dx.len();
    let dx = Shared::new(dx);
    // A slope in terms of x recomputes the function; one in terms of y is a product or two.
    let work = if kind.slope_is_of_x() { 2 * WORK } else { WORK / 2 };
    parallel_for(n, 16, work * n, |part| {
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let dx = unsafe { dx.piece(part.clone()) };
        let x = if kind.slope_is_of_x() { &x[part.clone()] } else { x };
        activate_backward_isa(Isa::detect(), kind, x, &y[part.clone()], &dy[part], dx, add);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;

    /// From -12 to 12, denser around 0, in a length that is no multiple of a vector's.
    fn points() -> Vec<f32> {
        let n = if cfg!(miri) { 100 } else { 1000 };
        (-n..=n).map(|i| (i as f32 / n as f32).powi(3) * 12.0).collect()
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
            for kind in Activation::ALL {
                let (mut y, mut expected) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                activate_isa(isa, kind, &x, &mut y);
                reference::activate(kind, &wide, &mut expected);
                let tolerance = match kind {
                    // Gelu multiplies the error in erf's last bit by x.
                    Activation::Gelu => 1e-4,
                    // An error in the last bit of 2 u changes e^(2 u) by 2 u times as much, relatively.
                    Activation::GeluTanh => 1e-5,
                    _ => 1e-6,
                };
                assert_close(&y, &expected, tolerance, &format!("{isa:?} {kind:?}"));

                let dy: Vec<f32> = (0..x.len()).map(|i| (i as f32).sin()).collect();
                let mut dx = vec![1.0; x.len()];
                activate_backward_isa(isa, kind, &x, &y, &dy, &mut dx, true);
                // Without the 1 that it was added to; the subtraction cancels digits of a result near 0.
                dx.iter_mut().for_each(|dx| *dx -= 1.0);
                let expected: Vec<f64> = (0..x.len())
                    .map(|i| f64::from(dy[i]) * reference::slope(kind, wide[i], expected[i]))
                    .collect();
                assert_close(&dx, &expected, 1e-4, &format!("{isa:?} {kind:?} backward"));
            }
        }
    }

    #[test]
    fn exp_is_right_everywhere() {
        let step = if cfg!(miri) { 20 } else { 1 };
        let x: Vec<f32> = (-1100..=950).step_by(step).map(|i| i as f32 / 10.0).collect();
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
    fn gelu_ends_in_zero() {
        for isa in Isa::available() {
            for kind in [Activation::Gelu, Activation::GeluTanh] {
                let mut y = [1.0; 3];
                activate_isa(isa, kind, &[-6.0, -87.0, -1e30], &mut y);
                assert!(y.iter().all(|y| y.abs() <= 1e-7), "{isa:?} {kind:?}: {y:?}");
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        for isa in Isa::available() {
            for kind in Activation::ALL {
                let mut y = [0.0; 3];
                activate_isa(isa, kind, &[1.0, f32::NAN, -1.0], &mut y);
                assert!(y[1].is_nan() && !y[0].is_nan() && !y[2].is_nan(), "{isa:?} {kind:?}: {y:?}");
            }
        }
    }
}
