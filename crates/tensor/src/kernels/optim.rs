//! Steps of optimizers with state: plain loops, which the compiler vectorizes for each instruction set.

use super::pool::parallel_for;
use super::simd::Simd;
use super::team::Shared;
use super::{Isa, dispatch, reference};

#[inline(always)]
unsafe fn momentum_on<S: Simd>(rates: [f32; 3], g: &[f32], v: &mut [f32], p: &mut [f32]) {
    reference::momentum_step(rates, g, v, p);
}

dispatch! {
    fn momentum_isa(rates: [f32; 3], g: &[f32], v: &mut [f32], p: &mut [f32]) = momentum_on
}

/// `v = momentum v + g + decay p; p -= lr v`, with `rates` lr, momentum, decay.
pub fn momentum_step(rates: [f32; 3], g: &[f32], v: &mut [f32], p: &mut [f32]) {
    let n = p.len();
    let (v, p) = (Shared::new(v), Shared::new(p));
    parallel_for(n, 16, 16 * n, |part| {
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let (v, p) = unsafe { (v.piece(part.clone()), p.piece(part.clone())) };
        momentum_isa(Isa::detect(), rates, &g[part], v, p);
    });
}

#[inline(always)]
unsafe fn adamw_on<S: Simd>(rates: [f32; 7], g: &[f32], m: &mut [f32], v: &mut [f32], p: &mut [f32]) {
    reference::adamw_step(rates, g, m, v, p);
}

dispatch! {
    fn adamw_isa(rates: [f32; 7], g: &[f32], m: &mut [f32], v: &mut [f32], p: &mut [f32]) = adamw_on
}

/// A step of AdamW; see [`mod@reference`] for the rates.
pub fn adamw_step(rates: [f32; 7], g: &[f32], m: &mut [f32], v: &mut [f32], p: &mut [f32]) {
    let n = p.len();
    let (m, v, p) = (Shared::new(m), Shared::new(v), Shared::new(p));
    parallel_for(n, 16, 40 * n, |part| {
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let (m, v, p) = unsafe { (m.piece(part.clone()), v.piece(part.clone()), p.piece(part.clone())) };
        adamw_isa(Isa::detect(), rates, &g[part], m, v, p);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same() {
        let numbers =
            |seed: usize| -> Vec<f32> { (0..37).map(|i| ((i * 7919 + seed) % 100) as f32 / 50.0).collect() };
        let run = |isa: Option<Isa>| {
            let (g, mut m, mut v, mut p) = (numbers(1), numbers(2), numbers(3), numbers(4));
            let rates = [0.99, 0.1, 0.9, 0.1, 0.999, 0.001, 1e-8];
            match isa {
                Some(isa) => {
                    adamw_isa(isa, rates, &g, &mut m, &mut v, &mut p);
                    momentum_isa(isa, [0.1, 0.9, 0.01], &g, &mut m, &mut p);
                }
                None => {
                    reference::adamw_step(rates, &g, &mut m, &mut v, &mut p);
                    reference::momentum_step([0.1, 0.9, 0.01], &g, &mut m, &mut p);
                }
            }
            [m, v, p].concat()
        };
        for isa in Isa::available() {
            for (a, b) in run(Some(isa)).iter().zip(run(None)) {
                assert!((a - b).abs() <= 1e-6, "{isa:?}: {a} instead of {b}");
            }
        }
    }
}
