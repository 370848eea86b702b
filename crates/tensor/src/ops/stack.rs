//! The rows in use of several tensors, one after another

use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Axis, Element, Shape, Var};

struct Stack {
    axis: usize,
}

impl<E: Element> Op<E> for Stack {
    fn name(&self) -> &'static str {
        "stack_rows"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::AlongAxis(Some(self.axis))
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let mut rest = out;
        for k in 0..x.count() {
            let (part, after) = rest.split_at_mut(x.get(k).len());
            part.copy_from_slice(x.get(k));
            rest = after;
        }
        assert!(rest.is_empty(), "stack_rows: more rows in use than the parts have");
    }

    // Each part gets its rows of the gradient.
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let mut rest = grad;
        for k in 0..x.count() {
            let (part, after) = rest.split_at(x.get(k).len());
            if let Some(g) = grads.get(k) {
                g.each(|i| part[i]);
            }
            rest = after;
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The rows in use of all parts, one after another. They are the rows of `axis`, whose number in use must be
    /// the sum of the parts'.
    ///
    /// # Shapes
    /// (N, H), (M, H) -> (N + M, H)
    ///
    /// # Panics
    /// If there is no part, the rows differ in length, or the axis is of another recording; when it is
    /// computed, if the number of rows in use is not that of the parts.
    pub fn stack_rows(parts: &[Var<'t, E>], axis: Axis) -> Var<'t, E> {
        let tape = parts.first().expect("stack_rows: there is no tensor").tape();
        let width = parts[0].shape().last();
        let fits = |part: &Var<'t, E>| part.shape().rank() == 2 && part.shape().last() == width;
        assert!(parts.iter().all(fits), "stack_rows: rows of different lengths");
        let shape = Shape::new(&[tape.capacity(axis), width]);
        let ids: Vec<_> = parts.iter().map(|part| part.contiguous().id()).collect();
        tape.record(Stack { axis: axis.index }, &ids, shape)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Grads, Params, Pass, Recording, Rows, Var};

    #[test]
    fn only_rows_in_use_are_stacked() {
        let mut params = Params::<f64>::new();
        let table = params.add("table", &[3, 2], &[0.0, 1.0, 10.0, 11.0, 20.0, 21.0]);
        let (mut recording, (first, second, y, loss)) = Recording::new(&params, |tape| {
            let (a, b, all) = (tape.axis(3), tape.axis(3), tape.axis(6));
            let (first, second) = (tape.index_rows(a, &[]), tape.index_rows(b, &[]));
            let parts = [first, second].map(|rows| tape.param(table).embedding(rows));
            let y = Var::stack_rows(&parts, all);
            let loss = (y * y).slice(0, 0, 3).sum_all();
            (first, second, y.id(), loss.id())
        });
        recording.set_indices(first, |i| i[..1].copy_from_slice(&[2]));
        recording.set_indices(second, |i| i[..2].copy_from_slice(&[0, 2]));
        let rows = [Rows::First(1), Rows::First(2), Rows::First(3)];
        let pass = Pass { rows: &rows, ..Pass::training() };
        recording.forward(&params, &pass);
        recording.with_data(y, |y| assert_eq!(y, [20.0, 21.0, 0.0, 1.0, 20.0, 21.0]));
        let mut grads = Grads::zeros(&params);
        recording.backward(&params, &mut grads, loss, &pass);
        assert_eq!(grads.read(&params, table), [0.0, 2.0, 0.0, 0.0, 80.0, 84.0]);
    }
}
