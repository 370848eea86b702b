//! Activations and their slopes as formulas on vectors.

use super::math;
use super::simd::Arithmetic;

/// A function of one vector.
///
/// A type instead of a closure: a closure is compiled without the target features of the kernel that calls
/// it, so that every instruction in it becomes a call.
pub(super) trait Unary {
    /// # Safety
    /// S's target features hold.
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V;
}

/// A function of two vectors: a value v, and the gradient d with respect to the function's output.
pub(super) trait Slope {
    /// # Safety
    /// S's target features hold.
    unsafe fn at<S: Arithmetic>(v: S::V, d: S::V) -> S::V;
}

pub(super) struct Identity;
pub(super) struct Exp;
pub(super) struct Tanh;
pub(super) struct Relu;
pub(super) struct Gelu;
pub(super) struct NormalCdf;
pub(super) struct GeluSlope;
pub(super) struct Product;
pub(super) struct Sigmoid;
pub(super) struct GeluTanh;
pub(super) struct SquaredRelu;

// SAFETY of every function in the following blocks: the caller guarantees S's target features.
impl Unary for Identity {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V {
        x
    }
}

impl Slope for Identity {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(_: S::V, d: S::V) -> S::V {
        d
    }
}

impl Unary for Exp {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { math::exp::<S>(x) }
    }
}

impl Unary for Tanh {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { math::tanh::<S>(x) }
    }
}

impl Slope for Tanh {
    /// d (1 - y^2)
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(y: S::V, d: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { S::mul(d, S::sub(S::splat(1.0), S::mul(y, y))) }
    }
}

impl Unary for Relu {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { S::max(S::splat(0.0), x) }
    }
}

impl Slope for Relu {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(y: S::V, d: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { S::where_positive(y, d) }
    }
}

impl Unary for Gelu {
    /// x Phi(x)
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { S::mul(x, math::normal_cdf::<S>(x)) }
    }
}

impl Slope for Gelu {
    /// d (Phi(x) + x phi(x))
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V, d: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { S::mul(d, GeluSlope::at::<S>(x, math::normal_cdf::<S>(x))) }
    }
}

impl Unary for NormalCdf {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { math::normal_cdf::<S>(x) }
    }
}

impl Slope for GeluSlope {
    /// Phi(x) + x phi(x), given Phi(x)
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V, cdf: S::V) -> S::V {
        // SAFETY: see above.
        unsafe {
            // Beyond 10 x phi(x) is smaller than the rounding error, and its exponential subnormal, which
            // takes the processor a hundred cycles.
            let near = S::min(S::splat(10.0), S::max(S::splat(-10.0), x));
            S::fma(near, math::normal_density::<S>(near), cdf)
        }
    }
}

impl Slope for Product {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(slope: S::V, d: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { S::mul(d, slope) }
    }
}

impl Unary for Sigmoid {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { math::sigmoid::<S>(x) }
    }
}

impl Slope for Sigmoid {
    /// d y (1 - y)
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(y: S::V, d: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { S::mul(d, S::mul(y, S::sub(S::splat(1.0), y))) }
    }
}

impl Unary for GeluTanh {
    /// x (1 + tanh u) / 2 = x sigmoid(2 u)
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { S::mul(x, math::sigmoid::<S>(math::gelu_angle::<S>(x))) }
    }
}

impl Slope for GeluTanh {
    /// d (s + x s (1 - s) 2 u') with s = sigmoid(2 u)
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V, d: S::V) -> S::V {
        // SAFETY: see above.
        unsafe {
            let s = math::sigmoid::<S>(math::gelu_angle::<S>(x));
            // Beyond 10 s (1 - s) is negligible, and x^3 might overflow.
            let near = S::min(S::splat(10.0), S::max(S::splat(-10.0), x));
            let steep = S::mul(near, math::gelu_angle_slope::<S>(near));
            S::mul(d, S::fma(steep, S::mul(s, S::sub(S::splat(1.0), s)), s))
        }
    }
}

impl Unary for SquaredRelu {
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V) -> S::V {
        // SAFETY: see above.
        unsafe {
            let positive = S::max(S::splat(0.0), x);
            S::mul(positive, positive)
        }
    }
}

impl Slope for SquaredRelu {
    /// 2 d max(x, 0)
    #[inline(always)]
    unsafe fn at<S: Arithmetic>(x: S::V, d: S::V) -> S::V {
        // SAFETY: see above.
        unsafe { S::mul(S::mul(S::splat(2.0), d), S::where_positive(x, x)) }
    }
}
