//! y = weight (x - mean) / sqrt(var + eps) + bias, with each row's own mean and variance

use crate::kernels::Norm;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Var};

/// The norm of each row: layer norm or, if not `centred`, RMS norm. The inputs are x, then optionally a
/// weight, then optionally a bias.
pub(super) struct RowNorm<E> {
    name: &'static str,
    width: usize,
    eps: E,
    centred: bool,
    /// Per row: its mean (0 unless centred), and 1 / sqrt(var + eps).
    stats: Vec<[E; 2]>,
}

impl<E: Element> RowNorm<E> {
    /// The norm of the rows of x: `len` numbers in rows of `width`.
    pub(super) fn new(name: &'static str, [len, width]: [usize; 2], eps: f64, centred: bool) -> Self {
        Self { name, width, eps: E::of(eps), centred, stats: vec![[E::zero(); 2]; len / width] }
    }

    fn norm<'a>(&self, x: Inputs<'a, E>) -> Norm<'a, E> {
        let input = |k: usize| (x.count() > k).then(|| x.get(k));
        let (weight, bias) = (input(1), input(2));
        Norm { width: self.width, eps: self.eps, centred: self.centred, weight, bias }
    }
}

impl<E: Element> Op<E> for RowNorm<E> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        E::norm_rows(self.norm(x), x.get(0), out, &mut self.stats[..out.len() / self.width]);
    }

    // With r = sqrt(var + eps), h = (x - mean) / r and d = weight dy, the gradient with respect to h:
    //   dx = (d - mean(d) - h mean(d h)) / r, with means over the row; if not centred, without mean, mean(d)
    //   dweight = sum dy h        dbias = sum dy, with sums over rows
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
        if x.count() > 2
            && let Some(g) = grads.get(2)
        {
            E::sum_rows(grad, g.zeroed());
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// Normalizes each row to mean 0 and (biased) variance 1, then scales and shifts it.
    ///
    /// `y = weight (x - mean) / sqrt(var + eps) + bias`, with the mean and variance over the last dimension.
    ///
    /// # Shapes
    /// x (..., H), weight (H), bias (H) -> as x
    ///
    /// # Panics
    /// If the sizes do not fit.
    ///
    /// # Source
    /// Ba, Kiros and Hinton 2016; `torch.nn.functional.layer_norm` over the last dimension
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input(&[2, 2], &[1.0, 3.0, -10.0, 10.0]);
    /// let (weight, bias) = (tape.variable(&[2], &[1.0, 2.0]), tape.variable(&[2], &[0.0, 0.0]));
    /// let y = x.layer_norm(weight, bias, 1e-12).data();
    /// assert!(y.iter().zip([-1.0, 2.0, -1.0, 2.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    /// ```
    pub fn layer_norm(self, weight: Var<'t, E>, bias: Var<'t, E>, eps: f64) -> Var<'t, E> {
        let x = self.contiguous();
        let shape = x.shape();
        let width = shape.last();
        assert!(shape.rank() >= 1 && width > 0, "layer_norm takes rows, not shape {shape:?}");
        assert_eq!(weight.shape().dims(), [width], "layer_norm: a weight for each place of a row");
        assert_eq!(bias.shape().dims(), [width], "layer_norm: a bias for each place of a row");
        let op = RowNorm::new("layer_norm", [shape.len(), width], eps, true);
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
        // x is used besides its norm, so that its gradient is added to.
        check(&[&[2, 4], &[4], &[4]], |v| v[0].layer_norm(v[1], v[2], 1e-5) * v[0]);
    }
}
