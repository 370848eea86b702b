//! exp, ln, tanh and erf on vectors, by operations that give the same bits in every instruction set.
//!
//! # Source
//! Cephes' `expf` and `logf` polynomials; the rational approximations of tanh (odd degree 13 over even degree
//! 6) and erf (odd degree 13 over even degree 8) that Eigen and XLA use.
// Coefficients as published: rounding them to f32 by hand would only hide typing errors.
#![expect(clippy::excessive_precision)]

use super::simd::Arithmetic;

/// c0 + c1 x + c2 x^2 + ...
#[inline(always)]
unsafe fn polynomial<S: Arithmetic>(x: S::V, coefficients: &[f32]) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        let mut sum = S::splat(coefficients[coefficients.len() - 1]);
        for &c in coefficients.iter().rev().skip(1) {
            sum = S::fma(sum, x, S::splat(c));
        }
        sum
    }
}

/// e^x, for any x.
#[inline(always)]
pub(super) unsafe fn exp<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        // Beyond these bounds the result is 0 or infinite anyway; x is the second argument so that NaN stays
        // NaN.
        let [p, n] = exp_parts::<S>(S::min(S::splat(100.0), S::max(S::splat(-110.0), x)));
        S::scale(p, n)
    }
}

/// As [`exp`], with the same bits, for |x| up to 87 or NaN: 2^n is then a normal number.
#[inline(always)]
unsafe fn exp_of_small<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        let [p, n] = exp_parts::<S>(x);
        S::scale_normal(p, n)
    }
}

/// n and e^r of e^x = 2^n e^r, with integer n and |r| <= ln 2 / 2; returns e^r first.
#[inline(always)]
unsafe fn exp_parts<S: Arithmetic>(x: S::V) -> [S::V; 2] {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        // ln 2 is split in two parts: n times the first is exact.
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let p = [0.5, 1.666_666_6e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_2e-3, 1.987_569_1e-4];
        let p = polynomial::<S>(r, &p);
        [S::fma(S::mul(r, r), p, S::add(r, S::splat(1.0))), n]
    }
}

/// ln x = ln m + e ln 2 with x = m 2^e, for normal x above 0; NaN stays NaN.
#[inline(always)]
pub(super) unsafe fn ln<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        let [m, e] = S::frexp(x);
        let f = S::sub(m, S::splat(1.0));
        let f2 = S::mul(f, f);
        let p = [
            3.333_333_1e-1,
            -2.499_999_4e-1,
            2.000_071_5e-1,
            -1.666_805_8e-1,
            1.424_932_3e-1,
            -1.242_014_1e-1,
            1.167_699_9e-1,
            -1.151_461e-1,
            7.037_683_6e-2,
        ];
        let p = S::mul(S::mul(polynomial::<S>(f, &p), f), f2);
        // ln 2 is split in two parts, the smaller one added first.
        let p = S::fma(e, S::splat(-2.121_944_4e-4), p);
        let p = S::add(S::fma(S::splat(-0.5), f2, p), f);
        let ln = S::fma(e, S::splat(0.693_359_4), p);
        // x - x is 0, but NaN if x is NaN.
        S::add(ln, S::sub(x, x))
    }
}

#[inline(always)]
pub(super) unsafe fn tanh<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        // Beyond this bound tanh rounds to 1.
        let x = S::min(S::splat(7.905_311), S::max(S::splat(-7.905_311), x));
        let x2 = S::mul(x, x);
        let over = [
            4.893_524_6e-3,
            6.372_619_3e-4,
            1.485_722_4e-5,
            5.122_297e-8,
            -8.604_671_5e-11,
            2.000_187_9e-13,
            -2.760_768_5e-16,
        ];
        let under = [4.893_525_2e-3, 2.268_434_6e-3, 1.185_347_1e-4, 1.198_258_4e-6];
        S::div(S::mul(x, polynomial::<S>(x2, &over)), polynomial::<S>(x2, &under))
    }
}

#[inline(always)]
pub(super) unsafe fn erf<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        // Beyond this bound erf rounds to 1.
        let x = S::min(S::splat(4.0), S::max(S::splat(-4.0), x));
        let x2 = S::mul(x, x);
        let over = [
            -1.609_603_3e-2,
            -2.954_599_8e-3,
            -7.349_906_3e-4,
            -5.692_506_4e-5,
            -2.101_024e-6,
            2.770_681_4e-8,
            -2.726_142_3e-10,
        ];
        let under = [-1.426_473_9e-2, -7.373_329e-3, -1.682_827e-3, -2.133_740_6e-4, -1.456_607_2e-5];
        S::div(S::mul(x, polynomial::<S>(x2, &over)), polynomial::<S>(x2, &under))
    }
}

#[inline(always)]
pub(super) unsafe fn sigmoid<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        // Bounded so that exp stays where `div` is exact.
        let bounded = S::min(S::splat(87.0), S::max(S::splat(-87.0), x));
        let e = exp_of_small::<S>(S::sub(S::splat(0.0), bounded));
        S::div(S::splat(1.0), S::add(S::splat(1.0), e))
    }
}

/// 2 u of the approximate gelu, `u = sqrt(2 / pi) (x + 0.044715 x^3)`.
#[inline(always)]
pub(super) unsafe fn gelu_angle<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe { S::mul(x, S::fma(S::mul(x, x), S::splat(0.071_354_816), S::splat(1.595_769_1))) }
}

/// The slope of [`gelu_angle`].
#[inline(always)]
pub(super) unsafe fn gelu_angle_slope<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe { S::fma(S::mul(x, x), S::splat(0.214_064_45), S::splat(1.595_769_1)) }
}

/// Phi(x), the standard normal distribution function.
#[inline(always)]
pub(super) unsafe fn normal_cdf<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        let e = erf::<S>(S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2)));
        // Far below zero erf is not exactly -1, and gelu would multiply the error by a large x.
        S::where_positive(S::add(x, S::splat(5.656_854)), S::fma(e, S::splat(0.5), S::splat(0.5)))
    }
}

/// The density of the standard normal distribution at x, |x| up to 10.
#[inline(always)]
pub(super) unsafe fn normal_density<S: Arithmetic>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        let e = exp_of_small::<S>(S::mul(S::mul(x, x), S::splat(-0.5)));
        S::mul(e, S::splat(0.398_942_3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Portable;

    #[test]
    fn logarithms_are_right_to_the_last_bit_or_the_one_before() {
        let step = if cfg!(miri) { 5_000_000 } else { 1_009 };
        let inputs = (f32::MIN_POSITIVE.to_bits()..f32::MAX.to_bits()).step_by(step).map(f32::from_bits);
        for x in inputs.chain([1.0, 1.5, 2.0, 27.0]) {
            // SAFETY: plain code needs nothing.
            let ln = unsafe { ln::<Portable>(x) };
            let exact = f64::from(x).ln();
            let close = (f64::from(ln) - exact).abs() <= 1.2e-7 * exact.abs();
            assert!(close, "ln({x:e}) = {ln:e}, not {exact:e}");
        }
        // SAFETY: as above.
        assert!(unsafe { ln::<Portable>(f32::NAN) }.is_nan());
    }
}
