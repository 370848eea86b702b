//! y = the first columns of each row

use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Shape, Var};

struct Columns {
    /// The number of columns of x, and of those kept.
    of: usize,
    kept: usize,
}

impl<E: Element> Op<E> for Columns {
    fn name(&self) -> &'static str {
        "columns"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        for (y, x) in out.chunks_exact_mut(self.kept).zip(x.get(0).chunks_exact(self.of)) {
            y.copy_from_slice(&x[..self.kept]);
        }
    }

    // The kept columns get the gradient, the others 0.
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let Some(g) = grads.get(0) else { return };
        for (to, d) in g.data.chunks_exact_mut(self.of).zip(grad.chunks_exact(self.kept)) {
            if g.add {
                to.iter_mut().zip(d).for_each(|(to, &d)| *to += d);
            } else {
                to[..self.kept].copy_from_slice(d);
                bytemuck::fill_zeroes(&mut to[self.kept..]);
            }
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The first columns of each row, such as an lstm's h without its c. Unlike a [slice](Var::slice) it
    /// keeps the rows' axis.
    ///
    /// # Shapes
    /// (N, S) -> (N, kept)
    ///
    /// # Panics
    /// If x has fewer than `kept` columns, or `kept` is 0.
    pub fn first_columns(self, kept: usize) -> Var<'t, E> {
        let x = self.contiguous();
        let &[rows, of] = x.shape().dims() else { panic!("first_columns of shape {:?}", x.shape()) };
        assert!((1..=of).contains(&kept), "first_columns: {kept} of {of}");
        self.tape().record(Columns { of, kept }, &[x.id()], Shape::new(&[rows, kept]))
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;
    use crate::check::check;

    #[test]
    fn the_first_are_kept() {
        let tape = Tape::<f32>::new();
        let x = tape.input(&[2, 3], &[0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        assert_eq!(x.first_columns(2).data(), [0.0, 1.0, 10.0, 11.0]);
    }

    #[test]
    fn gradient() {
        check(&[&[2, 3]], |v| v[0].first_columns(2));
        check(&[&[2, 3]], |v| v[0].first_columns(2) * (v[0] * v[0]).first_columns(2));
    }
}
