//! y = weight x / sqrt(mean(x^2) + eps), row by row

use super::layer_norm::RowNorm;
use crate::{Element, Var};

impl<'t, E: Element> Var<'t, E> {
    /// Normalizes each row to a mean square of 1, then scales it if there is a weight.
    ///
    /// `y = weight x / sqrt(mean(x^2) + eps)`, with the mean over the last dimension.
    ///
    /// # Shapes
    /// x (..., H), weight (H) -> as x
    ///
    /// # Panics
    /// If the sizes do not fit.
    ///
    /// # Source
    /// Zhang and Sennrich 2019; `torch.nn.functional.rms_norm` over the last dimension
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let y = tape.input(&[1, 4], &[2.0, 2.0, -2.0, 2.0]).rms_norm(None, 1e-12).data();
    /// assert!(y.iter().zip([1.0, 1.0, -1.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    /// ```
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
        let op = RowNorm::new("rms_norm", [shape.len(), width], eps, false);
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
        // x itself is the weight.
        check(&[&[1, 4]], |v| v[0].rms_norm(Some(v[0].reshape(&[4])), 1e-5));
    }
}
