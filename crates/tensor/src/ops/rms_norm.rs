//! y = weight x / sqrt(mean(x^2) + eps), row by row

use crate::kernels::Norm;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Var};

struct RmsNorm<E> {
    width: usize,
    eps: E,
    /// Per row: 0, and 1 / sqrt(mean(x^2) + eps).
    stats: Vec<[E; 2]>,
}

impl<E: Element> RmsNorm<E> {
    fn norm<'a>(&self, x: Inputs<'a, E>) -> Norm<'a, E> {
        let weight = (x.count() > 1).then(|| x.get(1));
        Norm { width: self.width, eps: self.eps, centred: false, weight, bias: None }
    }
}

impl<E: Element> Op<E> for RmsNorm<E> {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::Keeps
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        E::norm_rows(self.norm(x), x.get(0), out, &mut self.stats[..out.len() / self.width]);
    }

    // With h = x / r, r = sqrt(mean(x^2) + eps), and d = weight dy, the gradient that arrives at h:
    //   dx = (d - h mean(d h)) / r, the mean over the row        dweight = sum dy h, the sum over rows
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
        if x.count() > 1
            && let Some(g) = grads.get(1)
        {
            E::norm_rows_weight(x.get(0), stats, grad, g.zeroed());
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// Each row brought to a mean square of 1, then scaled if there is a weight.
    ///
    /// `y = weight x / sqrt(mean(x^2) + eps)`, the mean over the last dimension.
    ///
    /// # Shapes
    /// x (..., H), weight (H) -> as x
    ///
    /// # Panics
    /// If the sizes do not fit.
    ///
    /// # Source
    /// Zhang and Sennrich 2019; `torch.nn.functional.rms_norm` over the last dimension
    pub fn rms_norm(self, weight: Option<Var<'t, E>>, eps: f64) -> Var<'t, E> {
        let x = self.contiguous();
        let shape = x.shape();
        let width = shape.last();
        assert!(shape.rank() >= 1 && width > 0, "rms_norm takes rows, not shape {shape:?}");
        let mut inputs = vec![x.id()];
        if let Some(weight) = weight {
            assert_eq!(weight.shape().dims(), [width], "rms_norm: a weight for each place of a row");
            inputs.push(weight.contiguous().id());
        }
        let op = RmsNorm { width, eps: E::of(eps), stats: vec![[E::zero(); 2]; shape.len() / width] };
        self.tape().record(op, &inputs, shape)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::check;

    #[test]
    fn gradient() {
        check(&[&[3, 5], &[5]], |v| v[0].rms_norm(Some(v[1]), 1e-5));
        check(&[&[2, 37]], |v| v[0].rms_norm(None, 1e-5));
        check(&[&[2, 3, 4], &[4]], |v| v[0].rms_norm(Some(v[1]), 0.1) * v[0]);
        // The weight is the row itself.
        check(&[&[1, 4]], |v| v[0].rms_norm(Some(v[0].reshape(&[4])), 1e-5));
    }
}
