//! 512-bit vectors, with masks.

use super::{Anywhere, Arithmetic, SQRT_HALF, Simd};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(in super::super) struct Avx512;

/// A mask of the first `n` lanes of 16.
#[inline(always)]
fn head(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

// SAFETY of every function below: the caller guarantees AVX-512F, and the reads and writes that the trait names.
impl Arithmetic for Avx512 {
    type V = __m512;
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
        // An estimate of 1 / b with Newton steps would be faster, but sometimes wrong in the last bit.
        // SAFETY: see above.
        unsafe { _mm512_div_ps(a, b) }
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
    unsafe fn frexp(x: __m512) -> [__m512; 2] {
        // SAFETY: see above.
        unsafe {
            let bits = _mm512_castps_si512(x);
            let e = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, _mm512_set1_epi32(SQRT_HALF)));
            let m = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(e));
            [_mm512_castsi512_ps(m), _mm512_cvtepi32_ps(e)]
        }
    }
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const ACCUMULATORS: usize = 24;
    const STRIP_VECTORS: usize = 3;
    const FAST_MASKS: bool = true;
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { *p.cast::<Anywhere<__m512>>() }.0
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        // SAFETY: see above; it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
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
        unsafe { *p.cast() = Anywhere(v) }
    }
    #[inline(always)]
    unsafe fn store_head(p: *mut f32, n: usize, v: __m512) {
        // SAFETY: see above; lanes outside the mask are not written.
        unsafe { _mm512_mask_storeu_ps(p, head(n), v) }
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
            // Every loop runs to 16, so that the rows stay in registers. Missing rows are skipped: a load
            // with an empty mask from unmapped memory takes thousands of cycles.
            let is_whole = height == 16 && width == 16;
            let mut r = [_mm512_setzero_ps(); 16];
            for (i, r) in r.iter_mut().enumerate() {
                let from = from.wrapping_add(i.wrapping_mul(from_stride));
                if is_whole {
                    *r = _mm512_loadu_ps(from);
                } else if i < height {
                    *r = _mm512_maskz_loadu_ps(head(width), from);
                }
            }
            let mut t = [_mm512_setzero_ps(); 16];
            // Transposes pairs of rows, then pairs of pairs, within each quarter of a vector; then the
            // quarters.
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
                let to = to.wrapping_add(i.wrapping_mul(to_stride));
                if is_whole {
                    _mm512_storeu_ps(to, *r);
                } else if i < width {
                    _mm512_mask_storeu_ps(to, head(written), *r);
                }
            }
        }
        true
    }
    #[inline(always)]
    unsafe fn head(v: __m512, n: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_maskz_mov_ps(head(n), v) }
    }
}
