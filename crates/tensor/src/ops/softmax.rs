//! softmax and log-softmax along one dimension

use crate::op::{Batch, Env, Grads, Inputs, Op};
use crate::{Element, Layout, Var};

struct Softmax<E> {
    log: bool,
    /// How many elements lie along the dimension, and how far apart.
    n: usize,
    step: usize,
    batch: Batch,
    /// One line along the dimension, less its maximum, and the exponentials of that.
    shifted: Vec<E>,
    exp: Vec<E>,
}

impl<E> Softmax<E> {
    /// The places of the first elements of all lines, and of a line's elements.
    fn lines(
        &self,
        len: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone + use<E>> + use<E> {
        let (n, step) = (self.n, self.step);
        let firsts =
            (0..len / (n * step)).flat_map(move |block| (0..step).map(move |i| block * n * step + i));
        firsts.map(move |first| (0..n).map(move |j| first + j * step))
    }
}

impl<E: Element> Op<E> for Softmax<E> {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn batch(&self) -> Batch {
        self.batch
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &mut Env<'_, E>) {
        let x = x.get(0);
        for line in self.lines(out.len()) {
            // Without the maximum nothing overflows, and the result is the same.
            let max = line.clone().map(|i| x[i]).fold(E::neg_infinity(), E::max);
            self.shifted.iter_mut().zip(line.clone()).for_each(|(s, i)| *s = x[i] - max);
            E::exp_slice(&self.shifted, &mut self.exp);
            let sum = self.exp.iter().copied().sum::<E>();
            if self.log {
                let log = sum.ln();
                line.zip(&self.shifted).for_each(|(i, &s)| out[i] = s - log);
            } else {
                line.zip(&self.exp).for_each(|(i, &e)| out[i] = e / sum);
            }
        }
    }

    // softmax: dx = y (dy - sum dy y)      log_softmax: dx = dy - e^y sum dy, the sums along the dimension
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut Grads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let Some(g) = grads.get(0) else { return };
        let mut write = |i: usize, d: E| g.data[i] = if g.add { g.data[i] + d } else { d };
        for line in self.lines(out.len()) {
            if self.log {
                let sum = line.clone().map(|i| grad[i]).sum::<E>();
                line.for_each(|i| write(i, grad[i] - out[i].exp() * sum));
            } else {
                let sum = line.clone().map(|i| grad[i] * out[i]).sum::<E>();
                line.for_each(|i| write(i, out[i] * (grad[i] - sum)));
            }
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    fn softmax_or_log(self, dim: usize, log: bool) -> Var<'t, E> {
        let x = self.contiguous();
        let shape = x.shape();
        assert!(dim < shape.rank(), "softmax over dimension {dim} of shape {shape:?}");
        let n = shape.dims()[dim];
        assert!(n > 0, "softmax over dimension {dim} of shape {shape:?}: there is no element");
        let step = Layout::contiguous(&shape, 0).strides[dim].max(1);
        let batch = if dim > 0 { Batch::Rows } else { Batch::Mixes };
        let line = || vec![E::zero(); n];
        let op = Softmax { log, n, step, batch, shifted: line(), exp: line() };
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
