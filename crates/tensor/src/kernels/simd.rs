//! Vectors of `f32` as the kernels see them.

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
    /// The sums of four vectors.
    #[inline(always)]
    unsafe fn sums(v: [Self::V; 4]) -> [f32; 4] {
        // SAFETY: the caller guarantees the target features.
        unsafe { [Self::sum(v[0]), Self::sum(v[1]), Self::sum(v[2]), Self::sum(v[3])] }
    }
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

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512;

    /// The first `n` lanes of 16.
    #[inline(always)]
    fn head(n: usize) -> __mmask16 {
        ((1u32 << n) - 1) as __mmask16
    }

    // SAFETY of every function below: the caller guarantees AVX-512F, and the reads and writes that the trait names.
    impl Simd for Avx512 {
        type V = __m512;
        const LANES: usize = 16;
        const SUMS: usize = 24;

        #[inline(always)]
        unsafe fn load(p: *const f32) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_head(p: *const f32, n: usize) -> __m512 {
            // SAFETY: see above; lanes outside the mask are not read.
            unsafe { _mm512_maskz_loadu_ps(head(n), p) }
        }
        #[inline(always)]
        unsafe fn load_or(p: *const f32, n: usize, rest: __m512) -> __m512 {
            // SAFETY: see above; lanes outside the mask are not read.
            unsafe { _mm512_mask_loadu_ps(rest, head(n), p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m512) {
            // SAFETY: see above.
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn store_head(p: *mut f32, n: usize, v: __m512) {
            // SAFETY: see above; lanes outside the mask are not written.
            unsafe { _mm512_mask_storeu_ps(p, head(n), v) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: __m512, b: __m512) -> __m512 {
            // The divider takes 16 cycles a vector. An estimate of 1/b, improved twice, gives the quotient to the
            // last bit or the one before in three; infinite and tiny b do not occur where this is called.
            // SAFETY: see above.
            unsafe {
                let one = _mm512_set1_ps(1.0);
                let estimate = _mm512_rcp14_ps(b);
                let inverse = _mm512_fmadd_ps(estimate, _mm512_fnmadd_ps(b, estimate, one), estimate);
                let quotient = _mm512_mul_ps(a, inverse);
                _mm512_fmadd_ps(_mm512_fnmadd_ps(b, quotient, a), inverse, quotient)
            }
        }
        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn round(a: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_roundscale_ps::<0>(a) }
        }
        #[inline(always)]
        unsafe fn scale(p: __m512, n: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_scalef_ps(p, n) }
        }
        #[inline(always)]
        unsafe fn where_positive(a: __m512, x: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, _mm512_setzero_ps()), x) }
        }
        #[inline(always)]
        unsafe fn transpose_tile(
            from: *const f32,
            from_step: usize,
            to: *mut f32,
            to_step: usize,
            height: usize,
            width: usize,
        ) -> bool {
            // SAFETY: see above; rows beyond `height` or `width` are not touched, nor lanes beyond them.
            unsafe {
                // Every loop runs to 16, so that the rows stay in registers; the masks leave out what is not there.
                let rows = |i: usize, n: usize, lanes: usize| if i < n { head(lanes) } else { 0 };
                let mut r = [_mm512_setzero_ps(); 16];
                for (i, r) in r.iter_mut().enumerate() {
                    *r = _mm512_maskz_loadu_ps(rows(i, height, width), from.wrapping_add(i * from_step));
                }
                let mut t = [_mm512_setzero_ps(); 16];
                // Pairs of rows, then pairs of pairs, inside each quarter of a vector; then the quarters.
                for i in 0..8 {
                    t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                    t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
                }
                for i in 0..4 {
                    let (a, b) = (_mm512_castps_pd(t[4 * i]), _mm512_castps_pd(t[4 * i + 1]));
                    let (c, d) = (_mm512_castps_pd(t[4 * i + 2]), _mm512_castps_pd(t[4 * i + 3]));
                    r[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
                    r[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
                    r[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
                    r[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
                }
                for i in 0..4 {
                    t[i] = _mm512_shuffle_f32x4::<0x88>(r[i], r[i + 4]);
                    t[i + 4] = _mm512_shuffle_f32x4::<0xdd>(r[i], r[i + 4]);
                    t[i + 8] = _mm512_shuffle_f32x4::<0x88>(r[i + 8], r[i + 12]);
                    t[i + 12] = _mm512_shuffle_f32x4::<0xdd>(r[i + 8], r[i + 12]);
                }
                for i in 0..8 {
                    r[i] = _mm512_shuffle_f32x4::<0x88>(t[i], t[i + 8]);
                    r[i + 8] = _mm512_shuffle_f32x4::<0xdd>(t[i], t[i + 8]);
                }
                for (i, r) in r.iter().enumerate() {
                    _mm512_mask_storeu_ps(to.wrapping_add(i * to_step), rows(i, width, height), *r);
                }
            }
            true
        }
        #[inline(always)]
        unsafe fn sum(v: __m512) -> f32 {
            // SAFETY: see above.
            unsafe { _mm512_reduce_add_ps(v) }
        }
        #[inline(always)]
        unsafe fn sums(v: [__m512; 4]) -> [f32; 4] {
            // SAFETY: see above.
            unsafe {
                let [a, b, c, d] = v;
                // In each quarter: a0+a2 b0+b2 a1+a3 b1+b3, the same of c and d, then all four sums of the quarter.
                let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                let low = _mm512_shuffle_ps::<0x44>(ab, cd);
                let high = _mm512_shuffle_ps::<0xee>(ab, cd);
                let quarters = _mm512_add_ps(low, high);
                let halves = _mm512_add_ps(quarters, _mm512_shuffle_f32x4::<0x4e>(quarters, quarters));
                let all = _mm512_add_ps(halves, _mm512_shuffle_f32x4::<0xb1>(halves, halves));
                let mut sums = [0.0; 4];
                _mm_storeu_ps(sums.as_mut_ptr(), _mm512_castps512_ps128(all));
                sums
            }
        }
        #[inline(always)]
        unsafe fn largest(v: __m512) -> f32 {
            // SAFETY: see above.
            unsafe { _mm512_reduce_max_ps(v) }
        }
    }

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2;

    /// All bits set in the first `n` lanes of 8.
    #[inline(always)]
    unsafe fn head8(n: usize) -> __m256i {
        // SAFETY: the caller guarantees AVX2.
        unsafe {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lane)
        }
    }

    /// 2^n for whole n between -126 and 127.
    #[inline(always)]
    unsafe fn power(n: __m256i) -> __m256 {
        // SAFETY: the caller guarantees AVX2.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127)))) }
    }

    // SAFETY of every function below: the caller guarantees AVX2 and FMA, and the reads and writes that the trait
    // names.
    impl Simd for Avx2 {
        type V = __m256;
        const LANES: usize = 8;
        const SUMS: usize = 12;

        #[inline(always)]
        unsafe fn load(p: *const f32) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_head(p: *const f32, n: usize) -> __m256 {
            // SAFETY: see above; lanes outside the mask are not read.
            unsafe { _mm256_maskload_ps(p, head8(n)) }
        }
        #[inline(always)]
        unsafe fn load_or(p: *const f32, n: usize, rest: __m256) -> __m256 {
            // SAFETY: see above; lanes outside the mask are not read.
            unsafe { _mm256_blendv_ps(rest, _mm256_maskload_ps(p, head8(n)), _mm256_castsi256_ps(head8(n))) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m256) {
            // SAFETY: see above.
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn store_head(p: *mut f32, n: usize, v: __m256) {
            // SAFETY: see above; lanes outside the mask are not written.
            unsafe { _mm256_maskstore_ps(p, head8(n), v) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn round(a: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        }
        #[inline(always)]
        unsafe fn scale(p: __m256, n: __m256) -> __m256 {
            // In two halves, so that neither power of two leaves the range of normal numbers.
            // SAFETY: see above.
            unsafe {
                let whole = _mm256_cvtps_epi32(n);
                let half = _mm256_srai_epi32::<1>(whole);
                _mm256_mul_ps(_mm256_mul_ps(p, power(half)), power(_mm256_sub_epi32(whole, half)))
            }
        }
        #[inline(always)]
        unsafe fn where_positive(a: __m256, x: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, _mm256_setzero_ps()), x) }
        }
        #[inline(always)]
        unsafe fn sum(v: __m256) -> f32 {
            let mut lanes = [0.0; 8];
            // SAFETY: see above; eight lanes fit.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), v) };
            let [a, b, c, d, e, f, g, h] = lanes;
            ((a + e) + (b + f)) + ((c + g) + (d + h))
        }
        #[inline(always)]
        unsafe fn largest(v: __m256) -> f32 {
            let mut lanes = [0.0; 8];
            // SAFETY: see above; eight lanes fit.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), v) };
            lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
        }
    }
}
