//! Vectors of `f32` as the kernels see them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

mod lanes;
mod portable;
mod several;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;

pub(super) use lanes::{COUNT as LANES, Lanes, each_vector};
pub(super) use portable::Portable;
pub(super) use several::Several;

/// The bits of sqrt(1/2).
const SQRT_HALF: i32 = 0x3f35_04f3;

/// A vector that lies anywhere. Read and written by std's functions for that, it would be checked against the place where it
/// comes from or goes to in builds with debug assertions, in each of thousands of places.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Anywhere<V>(V);

/// What is done with one instruction set's vectors, element by element.
///
/// Every function gives the same bits in every instruction set, but for which NaN it gives: each rounds once, as
/// IEEE 754 says.
///
/// # Safety
/// Every function may be called only where the instruction set's target features hold.
pub(super) trait Arithmetic: Copy {
    /// A vector.
    type V: Copy;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// a b + c, rounded once.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where one of them is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where one of them is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest whole number, of two as near the even one, for |a| below 2^22.
    unsafe fn round(a: Self::V) -> Self::V;
    /// p 2^n, for whole n between -250 and 250.
    unsafe fn scale(p: Self::V, n: Self::V) -> Self::V;
    /// The same for n between -126 and 127, or p NaN.
    #[inline(always)]
    unsafe fn scale_normal(p: Self::V, n: Self::V) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { Self::scale(p, n) }
    }
    /// m and e of x = m 2^e, with m from sqrt(1/2) to sqrt(2) and whole e, for normal x above 0.
    unsafe fn frexp(x: Self::V) -> [Self::V; 2];
    /// `x` where `a > 0`, else 0 (0 where `a` is NaN).
    unsafe fn where_positive(a: Self::V, x: Self::V) -> Self::V;
}

/// One instruction set's vectors: where they come from and go to.
///
/// No kernel may add up the lanes of a vector, whose number differs; [`Lanes`] does that.
///
/// # Safety
/// Every function may be called only where the instruction set's target features hold; those with pointers need
/// what a read or write of that many elements needs. `n` is at most `LANES`.
pub(super) trait Simd: Arithmetic {
    /// Elements in a vector.
    const LANES: usize;
    /// How many vectors of sums stay in registers in a matrix product.
    const SUMS: usize;
    /// How many of them lie side by side at most: as many vectors of B are in registers besides.
    const WIDE: usize;
    /// Whether a part of a vector is read and written as fast as a whole one.
    const MASKS: bool = false;

    unsafe fn load(p: *const f32) -> Self::V;
    /// Says that what is at `p` is needed soon; `p` may be anything.
    #[inline(always)]
    unsafe fn prefetch(_p: *const f32) {}
    /// The first `n` elements, then zeros.
    unsafe fn load_head(p: *const f32, n: usize) -> Self::V;
    /// The first `n` elements, then those of `rest`.
    unsafe fn load_or(p: *const f32, n: usize, rest: Self::V) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Writes only the first `n` elements.
    unsafe fn store_head(p: *mut f32, n: usize, v: Self::V);
    /// The first `n` elements, then zeros.
    unsafe fn head(v: Self::V, n: usize) -> Self::V;
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
}
