//! 128-bit vectors of every 64-bit ARM processor.

use super::{Arithmetic, SQRT_HALF, Simd};
use std::arch::aarch64::*;

#[derive(Clone, Copy)]
pub(in super::super) struct Neon;

/// 2^n for whole n between -126 and 127.
#[inline(always)]
unsafe fn power(n: int32x4_t) -> float32x4_t {
    // SAFETY: the caller guarantees NEON.
    unsafe { vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127)))) }
}

// SAFETY of every function below: the caller guarantees NEON, and the reads and writes that the trait names.
impl Arithmetic for Neon {
    type V = float32x4_t;
    #[inline(always)]
    unsafe fn splat(x: f32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // Not `vmaxq_f32`, which gives NaN if either is NaN.
        // SAFETY: see above.
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }
    #[inline(always)]
    unsafe fn round(a: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vrndnq_f32(a) }
    }
    #[inline(always)]
    unsafe fn scale(p: float32x4_t, n: float32x4_t) -> float32x4_t {
        // In two halves, so that neither power of two leaves the range of normal numbers.
        // SAFETY: see above.
        unsafe {
            let whole = vcvtq_s32_f32(n);
            let half = vshrq_n_s32::<1>(whole);
            vmulq_f32(vmulq_f32(p, power(half)), power(vsubq_s32(whole, half)))
        }
    }
    #[inline(always)]
    unsafe fn scale_normal(p: float32x4_t, n: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vmulq_f32(p, power(vcvtq_s32_f32(n))) }
    }
    #[inline(always)]
    unsafe fn where_positive(a: float32x4_t, x: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vbslq_f32(vcgtq_f32(a, vdupq_n_f32(0.0)), x, vdupq_n_f32(0.0)) }
    }
    #[inline(always)]
    unsafe fn frexp(x: float32x4_t) -> [float32x4_t; 2] {
        // SAFETY: see above.
        unsafe {
            let bits = vreinterpretq_s32_f32(x);
            let e = vshrq_n_s32::<23>(vsubq_s32(bits, vdupq_n_s32(SQRT_HALF)));
            let m = vsubq_s32(bits, vshlq_n_s32::<23>(e));
            [vreinterpretq_f32_s32(m), vcvtq_f32_s32(e)]
        }
    }
}

impl Simd for Neon {
    const LANES: usize = 4;
    const ACCUMULATORS: usize = 24;
    const STRIP_VECTORS: usize = 3;
    #[inline(always)]
    unsafe fn load(p: *const f32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn load_head(p: *const f32, n: usize) -> float32x4_t {
        // SAFETY: see above.
        unsafe { Self::load_or(p, n, vdupq_n_f32(0.0)) }
    }
    #[inline(always)]
    unsafe fn load_or(p: *const f32, n: usize, rest: float32x4_t) -> float32x4_t {
        // There are no masked loads, and a whole load may read beyond readable memory.
        // SAFETY: see above; four lanes fit, and n is at most four.
        unsafe {
            let mut lanes = [0.0; 4];
            vst1q_f32(lanes.as_mut_ptr(), rest);
            for (i, lane) in lanes.iter_mut().enumerate().take(n) {
                *lane = *p.add(i);
            }
            vld1q_f32(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: float32x4_t) {
        // SAFETY: see above.
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn store_head(p: *mut f32, n: usize, v: float32x4_t) {
        // SAFETY: see above; four lanes fit, and the first n may be written.
        unsafe {
            let mut lanes = [0.0; 4];
            vst1q_f32(lanes.as_mut_ptr(), v);
            for (i, &lane) in lanes.iter().enumerate().take(n) {
                *p.add(i) = lane;
            }
        }
    }
    #[inline(always)]
    unsafe fn head(v: float32x4_t, n: usize) -> float32x4_t {
        let lane = [0, 1, 2, 3];
        // SAFETY: see above; four lanes are read.
        unsafe {
            let within = vcgtq_s32(vdupq_n_s32(n as i32), vld1q_s32(lane.as_ptr()));
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), within))
        }
    }
}
