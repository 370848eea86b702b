//! y = weight (x - mean) / sqrt(var + eps) + bias, with each row's own mean and variance

use super::lanes;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Var};

struct LayerNorm<E> {
    width: usize,
    eps: E,
    /// Per row: its mean, and 1 / sqrt(var + eps).
    mean: Vec<E>,
    inv_std: Vec<E>,
    /// One row, in backward: x_hat, and the gradient that arrives there.
    hat: Vec<E>,
    d: Vec<E>,
}

impl<E: Element> Op<E> for LayerNorm<E> {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::Keeps
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let (n, weight, bias) = (E::of(self.width as f64), x.get(1), x.get(2));
        let rows = x.get(0).chunks_exact(self.width).zip(out.chunks_exact_mut(self.width));
        for (i, (x, y)) in rows.enumerate() {
            let mean = lanes::sum(x) / n;
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = x - mean);
            let inv_std = (lanes::dot(y, y) / n + self.eps).sqrt().recip();
            for ((y, &w), &b) in y.iter_mut().zip(weight).zip(bias) {
                *y = w * (*y * inv_std) + b;
            }
            (self.mean[i], self.inv_std[i]) = (mean, inv_std);
        }
    }

    // With x_hat = (x - mean) / std and d = weight dy, the gradient that arrives at x_hat:
    //   dx = (d - mean(d) - x_hat mean(d x_hat)) / std, the means over the row
    //   dweight = sum dy x_hat        dbias = sum dy, the sums over rows
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let (width, n, weight) = (self.width, E::of(self.width as f64), x.get(1));
        let x = x.get(0);
        let stats = self.mean.iter().copied().zip(self.inv_std.iter().copied());
        let rows = || x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(stats.clone());
        if let Some(g) = grads.get(0) {
            let (hat, d) = (&mut self.hat[..], &mut self.d[..]);
            for (((x, dy), (mean, inv_std)), dx) in rows().zip(g.data.chunks_exact_mut(width)) {
                hat.iter_mut().zip(x).for_each(|(h, &x)| *h = (x - mean) * inv_std);
                d.iter_mut().zip(weight.iter().zip(dy)).for_each(|(d, (&w, &dy))| *d = w * dy);
                let (mean_d, mean_d_hat) = (lanes::sum(d) / n, lanes::dot(d, hat) / n);
                for ((dx, &d), &hat) in dx.iter_mut().zip(&*d).zip(&*hat) {
                    let d = inv_std * (d - mean_d - hat * mean_d_hat);
                    *dx = if g.add { *dx + d } else { d };
                }
            }
        }
        if let Some(g) = grads.get(1) {
            let dweight = g.zeroed();
            for ((x, dy), (mean, inv_std)) in rows() {
                for (dw, (&x, &dy)) in dweight.iter_mut().zip(x.iter().zip(dy)) {
                    *dw += dy * ((x - mean) * inv_std);
                }
            }
        }
        if let Some(g) = grads.get(2) {
            let dbias = g.zeroed();
            for dy in grad.chunks_exact(width) {
                dbias.iter_mut().zip(dy).for_each(|(db, &dy)| *db += dy);
            }
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
        let zeros = |n: usize| vec![E::zero(); n];
        let rows = shape.len() / width;
        let (mean, inv_std) = (zeros(rows), zeros(rows));
        let op = LayerNorm { width, eps: E::of(eps), mean, inv_std, hat: zeros(width), d: zeros(width) };
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
