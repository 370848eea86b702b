//! y[i] is 1 at index[i] and 0 elsewhere

use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Indices, MAX_DIMS, Shape, Tape, Var};

pub(crate) struct OneHot {
    pub indices: Indices,
    pub classes: usize,
    axis: Option<usize>,
}

impl<E: Element> Op<E> for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::AlongAxis(self.axis)
    }

    fn forward(&mut self, _: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        bytemuck::fill_zeroes(out);
        for (y, &i) in out.chunks_exact_mut(self.classes).zip(env.indices(self.indices)) {
            assert!((i as usize) < self.classes, "one_hot: index {i} is not below {}", self.classes);
            y[i as usize] = E::one();
        }
    }

    // Integers have no gradient.
    fn backward(&mut self, _: Inputs<'_, E>, _: &[E], _: &[E], _: &mut InputGrads<'_, E>, _: &Env<'_, E>) {}

    fn as_any(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}

impl<E: Element> Tape<'_, E> {
    /// For each index a row that is 1 at the index and 0 elsewhere. If the indices are set anew, the next
    /// pass uses them.
    ///
    /// # Shapes
    /// indices (B, T) -> (B, T, V), where V is `classes`
    ///
    /// # Panics
    /// If an index is not below `classes`.
    ///
    /// # Source
    /// `torch.nn.functional.one_hot`, which gives integers
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.one_hot(tape.indices(&[2], &[2, 0]), 3);
    /// assert_eq!(x.data(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// ```
    pub fn one_hot(&self, indices: Indices, classes: usize) -> Var<'_, E> {
        assert!(classes > 0, "one_hot: there are no classes");
        let of = self.indices_shape(indices);
        let mut dims = [classes; MAX_DIMS + 1];
        dims[..of.rank()].copy_from_slice(of.dims());
        let axis = self.indices_axis(indices);
        self.record(OneHot { indices, classes, axis }, &[], Shape::new(&dims[..=of.rank()]))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Params, Pass, Tape};

    #[test]
    fn follows_its_indices() {
        let tape = Tape::<f32>::new();
        let indices = tape.indices(&[2], &[2, 0]);
        let y = tape.one_hot(indices, 3);
        assert_eq!((y.shape().dims(), y.data()), (&[2, 3][..], vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0]));
        let y = y.id();
        let mut recording = tape.finish();
        recording.set_indices(indices, |i| i.copy_from_slice(&[1, 2]));
        recording.forward(&Params::new(), &Pass::evaluation());
        recording.with_data(y, |y| assert_eq!(y, [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]));
    }

    #[test]
    #[should_panic(expected = "one_hot: index 3 is not below 3")]
    fn an_index_too_large_is_named() {
        let tape = Tape::<f32>::new();
        tape.one_hot(tape.indices(&[1], &[3]), 3);
    }
}
