//! y_i = the mean of x_j over row i and the rows before it

use super::causal_input::CausalInput;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Indices, Var};

struct PrefixMean<E> {
    width: usize,
    causal: CausalInput,
    /// Per row: the sum up to it; in backward the sum of the gradients from it on.
    sums: Vec<E>,
}

/// `to += from`
fn add<E: Element>(to: &mut [E], from: &[E]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
}

impl<E: Element> Op<E> for PrefixMean<E> {
    fn name(&self) -> &'static str {
        match self.causal {
            CausalInput::Sequences(_) => "causal_mean",
            CausalInput::Tree(..) => "tree_mean",
        }
    }

    // As in attention: a row may stand for several equal ones if all rows before it are equal too.
    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    // s_i = s_before + x_i        y_i = s_i / (number of summed rows)
    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let width = self.width;
        self.causal.read_parents(out.len() / width, env);
        let rows = self.causal.rows();
        for (row, (x, y)) in x.get(0).chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
            let (before, sum) = self.sums.split_at_mut(row * width);
            let (position, sum) = (rows.position(row), &mut sum[..width]);
            sum.copy_from_slice(x);
            if position > 0 {
                add(sum, &before[rows.previous(row) * width..][..width]);
            }
            let share = E::of((position + 1) as f64).recip();
            y.iter_mut().zip(sum).for_each(|(y, &mut sum)| *y = sum * share);
        }
    }

    // dx_i = dy_i / (number of summed rows) + the sum of dx over the rows directly after row i
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let Some(g) = grads.get(0) else { return };
        let (width, rows) = (self.width, self.causal.rows());
        let sums = &mut self.sums[..out.len()];
        bytemuck::fill_zeroes(sums);
        for (row, dy) in grad.chunks_exact(width).enumerate().rev() {
            let (before, sum) = sums.split_at_mut(row * width);
            let (position, sum) = (rows.position(row), &mut sum[..width]);
            let share = E::of((position + 1) as f64).recip();
            sum.iter_mut().zip(dy).for_each(|(sum, &dy)| *sum += dy * share);
            if position > 0 {
                add(&mut before[rows.previous(row) * width..][..width], sum);
            }
        }
        g.each(|i| sums[i]);
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The mean of each row and the rows before it in its sequence: a bag of the tokens read so far.
    ///
    /// `y_i = 1 / (i + 1) sum_j x_j` over `j <= i`. The rows in use must be whole sequences.
    ///
    /// # Shapes
    /// (B T, C) -> (B T, C), with row b T + t and T = `length`
    ///
    /// # Panics
    /// If the rows are not whole sequences.
    ///
    /// # Source
    /// Karpathy's makemore, `CausalBoW`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input(&[4, 1], &[1.0, 3.0, 10.0, 20.0]);
    /// // Two sequences of two rows.
    /// assert_eq!(x.causal_mean(2).data(), [1.0, 2.0, 10.0, 15.0]);
    /// ```
    pub fn causal_mean(self, length: usize) -> Var<'t, E> {
        self.prefix_mean(CausalInput::sequences("causal_mean", self.rows(), length))
    }

    /// As [`Var::causal_mean`] for nodes of trees: the mean of each node and its ancestors; see
    /// [`Var::tree_attention`].
    ///
    /// # Shapes
    /// (N, C), parents (N) -> (N, C)
    ///
    /// # Panics
    /// If the sizes do not fit, or a node comes before its parent.
    pub fn tree_mean(self, parents: Indices) -> Var<'t, E> {
        self.prefix_mean(CausalInput::tree("tree_mean", self.tape(), self.rows(), parents))
    }

    fn prefix_mean(self, causal: CausalInput) -> Var<'t, E> {
        let x = self.contiguous();
        let shape = x.shape();
        assert!(
            shape.rank() == 2 && shape.last() > 0,
            "a mean of what came before takes rows, not shape {shape:?}"
        );
        let op = PrefixMean { width: shape.last(), causal, sums: vec![E::zero(); shape.len()] };
        self.tape().record(op, &[x.id()], shape)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;
    use crate::check::check;

    #[test]
    fn gradient() {
        check(&[&[6, 2]], |v| v[0].causal_mean(3));
        check(&[&[6, 2]], |v| v[0].causal_mean(6) * v[0]);
        check(&[&[7, 3]], |v| v[0].tree_mean(v[0].tape().indices(&[7], &[0, 0, 1, 1, 4, 4, 0])));
    }

    #[test]
    fn means_are_over_paths() {
        let tape = Tape::<f32>::new();
        let x = tape.input(&[4, 1], &[1.0, 3.0, 8.0, -4.0]);
        assert_eq!(x.causal_mean(4).data(), [1.0, 2.0, 4.0, 2.0]);
        assert_eq!(x.causal_mean(2).data(), [1.0, 2.0, 8.0, 2.0]);
        assert_eq!(x.tree_mean(tape.indices(&[4], &[0, 0, 0, 1])).data(), [1.0, 2.0, 4.5, 0.0]);
    }

    #[test]
    #[should_panic(expected = "causal_mean: 4 rows are not whole sequences of 3")]
    fn sequences_are_whole() {
        Tape::<f32>::new().input(&[4, 1], &[0.0; 4]).causal_mean(3);
    }
}
