//! Rows of a table, chosen by integers: y[i] = table[index[i]].

use crate::kernels::parallel_rows;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Indices, MAX_DIMS, Shape, Var};

/// Estimated operations per copied element.
const WORK: usize = 20;

pub(crate) struct Embedding {
    pub indices: Indices,
    /// Elements in a row of the table.
    pub width: usize,
    /// The axis of the indices' first dimension.
    axis: Option<usize>,
}

impl<E: Element> Op<E> for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::AlongAxis(self.axis)
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let (table, indices, width) = (x.get(0), env.indices(self.indices), self.width);
        parallel_rows(out, width, WORK * out.len(), |at, out| {
            for (out, &i) in out.chunks_exact_mut(width).zip(&indices[at / width..]) {
                out.copy_from_slice(&table[i as usize * width..][..width]);
            }
        });
    }

    // A row that was chosen several times gets the sum of their gradients.
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    ) {
        let Some(g) = grads.get(0) else { return };
        let table = g.zeroed();
        for (d, &i) in grad.chunks_exact(self.width).zip(env.indices(self.indices)) {
            table[i as usize * self.width..][..self.width].iter_mut().zip(d).for_each(|(t, &d)| *t += d);
        }
    }

    fn as_any(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The rows of this table with the given indices.
    ///
    /// # Shapes
    /// table (V, E), indices (B, T) -> (B, T, E)
    ///
    /// # Panics
    /// If an index is not below V.
    ///
    /// # Source
    /// `torch.nn.functional.embedding`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let table = tape.variable(&[3, 2], &[0.0, 0.1, 1.0, 1.1, 2.0, 2.1]);
    /// let rows = table.embedding(tape.indices(&[1, 3], &[2, 0, 2]));
    /// assert_eq!((rows.shape().dims(), rows.data()), (&[1, 3, 2][..], vec![2.0, 2.1, 0.0, 0.1, 2.0, 2.1]));
    /// rows.sum_all().backward();
    /// // The gradient is how often each row was chosen.
    /// assert_eq!(table.grad(), [1.0, 1.0, 0.0, 0.0, 2.0, 2.0]);
    /// ```
    pub fn embedding(self, indices: Indices) -> Var<'t, E> {
        let table = self.contiguous();
        let width = table.shape().last();
        assert_eq!(table.shape().rank(), 2, "a table of embeddings has two dimensions");
        let chosen = self.tape().indices_shape(indices);
        let mut dims = [1; MAX_DIMS];
        dims[..chosen.rank()].copy_from_slice(chosen.dims());
        dims[chosen.rank()] = width;
        let shape = Shape::new(&dims[..=chosen.rank()]);
        let axis = self.tape().indices_axis(indices);
        self.tape().record(Embedding { indices, width, axis }, &[table.id()], shape)
    }
}
