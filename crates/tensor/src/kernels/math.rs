//! exp, tanh and erf on vectors.
//!
//! # Source
//! Cephes' `expf` polynomial; the rational approximations of tanh (odd degree 13 over even degree 6) and erf (odd
//! degree 13 over even degree 8) that Eigen and XLA use.
// Coefficients as published: rounding them to f32 by hand would only hide a mistake in typing.
#![expect(clippy::excessive_precision)]

use super::simd::Simd;

/// c0 + c1 x + c2 x^2 + ...
#[inline(always)]
unsafe fn polynomial<S: Simd>(x: S::V, coefficients: &[f32]) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        let mut sum = S::splat(coefficients[coefficients.len() - 1]);
        for &c in coefficients.iter().rev().skip(1) {
            sum = S::fma(sum, x, S::splat(c));
        }
        sum
    }
}

/// e^x = 2^n e^r with whole n and |r| <= ln 2 / 2.
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        // Beyond these the result is 0 or infinite anyway; x is the second argument so that NaN stays NaN.
        let x = S::min(S::splat(100.0), S::max(S::splat(-110.0), x));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts: n times the first is exact.
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let p = [0.5, 1.666_666_6e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_2e-3, 1.987_569_1e-4];
        let p = polynomial::<S>(r, &p);
        let p = S::fma(S::mul(r, r), p, S::add(r, S::splat(1.0)));
        S::scale(p, n)
    }
}

#[inline(always)]
pub(super) unsafe fn tanh<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        // From here on tanh rounds to 1.
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
pub(super) unsafe fn erf<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        // From here on erf rounds to 1.
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
pub(super) unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        // Bounded so that exp stays where `div` is exact.
        let bounded = S::min(S::splat(87.0), S::max(S::splat(-87.0), x));
        let e = exp::<S>(S::sub(S::splat(0.0), bounded));
        S::div(S::splat(1.0), S::add(S::splat(1.0), e))
    }
}

/// Phi(x), the share of a standard normal distribution below x.
#[inline(always)]
pub(super) unsafe fn normal_cdf<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        let e = erf::<S>(S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2)));
        // Far below zero erf is a little off -1, which gelu would multiply by a large x.
        S::where_positive(S::add(x, S::splat(5.656_854)), S::fma(e, S::splat(0.5), S::splat(0.5)))
    }
}
