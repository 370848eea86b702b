//! The interface of `f32` vectors for kernels.

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

/// An unaligned vector. std's functions for unaligned reads and writes would add checks in builds with debug
/// assertions, in thousands of places.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Anywhere<V>(V);

/// The arithmetic of one instruction set's vectors, element by element.
///
/// Every function gives the same bits in every instruction set, except in NaN: each rounds once, as in IEEE
/// 754.
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
    /// The larger; `b` if either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` if either is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// Rounds to the nearest integer, halves to even, for |a| below 2^22.
    unsafe fn round(a: Self::V) -> Self::V;
    /// p 2^n, for whole n between -250 and 250.
    unsafe fn scale(p: Self::V, n: Self::V) -> Self::V;
    /// As `scale`, but only for n between -126 and 127, or p NaN.
    #[inline(always)]
    unsafe fn scale_normal(p: Self::V, n: Self::V) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { Self::scale(p, n) }
    }
    /// The same vectors, computed in step: the compiler puts no operation on one before they are all there. It would
    /// compute one after the other, each a chain of operations that wait for the one before.
    #[inline(always)]
    unsafe fn in_step(vectors: [Self::V; 4]) -> [Self::V; 4] {
        vectors
    }
    /// m and e of x = m 2^e, with m from sqrt(1/2) to sqrt(2) and whole e, for normal x above 0.
    unsafe fn frexp(x: Self::V) -> [Self::V; 2];
    /// `x` where `a > 0`, else 0 (0 where `a` is NaN).
    unsafe fn where_positive(a: Self::V, x: Self::V) -> Self::V;
}

/// One instruction set's vectors: loads, stores and transposition.
///
/// Kernels must not add the lanes of a vector, since their number differs; use [`Lanes`].
///
/// # Safety
/// Every function may be called only where the instruction set's target features hold; those with pointers need
/// what a read or write of that many elements needs. `n` is at most `LANES`.
pub(super) trait Simd: Arithmetic {
    /// Elements in a vector.
    const LANES: usize;
    /// How many vectors of sums a matrix product keeps in registers at most.
    const ACCUMULATORS: usize;
    /// How many of these are side by side, in a strip of columns, at most; as many vectors of B are in registers too.
    const STRIP_VECTORS: usize;
    /// Whether masked loads and stores of a part of a vector are as fast as whole ones.
    const FAST_MASKS: bool = false;

    unsafe fn load(p: *const f32) -> Self::V;
    /// A hint that the memory at `p` is needed soon; `p` may be any address.
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
    /// Transposes a tile of at most `LANES` by `LANES`; returns false if it is not implemented.
    ///
    /// `from` has `height` rows of `width` elements, `from_stride` apart; `to` gets `width` rows of
    /// `height`, and of zeros up to `written`, which is at least `height` and at most `LANES`.
    #[inline(always)]
    unsafe fn transpose_tile(
        _from: *const f32,
        _from_stride: usize,
        _to: *mut f32,
        _to_stride: usize,
        _sizes: [usize; 2],
        _written: usize,
    ) -> bool {
        false
    }
}
