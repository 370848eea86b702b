//! y[i][j] = x[i][index[i][j]]: elements chosen along one dimension

use crate::op::{Env, InputGrads, Inputs, Op};
use crate::shape::for_each;
use crate::{Element, Indices, Layout, MAX_DIMS, Shape, Var};

struct Gather {
    indices: Indices,
    shape: Shape,
    /// Strides of x, 0 along the dimension, and of the output.
    strides: [[usize; MAX_DIMS]; 2],
    /// The size of x along the dimension, and its stride there.
    size: usize,
    stride: usize,
}

impl Gather {
    /// Calls `f(index in x, index in the output)` for every element.
    fn for_each<E: Element>(&self, env: &Env<'_, E>, mut f: impl FnMut(usize, usize)) {
        let indices = env.indices(self.indices);
        for_each(&self.shape, self.strides, |[i, k]| {
            let chosen = indices[k] as usize;
            assert!(chosen < self.size, "gather: index {chosen} is not below {}", self.size);
            f(i + chosen * self.stride, k);
        });
    }
}

impl<E: Element> Op<E> for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let x = x.get(0);
        self.for_each(env, |i, k| out[k] = x[i]);
    }

    // An element that was chosen several times gets the sum of their gradients.
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    ) {
        let Some(g) = grads.get(0) else { return };
        let g = g.zeroed();
        self.for_each(env, |i, k| g[i] += grad[k]);
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// Chooses elements along `dim` by the given indices; in other dimensions an index chooses at its own
    /// position.
    ///
    /// For `dim` 1: `y[b][t] = x[b][indices[b][t]]`. If the indices are set anew, the next pass uses them.
    ///
    /// # Shapes
    /// x (B, V), indices (B, T), dim 1 -> (B, T); in dimensions other than `dim` the indices may be smaller
    /// than x
    ///
    /// # Panics
    /// If the sizes do not fit, or an index is out of range.
    ///
    /// # Source
    /// `torch.gather`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let probs = tape.input(&[2, 3], &[0.2, 0.3, 0.5, 0.6, 0.1, 0.3]);
    /// // The probability of each example's target.
    /// assert_eq!(probs.gather(1, tape.indices(&[2, 1], &[2, 0])).data(), [0.5, 0.6]);
    /// ```
    pub fn gather(self, dim: usize, indices: Indices) -> Var<'t, E> {
        let (sx, shape) = (self.shape(), self.tape().indices_shape(indices));
        let fits = |d: usize| d == dim || shape.dims()[d] <= sx.dims()[d];
        assert!(
            dim < sx.rank() && shape.rank() == sx.rank() && (0..sx.rank()).all(fits),
            "gather along dimension {dim}: indices {shape:?} do not fit {sx:?}"
        );
        let mut strides = self.layout().strides;
        let stride = std::mem::take(&mut strides[dim]);
        let strides = [strides, Layout::contiguous(&shape, 0).strides];
        let op = Gather { indices, shape, strides, size: sx.dims()[dim], stride };
        self.tape().record(op, &[self.id()], shape)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;
    use crate::check::check;

    #[test]
    fn elements_are_those_named() {
        let tape = Tape::<f64>::new();
        let x = tape.input(&[2, 3], &[0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        assert_eq!(x.gather(1, tape.indices(&[2, 2], &[2, 0, 1, 1])).data(), [2.0, 0.0, 11.0, 11.0]);
        assert_eq!(x.gather(0, tape.indices(&[1, 3], &[1, 0, 1])).data(), [10.0, 1.0, 12.0]);
    }

    #[test]
    fn gradient() {
        check(&[&[2, 3]], |v| v[0].gather(1, v[0].tape().indices(&[2, 4], &[2, 0, 2, 2, 1, 1, 0, 2])));
        check(&[&[3, 2]], |v| v[0].gather(0, v[0].tape().indices(&[2, 1], &[2, 2])));
        check(&[&[3, 2]], |v| {
            let turned = v[0].transpose(0, 1);
            turned.gather(1, v[0].tape().indices(&[2, 1], &[2, 0])) * turned
        });
    }

    #[test]
    #[should_panic(expected = "gather: index 3 is not below 3")]
    fn an_index_too_large_is_named() {
        let tape = Tape::<f32>::new();
        tape.input(&[3], &[0.0; 3]).gather(0, tape.indices(&[1], &[3]));
    }
}
