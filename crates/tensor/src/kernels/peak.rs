//! The peak performance of a core.

use super::simd::Simd;
use super::{Isa, dispatch};
use std::hint::black_box;
use std::time::Instant;

/// Fused multiply-adds per chain in one measurement, which takes a tenth of a millisecond.
const LONG: usize = 20_000;
/// The number of measurements, of which the best counts: an idle core takes some milliseconds to reach its
/// highest clock.
const MANY: usize = 100;

/// `CHAINS` independent chains of [`LONG`] fused multiply-adds; `result` keeps them from being optimized
/// away.
#[inline(always)]
unsafe fn chains<S: Simd, const CHAINS: usize>(result: &mut f32) {
    // SAFETY: the caller guarantees S's target features; the array holds any vector.
    unsafe {
        let (factor, summand) = (S::splat(black_box(0.999)), S::splat(black_box(0.001)));
        let mut sums = [S::splat(0.0); CHAINS];
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = S::splat(black_box(i as f32));
        }
        for _ in 0..LONG {
            for sum in &mut sums {
                *sum = S::fma(*sum, factor, summand);
            }
        }
        for sum in sums {
            let mut lanes = [0.0; super::simd::LANES];
            S::store(lanes.as_mut_ptr(), sum);
            *result += lanes.iter().sum::<f32>();
        }
    }
}

#[inline(always)]
unsafe fn chains_on<S: Simd>(operations: &mut usize, result: &mut f32) {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        if S::ACCUMULATORS >= 24 {
            chains::<S, 24>(result);
        } else {
            chains::<S, 12>(result);
        }
    }
    *operations = 2 * S::ACCUMULATORS * S::LANES * LONG;
}

dispatch! {
    fn chains_isa(operations: &mut usize, result: &mut f32) = chains_on
}

/// The peak performance of one core: independent fused multiply-adds in the kernels' vectors, with all
/// operands in registers; the best of many short measurements (about 10 ms in all).
///
/// # Units
/// Billions of floating-point operations a second (GFLOP/s); a multiply-add counts as two.
pub fn peak_gflops() -> f64 {
    let measure = || {
        let (mut operations, mut result) = (0, 0.0);
        let start = Instant::now();
        chains_isa(Isa::detect(), &mut operations, &mut result);
        black_box(result);
        operations as f64 / start.elapsed().as_secs_f64().max(1e-9) / 1e9
    };
    (0..MANY).map(|_| measure()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg_attr(miri, ignore = "measures time")]
    fn a_peak_is_that_of_a_processor() {
        let peak = super::peak_gflops();
        assert!((0.001..10_000.0).contains(&peak), "{peak} GFLOP/s");
    }
}
