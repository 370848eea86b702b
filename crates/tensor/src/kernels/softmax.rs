//! Softmax along rows.

use super::simd::Simd;
use super::team::{Shared, split};
use super::{Isa, dispatch, math};

#[inline(always)]
unsafe fn softmax_rows_on<S: Simd>(logits: &[f32], width: usize, probs: &mut [f32], lse: &mut [[f32; 2]]) {
    let full = width / S::LANES * S::LANES;
    let rest = width - full;
    for ((x, p), lse) in logits.chunks_exact(width).zip(probs.chunks_exact_mut(width)).zip(lse) {
        let (x, p) = (x.as_ptr(), p.as_mut_ptr());
        // SAFETY: the caller guarantees S's target features; x and p are `width` long, and every access ends there.
        unsafe {
            let mut max = f32::NEG_INFINITY;
            if full > 0 {
                // The last vector overlaps the one before, which does not change a maximum.
                let mut m = S::load(x.add(width - S::LANES));
                let mut i = 0;
                while i < full {
                    m = S::max(m, S::load(x.add(i)));
                    i += S::LANES;
                }
                max = S::largest(m);
            } else {
                for i in 0..width {
                    max = max.max(*x.add(i));
                }
            }
            let shift = S::splat(max);
            let mut sum = S::splat(0.0);
            let mut i = 0;
            while i < full {
                let e = math::exp::<S>(S::sub(S::load(x.add(i)), shift));
                S::store(p.add(i), e);
                sum = S::add(sum, e);
                i += S::LANES;
            }
            let mut total = S::sum(sum);
            if rest > 0 {
                S::store_head(
                    p.add(full),
                    rest,
                    math::exp::<S>(S::sub(S::load_head(x.add(full), rest), shift)),
                );
                // Read back, so that lanes beyond the row do not count.
                total += S::sum(S::load_head(p.add(full), rest));
            }
            let scale = S::splat(1.0 / total);
            let mut i = 0;
            while i < full {
                S::store(p.add(i), S::mul(S::load(p.add(i)), scale));
                i += S::LANES;
            }
            if rest > 0 {
                S::store_head(p.add(full), rest, S::mul(S::load_head(p.add(full), rest), scale));
            }
            *lse = [max, total.ln()];
        }
    }
}

dispatch! {
    fn softmax_rows_isa(logits: &[f32], width: usize, probs: &mut [f32], lse: &mut [[f32; 2]]) = softmax_rows_on
}

/// Each row of `logits` (rows of `width`) becomes its softmax; `lse` gets each row's maximum, and the logarithm of the
/// sum of exponentials shifted by it: together the log-sum-exp.
pub fn softmax_rows(logits: &[f32], width: usize, probs: &mut [f32], lse: &mut [[f32; 2]]) {
    let rows = logits.len() / width;
    let (probs, lse) = (Shared::new(probs), Shared::new(lse));
    split(rows, 1, 60 * logits.len(), |part| {
        let numbers = part.start * width..part.end * width;
        // SAFETY: the parts of a split do not overlap.
        let (probs, lse) = unsafe { (probs.piece(numbers.clone()), lse.piece(part)) };
        softmax_rows_isa(Isa::detect(), &logits[numbers], width, probs, lse);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;

    #[test]
    fn every_width_equals_the_plain_loops() {
        for isa in Isa::available() {
            for width in [1, 7, 8, 15, 16, 27, 65, 200] {
                let x: Vec<f32> = (0..3 * width).map(|i| (i as f32 * 0.37).sin() * 30.0).collect();
                let wide: Vec<f64> = x.iter().map(|&x| x.into()).collect();
                let (mut p, mut lse) = (vec![0.0; x.len()], [[0.0; 2]; 3]);
                let (mut q, mut expected) = (vec![0.0; x.len()], [[0.0; 2]; 3]);
                softmax_rows_isa(isa, &x, width, &mut p, &mut lse);
                reference::softmax_rows(&wide, width, &mut q, &mut expected);
                for (p, q) in p.iter().zip(&q) {
                    assert!(
                        (f64::from(*p) - q).abs() <= 1e-5 * q + 1e-30,
                        "{isa:?} width {width}: {p} instead of {q}"
                    );
                }
                for (l, e) in lse.as_flattened().iter().zip(expected.as_flattened()) {
                    assert!(
                        (f64::from(*l) - e).abs() <= 1e-6 * e.abs() + 1e-6,
                        "{isa:?} width {width}: {l} instead of {e}"
                    );
                }
            }
        }
    }
}
