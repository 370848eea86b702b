//! y = x / (1 - p) where the mask keeps it, 0 elsewhere

use crate::kernels::parallel_rows;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::rng::DropoutMask;
use crate::{Element, Var};

/// Estimated operations per element, half of them for drawing the mask.
const WORK: usize = 40;

struct Dropout<E> {
    layer: DropoutMask,
    /// The length of a row.
    width: usize,
    /// The factor of each element.
    mask: Vec<E>,
}

impl<E: Element> Dropout<E> {
    fn draw(&mut self, mask: DropoutMask, len: usize) {
        let scale = E::of(mask.scale);
        parallel_rows(&mut self.mask[..len], self.width, WORK * len, |at, part| {
            // Each part begins at an even row, hence at an even element.
            for (i, pair) in (at / 2..).zip(part.chunks_mut(2)) {
                for (m, kept) in pair.iter_mut().zip(mask.pair(i)) {
                    *m = if kept { scale } else { E::zero() };
                }
            }
        });
    }
}

impl<E: Element> Op<E> for Dropout<E> {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRowIndex
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        if !env.training {
            return out.copy_from_slice(x.get(0));
        }
        self.draw(self.layer.at(env.step, env.replica), out.len());
        let (x, mask) = (x.get(0), &self.mask);
        parallel_rows(out, self.width, WORK * out.len(), |at, y| {
            let (x, mask) = (&x[at..][..y.len()], &mask[at..][..y.len()]);
            y.iter_mut().zip(x.iter().zip(mask)).for_each(|(y, (&x, &m))| *y = x * m);
        });
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
        g.parallel_rows(self.width, WORK * grad.len(), |at, g| {
            let n = g.data.len();
            let (dy, mask) = (&grad[at..][..n], &self.mask[at..][..n]);
            match env.training {
                true => g.each(|i| dy[i] * mask[i]),
                false => g.each(|i| dy[i]),
            }
        });
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// In training, each element is set to 0 with probability `p`, else divided by `1 - p`; in evaluation
    /// nothing changes.
    ///
    /// The mask is a function of `seed`, `layer`, the tape's step and the element's index. There is no
    /// generator state to save, so a resumed training draws the same masks as an uninterrupted one.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Panics
    /// If `p` is not between 0 and 1.
    ///
    /// # Source
    /// Srivastava et al. 2014; `torch.nn.functional.dropout`, whose masks come from torch's generator
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input(&[1000], &[1.0; 1000]);
    /// let kept = x.dropout(0.5, 42, 0).data();
    /// assert!(kept.iter().all(|&x| x == 0.0 || x == 2.0));
    /// assert_eq!(kept, x.dropout(0.5, 42, 0).data());
    /// tape.set_training(false);
    /// assert_eq!(x.dropout(0.5, 42, 0).data(), [1.0; 1000]);
    /// ```
    pub fn dropout(self, p: f64, seed: u64, layer: u64) -> Var<'t, E> {
        let layer = DropoutMask::new(p, seed, layer);
        let x = self.contiguous();
        let mask = vec![E::zero(); x.shape().len()];
        let width = x.shape().row();
        self.tape().record(Dropout { layer, width, mask }, &[x.id()], x.shape())
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
        // Within five standard deviations of a binomial distribution.
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
