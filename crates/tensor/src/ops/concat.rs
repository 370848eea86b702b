//! Tensors joined along one dimension

use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, MAX_DIMS, Shape, Var};

struct Concat {
    /// Per input: the number of elements in dimension `dim` and those after it.
    widths: Vec<usize>,
    row_rule: RowRule,
}

impl<E: Element> Op<E> for Concat {
    fn name(&self) -> &'static str {
        "cat"
    }

    fn row_rule(&self) -> RowRule {
        self.row_rule
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let total = self.widths.iter().sum();
        let mut start = 0;
        for (k, &width) in self.widths.iter().enumerate() {
            for (y, x) in out.chunks_exact_mut(total).zip(x.get(k).chunks_exact(width)) {
                y[start..][..width].copy_from_slice(x);
            }
            start += width;
        }
    }

    // Each input gets its part of the gradient.
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let total = self.widths.iter().sum::<usize>();
        let mut start = 0;
        for (k, &width) in self.widths.iter().enumerate() {
            let at = start;
            start += width;
            let Some(g) = grads.get(k) else { continue };
            g.each(|i| grad[i / width * total + at + i % width]);
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// Concatenates tensors along a dimension.
    ///
    /// # Shapes
    /// (B, H), (B, V), dim 1 -> (B, H + V)
    ///
    /// # Panics
    /// If there is none, or one is empty, or another dimension's sizes differ.
    ///
    /// # Source
    /// `torch.cat`
    ///
    /// ```
    /// use charloom_tensor::{Tape, Var};
    ///
    /// let tape = Tape::<f64>::new();
    /// let (a, b) = (tape.input(&[2, 1], &[1.0, 2.0]), tape.input(&[2, 2], &[3.0, 4.0, 5.0, 6.0]));
    /// assert_eq!(Var::cat(&[a, b], 1).data(), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
    /// ```
    pub fn cat(parts: &[Var<'t, E>], dim: usize) -> Var<'t, E> {
        let shapes: Vec<Shape> = parts.iter().map(|p| p.shape()).collect();
        assert!(!parts.is_empty(), "cat: there is no tensor");
        let first = shapes[0];
        let fits = |s: &Shape| {
            let same = |d: usize| d == dim || s.dims()[d] == first.dims()[d];
            s.rank() == first.rank() && (0..s.rank()).all(same) && !s.is_empty()
        };
        assert!(
            dim < first.rank() && shapes.iter().all(fits),
            "cat along dimension {dim}: shapes {shapes:?} do not fit"
        );
        let mut sizes = [1; MAX_DIMS];
        sizes[..first.rank()].copy_from_slice(first.dims());
        sizes[dim] = shapes.iter().map(|s| s.dims()[dim]).sum();
        let rows = dim > 0 && parts.iter().all(|p| p.axis().is_some());
        let op = Concat {
            widths: shapes.iter().map(|s| s.dims()[dim..].iter().product()).collect(),
            row_rule: if rows { RowRule::PerRow } else { RowRule::AcrossRows },
        };
        let ids: Vec<_> = parts.iter().map(|p| p.contiguous().id()).collect();
        parts[0].tape().record(op, &ids, Shape::new(&sizes[..first.rank()]))
    }
}

#[cfg(test)]
mod tests {
    use crate::check::check;
    use crate::{Tape, Var};

    #[test]
    fn parts_follow_each_other() {
        let tape = Tape::<f32>::new();
        let (a, b) = (tape.input(&[2, 1], &[1.0, 2.0]), tape.input(&[2, 2], &[3.0, 4.0, 5.0, 6.0]));
        assert_eq!(Var::cat(&[a, b], 1).data(), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
        assert_eq!(Var::cat(&[b, b], 0).shape().dims(), [4, 2]);
    }

    #[test]
    fn gradient() {
        check(&[&[2, 1, 3], &[2, 2, 3]], |v| Var::cat(&[v[0], v[1], v[0]], 1));
        check(&[&[2, 3], &[1, 3]], |v| Var::cat(&[v[0], v[1]], 0));
        check(&[&[2, 3]], |v| Var::cat(&[v[0].transpose(0, 1), v[0].reshape(&[3, 2])], 1));
    }
}
