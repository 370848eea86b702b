//! y = x / (1 - p) where the mask keeps it, 0 elsewhere

use crate::op::{Env, InputGrads, Inputs, Op};
use crate::rng::mix;
use crate::{Element, Var};

struct Dropout<E> {
    /// An element is dropped if its 32 random bits are below this.
    below: u64,
    scale: E,
    /// What the mask follows from, besides the step and the element.
    key: u64,
    /// What each element is multiplied by.
    mask: Vec<E>,
}

impl<E: Element> Dropout<E> {
    /// Every element's bits are a hash of its place, so that the same step has the same mask whenever it is run.
    fn draw(&mut self, step: u64, replica: u64) {
        let key = mix(self.key ^ mix(step.wrapping_add(1)));
        let key = if replica == 0 { key } else { mix(key ^ mix(!replica)) };
        for (i, pair) in self.mask.chunks_mut(2).enumerate() {
            let mut bits = mix(key.wrapping_add(i as u64));
            for m in pair {
                *m = if bits & 0xffff_ffff < self.below { E::zero() } else { self.scale };
                bits >>= 32;
            }
        }
    }
}

impl<E: Element> Op<E> for Dropout<E> {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        if !env.training {
            return out.copy_from_slice(x.get(0));
        }
        self.draw(env.step, env.replica);
        out.iter_mut().zip(x.get(0).iter().zip(&self.mask)).for_each(|(y, (&x, &m))| *y = x * m);
    }

    // dx = dy / (1 - p) where the mask kept x, 0 elsewhere
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    ) {
        let Some(g) = grads.get(0) else { return };
        if env.training {
            g.each(|i| grad[i] * self.mask[i]);
        } else {
            g.each(|i| grad[i]);
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// In training, each element is 0 with probability `p`, and divided by `1 - p` else; in evaluation nothing changes.
    ///
    /// The mask is a function of `seed`, `layer`, the tape's step and the element's place: there is no generator whose
    /// state could be lost, so a resumed training draws the masks that an uninterrupted one would have drawn.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Panics
    /// If `p` is not between 0 and 1.
    ///
    /// # Source
    /// Srivastava et al. 2014; `torch.nn.functional.dropout`, whose masks come from torch's generator
    pub fn dropout(self, p: f64, seed: u64, layer: u64) -> Var<'t, E> {
        assert!((0.0..=1.0).contains(&p), "dropout: a probability lies between 0 and 1, not at {p}");
        let x = self.contiguous();
        let key = mix(mix(seed.wrapping_add(1)) ^ layer);
        let below = (p * 2f64.powi(32)).round() as u64;
        let mask = vec![E::zero(); x.shape().len()];
        self.tape().record(
            Dropout { below, scale: E::of((1.0 - p).recip()), key, mask },
            &[x.id()],
            x.shape(),
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;
    use crate::check::check;

    #[test]
    fn gradient() {
        check(&[&[4, 5]], |v| v[0].dropout(0.4, 7, 1));
        check(&[&[4, 5]], |v| v[0].dropout(0.4, 7, 1) * v[0]);
        check(&[&[3]], |v| v[0].dropout(1.0, 7, 1));
    }

    #[test]
    fn a_mask_follows_from_seed_layer_and_step() {
        let tape = Tape::<f32>::new();
        let n = 100_000;
        let mask = |seed, layer, step| {
            tape.set_step(step);
            tape.input(&[n], &vec![1.0; n]).dropout(0.25, seed, layer).data()
        };
        let first = mask(1, 2, 3);
        let kept = first.iter().filter(|&&y| y == 1.0 / 0.75).count();
        assert!(first.iter().all(|&y| y == 0.0 || y == 1.0 / 0.75));
        // Five standard deviations of a binomial distribution.
        assert!((kept as f64 - 0.75 * n as f64).abs() < 5.0 * (n as f64 * 0.75 * 0.25).sqrt(), "{kept}");
        assert_eq!(first, mask(1, 2, 3));
        for other in [mask(2, 2, 3), mask(1, 3, 3), mask(1, 2, 4), mask(2, 1, 3)] {
            let differ = first.iter().zip(&other).filter(|(a, b)| a != b).count() as f64;
            let expected = 2.0 * 0.75 * 0.25 * n as f64;
            assert!((differ - expected).abs() < 0.02 * n as f64, "{differ} elements differ");
        }
    }

    #[test]
    fn evaluation_changes_nothing() {
        let tape = Tape::<f64>::new();
        tape.set_training(false);
        let x = tape.variable(&[3], &[1.0, -2.0, 3.0]);
        let y = x.dropout(0.5, 1, 0);
        assert_eq!(y.data(), x.data());
        y.sum_all().backward();
        assert_eq!(x.grad(), [1.0; 3]);
    }
}
