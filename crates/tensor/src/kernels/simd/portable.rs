//! Portable vectors of one element.

use super::{Arithmetic, SQRT_HALF, Simd};

/// a b + c, rounded once: by the processor's instruction if the target is known to have one.
#[inline(always)]
fn fma(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        plain_fma(a, b, c)
    }
}

/// a b + c, rounded once.
///
/// The product is exact in f64. The sum is rounded to odd there: if it is inexact, to the neighbour whose
/// last bit is 1. With the 29 extra bits of f64, this keeps the second rounding from going wrong when the
/// first one lands half-way between two f32.
///
/// # Source
/// S. Boldo, G. Melquiond: Emulation of FMA and correctly rounded sums, 2008
#[inline(always)]
fn plain_fma(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // The exact rounding error of the sum (Knuth's TwoSum); NaN if a term is infinite.
    let c_part = sum - product;
    let lost = (product - (sum - c_part)) + (c - c_part);
    let bits = sum.to_bits();
    let inexact = lost.abs() > 0.0 && bits & 1 == 0;
    // One step away from zero, or towards it.
    let odd = if (lost > 0.0) == (sum > 0.0) { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if inexact { odd } else { bits }) as f32
}

#[derive(Clone, Copy)]
pub(in super::super) struct Portable;

impl Arithmetic for Portable {
    type V = f32;
    #[inline(always)]
    unsafe fn splat(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    unsafe fn add(a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    unsafe fn sub(a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    unsafe fn mul(a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    unsafe fn div(a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    unsafe fn fma(a: f32, b: f32, c: f32) -> f32 {
        fma(a, b, c)
    }
    #[inline(always)]
    unsafe fn max(a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    unsafe fn min(a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    unsafe fn round(a: f32) -> f32 {
        // Adding and subtracting 2^23 rounds a small number to the nearest integer.
        ((a.abs() + 8_388_608.0) - 8_388_608.0).copysign(a)
    }
    #[inline(always)]
    unsafe fn scale(p: f32, n: f32) -> f32 {
        let whole = n as i32;
        let (half, rest) = (whole >> 1, whole - (whole >> 1));
        let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
        p * power(half) * power(rest)
    }
    #[inline(always)]
    unsafe fn frexp(x: f32) -> [f32; 2] {
        let e = (x.to_bits() as i32).wrapping_sub(SQRT_HALF) >> 23;
        [f32::from_bits((x.to_bits() as i32).wrapping_sub(e << 23) as u32), e as f32]
    }
    #[inline(always)]
    unsafe fn where_positive(a: f32, x: f32) -> f32 {
        if a > 0.0 { x } else { 0.0 }
    }
}

impl Simd for Portable {
    const LANES: usize = 1;
    const ACCUMULATORS: usize = 12;
    const STRIP_VECTORS: usize = 1;
    #[inline(always)]
    unsafe fn load(p: *const f32) -> f32 {
        // SAFETY: the caller may read one element.
        unsafe { *p }
    }
    #[inline(always)]
    unsafe fn load_head(p: *const f32, n: usize) -> f32 {
        // SAFETY: the caller may read `n` elements.
        if n == 0 { 0.0 } else { unsafe { *p } }
    }
    #[inline(always)]
    unsafe fn load_or(p: *const f32, n: usize, rest: f32) -> f32 {
        // SAFETY: the caller may read `n` elements.
        if n == 0 { rest } else { unsafe { *p } }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: f32) {
        // SAFETY: the caller may write one element.
        unsafe { *p = v }
    }
    #[inline(always)]
    unsafe fn store_head(p: *mut f32, n: usize, v: f32) {
        if n > 0 {
            // SAFETY: the caller may write `n` elements.
            unsafe { *p = v }
        }
    }
    #[inline(always)]
    unsafe fn head(v: f32, n: usize) -> f32 {
        if n == 0 { 0.0 } else { v }
    }
}

#[cfg(test)]
mod tests {
    use super::plain_fma;

    /// Numbers of every magnitude and sign, zeros, infinities, NaN, and neighbours of powers of two.
    fn any(seed: u64) -> f32 {
        let x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 32)) as u32;
        match seed % 7 {
            0 => f32::from_bits(x),
            1 => f32::from_bits((x & 0x8000_0003) | 0x3f80_0000),
            2 => f32::from_bits((x & 0x807f_ffff) | 0x3380_0000),
            3 => f32::from_bits((x & 0x80ff_f000) | 0x3f00_0000),
            4 => [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE, -1e-45, f32::MAX]
                [x as usize % 8],
            _ => f32::from_bits((x & 0x81ff_ffff) | 0x3e00_0000),
        }
    }

    #[test]
    fn a_fused_multiply_add_is_rounded_once() {
        let rounds = if cfg!(miri) { 2_000 } else { 3_000_000 };
        for i in 0..rounds {
            let (a, b) = (any(3 * i), any(5 * i + 1));
            // Sometimes a c that nearly cancels the product.
            let c = if i % 3 == 0 { -(a * b) } else { any(11 * i + 2) };
            let (plain, exact) = (plain_fma(a, b, c), a.mul_add(b, c));
            let same = plain.to_bits() == exact.to_bits() || plain.is_nan() && exact.is_nan();
            assert!(same, "{a:e} * {b:e} + {c:e} = {exact:e}, not {plain:e}");
        }
    }
}
