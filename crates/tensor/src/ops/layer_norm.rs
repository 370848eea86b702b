//! y = weight (x - mean) / sqrt(var + eps) + bias, with each row's own mean and variance

use crate::kernels::Norm;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Var};

struct LayerNorm<E> {
    width: usize,
    eps: E,
    /// Per row: its mean, and 1 / sqrt(var + eps).
    stats: Vec<[E; 2]>,
}

impl<E: Element> LayerNorm<E> {
    fn norm<'a>(&self, x: Inputs<'a, E>) -> Norm<'a, E> {
        let (weight, bias) = (Some(x.get(1)), Some(x.get(2)));
        Norm { width: self.width, eps: self.eps, centred: true, weight, bias }
    }
}

impl<E: Element> Op<E> for LayerNorm<E> {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::Keeps
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        E::norm_rows(self.norm(x), x.get(0), out, &mut self.stats[..out.len() / self.width]);
    }

    // With x_hat = (x - mean) / std and d = weight dy, the gradient that arrives at x_hat:
    //   dx = (d - mean(d) - x_hat mean(d x_hat)) / std, the means over the row
    //   dweight = sum dy x_hat        dbias = sum dy, the sums over rows
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let stats = &self.stats[..out.len() / self.width];
        if let Some(g) = grads.get(0) {
            E::norm_rows_backward(self.norm(x), x.get(0), stats, grad, g.data, g.add);
        }
        if let Some(g) = grads.get(1) {
            E::norm_rows_weight(x.get(0), stats, grad, g.zeroed());
        }
        if let Some(g) = grads.get(2) {
            E::sum_rows(grad, g.zeroed());
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// Each row brought to mean 0 and (biased) variance 1, then scaled and shifted.
    ///
    /// `y = weight (x - mean) / sqrt(var + eps) + bias`, the mean and variance over the last dimension.
    ///
    /// # Shapes
    /// x (..., H), weight (H), bias (H) -> as x
    ///
    /// # Panics
    /// If the sizes do not fit.
    ///
    /// # Source
    /// Ba, Kiros and Hinton 2016; `torch.nn.functional.layer_norm` over the last dimension
    pub fn layer_norm(self, weight: Var<'t, E>, bias: Var<'t, E>, eps: f64) -> Var<'t, E> {
        let x = self.contiguous();
        let shape = x.shape();
        let width = shape.last();
        assert!(shape.rank() >= 1 && width > 0, "layer_norm takes rows, not shape {shape:?}");
        assert_eq!(weight.shape().dims(), [width], "layer_norm: a weight for each place of a row");
        assert_eq!(bias.shape().dims(), [width], "layer_norm: a bias for each place of a row");
        let op = LayerNorm { width, eps: E::of(eps), stats: vec![[E::zero(); 2]; shape.len() / width] };
        self.tape().record(op, &[x.id(), weight.contiguous().id(), bias.contiguous().id()], shape)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::check;

    #[test]
    fn gradient() {
        check(&[&[3, 5], &[5], &[5]], |v| v[0].layer_norm(v[1], v[2], 1e-5));
        check(&[&[2, 37], &[37], &[37]], |v| v[0].layer_norm(v[1], v[2], 1e-5));
        check(&[&[2, 3, 4], &[4], &[4]], |v| v[0].layer_norm(v[1], v[2], 0.1));
        // The row itself is used beside its norm, so its gradient is added to.
        check(&[&[2, 4], &[4], &[4]], |v| v[0].layer_norm(v[1], v[2], 1e-5) * v[0]);
    }
}
