//! 256-bit vectors.

use super::{Anywhere, Arithmetic, SQRT_HALF, Simd};
use std::arch::x86_64::*;

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

/// The same vectors, which the compiler must have in registers at this point.
#[inline]
#[target_feature(enable = "avx2,fma")]
#[cfg_attr(miri, expect(unused_mut))]
fn in_registers([mut a, mut b, mut c, mut d]: [__m256; 4]) -> [__m256; 4] {
    // SAFETY: there are no instructions.
    #[cfg(not(miri))]
    unsafe {
        std::arch::asm!(
            "/* {0} {1} {2} {3} */",
            inout(ymm_reg) a,
            inout(ymm_reg) b,
            inout(ymm_reg) c,
            inout(ymm_reg) d,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

// SAFETY of every function below: the caller guarantees AVX2 and FMA, and the reads and writes that the trait
// names.
impl Arithmetic for Avx2 {
    type V = __m256;
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
    unsafe fn in_step(vectors: [__m256; 4]) -> [__m256; 4] {
        // SAFETY: see above.
        unsafe { in_registers(vectors) }
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
    unsafe fn scale_normal(p: __m256, n: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(p, power(_mm256_cvtps_epi32(n))) }
    }
    #[inline(always)]
    unsafe fn where_positive(a: __m256, x: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, _mm256_setzero_ps()), x) }
    }
    #[inline(always)]
    unsafe fn frexp(x: __m256) -> [__m256; 2] {
        // SAFETY: see above.
        unsafe {
            let bits = _mm256_castps_si256(x);
            let e = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_set1_epi32(SQRT_HALF)));
            let m = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(e));
            [_mm256_castsi256_ps(m), _mm256_cvtepi32_ps(e)]
        }
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const ACCUMULATORS: usize = 12;
    const STRIP_VECTORS: usize = 2;
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { *p.cast::<Anywhere<__m256>>() }.0
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        // SAFETY: see above; it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
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
        unsafe { *p.cast() = Anywhere(v) }
    }
    #[inline(always)]
    unsafe fn store_head(p: *mut f32, n: usize, v: __m256) {
        // In pieces, since a masked store takes dozens of steps on some processors.
        // SAFETY: see above; the pieces together are the first n lanes.
        unsafe {
            if n >= 8 {
                return _mm256_storeu_ps(p, v);
            }
            let (mut p, mut rest) = (p, _mm256_castps256_ps128(v));
            if n & 4 != 0 {
                _mm_storeu_ps(p, rest);
                (p, rest) = (p.add(4), _mm256_extractf128_ps::<1>(v));
            }
            if n & 2 != 0 {
                // Not `_mm_storel_pd`, which would need the alignment of an f64.
                _mm_storeu_si64(p.cast(), _mm_castps_si128(rest));
                (p, rest) = (p.add(2), _mm_movehl_ps(rest, rest));
            }
            if n & 1 != 0 {
                _mm_store_ss(p, rest);
            }
        }
    }
    #[inline(always)]
    unsafe fn head(v: __m256, n: usize) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_and_ps(v, _mm256_castsi256_ps(head8(n))) }
    }
    #[inline(always)]
    unsafe fn transpose_tile(
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        [height, width]: [usize; 2],
        written: usize,
    ) -> bool {
        // SAFETY: see above; rows beyond `height` or `width` are not touched, nor lanes beyond `written`.
        unsafe {
            let is_whole = height == 8 && width == 8;
            let mut r = [_mm256_setzero_ps(); 8];
            for (i, r) in r.iter_mut().enumerate() {
                let from = from.wrapping_add(i.wrapping_mul(from_stride));
                if is_whole {
                    *r = _mm256_loadu_ps(from);
                } else if i < height {
                    *r = _mm256_maskload_ps(from, head8(width));
                }
            }
            // Transposes pairs of rows, then pairs of pairs, within each half of a vector; then the halves.
            let mut t = [_mm256_setzero_ps(); 8];
            for i in 0..4 {
                t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for i in 0..2 {
                let [a, b, c, d] = [t[4 * i], t[4 * i + 1], t[4 * i + 2], t[4 * i + 3]];
                r[4 * i] = _mm256_shuffle_ps::<0x44>(a, c);
                r[4 * i + 1] = _mm256_shuffle_ps::<0xee>(a, c);
                r[4 * i + 2] = _mm256_shuffle_ps::<0x44>(b, d);
                r[4 * i + 3] = _mm256_shuffle_ps::<0xee>(b, d);
            }
            for i in 0..4 {
                let (low, high) = (r[i], r[i + 4]);
                t[i] = _mm256_permute2f128_ps::<0x20>(low, high);
                t[i + 4] = _mm256_permute2f128_ps::<0x31>(low, high);
            }
            for (i, t) in t.iter().enumerate() {
                let to = to.wrapping_add(i.wrapping_mul(to_stride));
                if is_whole {
                    _mm256_storeu_ps(to, *t);
                } else if i < width {
                    Self::store_head(to, written, *t);
                }
            }
        }
        true
    }
}
