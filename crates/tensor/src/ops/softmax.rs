//! softmax and log-softmax along one dimension

use super::lanes;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Var};

struct Softmax<E> {
    log: bool,
    width: usize,
    /// Each row's maximum m, and `ln sum exp(x - m)`.
    lse: Vec<[E; 2]>,
    /// The softmax, which the backward pass of log-softmax needs.
    probs: Vec<E>,
}

impl<E: Element> Op<E> for Softmax<E> {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let (x, n, len) = (x.get(0), self.width, out.len());
        let probs = if self.log { &mut self.probs[..len] } else { &mut *out };
        E::softmax_rows(x, n, probs, &mut self.lse[..len / n]);
        if self.log {
            for ((y, x), &[max, log_sum]) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)).zip(&self.lse) {
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = x - max - log_sum);
            }
        }
    }

    // softmax: dx = p (dy - sum dy p)      log-softmax: dx = dy - p sum dy, with sums over the row
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let Some(g) = grads.get(0) else { return };
        let n = self.width;
        let probs = if self.log { &self.probs[..out.len()] } else { out };
        let rows = g.data.chunks_exact_mut(n).zip(probs.chunks_exact(n)).zip(grad.chunks_exact(n));
        for ((dx, p), dy) in rows {
            let sum = if self.log { lanes::sum(dy) } else { lanes::dot(dy, p) };
            for ((dx, &p), &dy) in dx.iter_mut().zip(p).zip(dy) {
                let d = if self.log { dy - p * sum } else { p * (dy - sum) };
                *dx = if g.add { *dx + d } else { d };
            }
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    fn softmax_or_log(self, dim: usize, log: bool) -> Var<'t, E> {
        let shape = self.shape();
        assert!(
            dim < shape.rank() && shape.dims()[dim] > 0,
            "softmax: no elements along dimension {dim} of shape {shape:?}"
        );
        let last = shape.rank() - 1;
        if dim != last {
            return self.transpose(dim, last).softmax_or_log(last, log).transpose(dim, last);
        }
        let x = self.contiguous();
        let width = shape.last();
        let op = Softmax {
            log,
            width,
            lse: vec![[E::zero(); 2]; shape.len() / width],
            probs: vec![E::zero(); if log { shape.len() } else { 0 }],
        };
        x.tape().record(op, &[x.id()], shape)
    }

    /// `y = e^x / sum e^x` along a dimension, shifted by the maximum so that large numbers do not overflow.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Panics
    /// If the dimension is not there, or has no element.
    ///
    /// # Source
    /// `torch.softmax`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let logits = tape.input(&[2, 2], &[0.0, 0.0, 1000.0, 1000.0]);
    /// assert_eq!(logits.softmax(1).data(), [0.5; 4]);
    /// assert_eq!(logits.log_softmax(1).data(), [0.5f64.ln(); 4]);
    /// ```
    pub fn softmax(self, dim: usize) -> Var<'t, E> {
        self.softmax_or_log(dim, false)
    }

    /// `y = x - ln sum e^x` along a dimension, shifted by the maximum so that large numbers do not overflow.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Units
    /// nats
    ///
    /// # Panics
    /// If the dimension is not there, or has no element.
    ///
    /// # Source
    /// `torch.log_softmax`
    pub fn log_softmax(self, dim: usize) -> Var<'t, E> {
        self.softmax_or_log(dim, true)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::check;

    #[test]
    fn gradient() {
        for dim in 0..3 {
            check(&[&[2, 3, 4]], |v| v[0].softmax(dim));
            check(&[&[2, 3, 4]], |v| v[0].log_softmax(dim));
            check(&[&[2, 3, 4]], |v| v[0].softmax(dim) * v[0].exp());
        }
        check(&[&[3, 4]], |v| v[0].transpose(0, 1).log_softmax(1));
        check(&[&[5]], |v| v[0].softmax(0));
    }
}
