//! Vectors of `f32` as the kernels see them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;

/// One instruction set's vectors.
///
/// # Safety
/// Every function may be called only where the instruction set's target features hold; those with pointers need
/// what a read or write of that many elements needs.
pub(super) trait Simd: Copy {
    /// A vector.
    type V: Copy;
    /// Elements in a vector.
    const LANES: usize;
    /// How many vectors of sums stay in registers in a matrix product.
    const SUMS: usize;

    unsafe fn load(p: *const f32) -> Self::V;
    /// The first `n` elements, then zeros. `n` is at most `LANES`.
    unsafe fn load_head(p: *const f32, n: usize) -> Self::V;
    /// The first `n` elements, then those of `rest`.
    unsafe fn load_or(p: *const f32, n: usize, rest: Self::V) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Writes only the first `n` elements.
    unsafe fn store_head(p: *mut f32, n: usize, v: Self::V);
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// a b + c
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where one of them is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where one of them is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest whole number.
    unsafe fn round(a: Self::V) -> Self::V;
    /// p 2^n, for whole n between -250 and 250.
    unsafe fn scale(p: Self::V, n: Self::V) -> Self::V;
    /// `x` where `a > 0`, else 0 (0 where `a` is NaN).
    unsafe fn where_positive(a: Self::V, x: Self::V) -> Self::V;
    /// Transposes a tile of at most `LANES` by `LANES`, or answers that it does not know how.
    ///
    /// `from` has `height` rows of `width` elements, `from_step` apart; `to` gets `width` rows of `height`.
    #[inline(always)]
    unsafe fn transpose_tile(
        _from: *const f32,
        _from_step: usize,
        _to: *mut f32,
        _to_step: usize,
        _height: usize,
        _width: usize,
    ) -> bool {
        false
    }
    unsafe fn sum(v: Self::V) -> f32;
    unsafe fn largest(v: Self::V) -> f32;
}

#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Simd for Portable {
    type V = f32;
    const LANES: usize = 1;
    const SUMS: usize = 12;

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
        // A fused multiply-add without the instruction is a slow library call.
        a * b + c
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
        // Adding and subtracting 1.5 * 2^23 leaves the nearest whole number of a small one.
        (a + 12_582_912.0) - 12_582_912.0
    }
    #[inline(always)]
    unsafe fn scale(p: f32, n: f32) -> f32 {
        let whole = n as i32;
        let (half, rest) = (whole >> 1, whole - (whole >> 1));
        let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
        p * power(half) * power(rest)
    }
    #[inline(always)]
    unsafe fn where_positive(a: f32, x: f32) -> f32 {
        if a > 0.0 { x } else { 0.0 }
    }
    #[inline(always)]
    unsafe fn sum(v: f32) -> f32 {
        v
    }
    #[inline(always)]
    unsafe fn largest(v: f32) -> f32 {
        v
    }
}
