//! y_i = sum_j p_ij v_j with p_ij = softmax_j(q_i k_j / sqrt(D)), over the rows j that row i attends to

use super::causal_input::CausalInput;
use crate::kernels;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::rng::DropoutMask;
use crate::{Element, Indices, Shape, Var};

/// The number of heads of an attention, and the dropout of its weights.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// The number of heads.
    pub count: usize,
    /// The masks of the weights p in training.
    pub dropout: Option<DropoutMask>,
}

impl From<usize> for Heads {
    fn from(count: usize) -> Self {
        Self { count, dropout: None }
    }
}

struct Attention<E> {
    heads: Heads,
    /// C
    width: usize,
    causal: CausalInput,
    /// Per row and head: the largest score m, and `1 / sum exp(score - m)`.
    stats: Vec<[E; 2]>,
}

impl<E: Element> Attention<E> {
    fn call<'a>(&'a self, x: Inputs<'a, E>, env: &Env<'_, E>) -> kernels::Attention<'a, E> {
        let (heads, width) = (self.heads, self.width);
        let dropout = heads.dropout.filter(|_| env.training).map(|mask| mask.at(env.step, env.replica));
        kernels::Attention {
            qkv: x.get(0),
            width,
            heads: heads.count,
            causal_rows: self.causal.rows(),
            dropout,
        }
    }
}

impl<E: Element> Op<E> for Attention<E> {
    fn name(&self) -> &'static str {
        match self.causal {
            CausalInput::Sequences(_) => "causal_attention",
            CausalInput::Tree(..) => "tree_attention",
        }
    }

    // A whole sequence, or a node with all its ancestors, may stand for several equal ones: the rows that its
    // output depends on are then equal too, and arriving gradients are already sums over the equal ones. Only
    // dropout forbids it, since its mask differs from row to row.
    fn row_rule(&self) -> RowRule {
        if self.heads.dropout.is_some() { RowRule::PerRowIndex } else { RowRule::PerRow }
    }

    // Trees are divided by heads instead; the gain from dividing the rest of the net by rows outweighs that.
    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let rows = out.len() / self.width;
        self.causal.read_parents(rows, env);
        let mut stats = std::mem::take(&mut self.stats);
        E::attend(self.call(x, env), out, &mut stats[..rows * self.heads.count]);
        self.stats = stats;
    }

    // With the scores s, their softmax p, and the gradient dy:
    //   dv_j = sum_i p_ij dy_i        ds_ij = p_ij (dy_i v_j - dy_i y_i)
    //   dq_i = sum_j ds_ij k_j / sqrt(D)        dk_j = sum_i ds_ij q_i / sqrt(D)
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    ) {
        let Some(g) = grads.get(0) else { return };
        let stats = &self.stats[..out.len() / self.width * self.heads.count];
        E::attend_backward(self.call(x, env), out, stats, grad, g.data, g.add);
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// Causal attention: each row attends to itself and the rows before it in its sequence.
    ///
    /// `y_i = sum_j p_ij v_j` over `j <= i`, with `p_ij = softmax_j(q_i k_j / sqrt(C / heads))`, separately
    /// in each head. The rows in use must be whole sequences.
    ///
    /// # Shapes
    /// (B T, 3C) -> (B T, C), with row b T + t and T = `length`. A row holds query, key and value side by
    /// side, each with its heads side by side.
    ///
    /// # Panics
    /// If the sizes do not fit.
    ///
    /// # Source
    /// Vaswani et al. 2017; `torch.nn.functional.scaled_dot_product_attention` with `is_causal`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// // Two rows of one sequence, each a query, key and value of one number. The keys are equal.
    /// let qkv = tape.input(&[2, 3], &[1.0, 0.0, 5.0, 1.0, 0.0, 7.0]);
    /// assert_eq!(qkv.causal_attention(1, 2).data(), [5.0, 6.0]);
    /// // Now each row is a sequence of its own.
    /// assert_eq!(qkv.causal_attention(1, 1).data(), [5.0, 7.0]);
    /// // A tree in which the second row is a root too: it is its own parent.
    /// assert_eq!(qkv.tree_attention(1, tape.indices(&[2], &[0, 1])).data(), [5.0, 7.0]);
    /// ```
    pub fn causal_attention(self, heads: impl Into<Heads>, length: usize) -> Var<'t, E> {
        let causal = CausalInput::sequences("causal_attention", self.rows(), length);
        self.attention(heads.into(), causal)
    }

    /// As [`Var::causal_attention`] for nodes of trees: each attends to itself and its ancestors. Sequences
    /// with the same beginning share its nodes, which are computed once.
    ///
    /// A parent must come before its children; a root is its own parent. If the parents are set anew, the
    /// next pass uses them.
    ///
    /// # Shapes
    /// (N, 3C), parents (N) -> (N, C)
    ///
    /// # Panics
    /// If the sizes do not fit, or a node comes before its parent.
    pub fn tree_attention(self, heads: impl Into<Heads>, parents: Indices) -> Var<'t, E> {
        let causal = CausalInput::tree("tree_attention", self.tape(), self.rows(), parents);
        self.attention(heads.into(), causal)
    }

    fn attention(self, heads: Heads, causal: CausalInput) -> Var<'t, E> {
        let x = self.contiguous();
        let (shape, count) = (x.shape(), heads.count);
        let &[rows, all] = shape.dims() else {
            panic!("attention takes rows of queries, keys and values, not shape {shape:?}");
        };
        let width = all / 3;
        assert!(
            all > 0 && all.is_multiple_of(3) && count > 0 && width.is_multiple_of(count),
            "attention: rows of {all} are not three times {count} heads"
        );
        let op = Attention { heads, width, causal, stats: vec![[E::zero(); 2]; rows * count] };
        self.tape().record(op, &[x.id()], Shape::new(&[rows, width]))
    }
}

#[cfg(test)]
mod tests {
    use super::Heads;
    use crate::check::check;
    use crate::kernels::tests::numbers;
    use crate::rng::DropoutMask;
    use crate::{Tape, Var};

    const PARENTS: [u32; 8] = [0, 0, 1, 1, 4, 3, 4, 5];

    fn tree(x: Var<'_, f64>, heads: impl Into<Heads>) -> Var<'_, f64> {
        x.tree_attention(heads, x.tape().indices(&[8], &PARENTS))
    }

    #[test]
    fn gradient() {
        check(&[&[6, 12]], |v| v[0].causal_attention(2, 3));
        check(&[&[6, 9]], |v| v[0].causal_attention(1, 6));
        check(&[&[8, 12]], |v| tree(v[0], 2));
        check(&[&[8, 6]], |v| tree(v[0], 1) * v[0].slice(1, 0, 2));
        let dropping = Heads { count: 2, dropout: Some(DropoutMask::new(0.4, 7, 1)) };
        check(&[&[6, 12]], |v| v[0].causal_attention(dropping, 3));
        check(&[&[8, 12]], |v| tree(v[0], dropping) * v[0].slice(1, 4, 8));
    }

    #[test]
    fn a_tree_gives_what_its_paths_give() {
        let tape = Tape::<f64>::new();
        let x = tape.variable(&[8, 12], &numbers(96, 1));
        let of_tree = tree(x, 2).data();
        // Node 7's path: 0, 1, 3, 5, 7.
        let path = tape.indices(&[5], &[0, 1, 3, 5, 7]);
        let alone = x.embedding(path).causal_attention(2, 5).data();
        charloom_testkit::assert_close(&of_tree[7 * 4..], &alone[4 * 4..], 1e-14, 1e-14);
    }

    #[test]
    fn dropout_drops_in_training_only() {
        let tape = Tape::<f64>::new();
        let x = tape.input(&[6, 12], &numbers(72, 1));
        let dropping = Heads { count: 2, dropout: Some(DropoutMask::new(0.4, 7, 1)) };
        let plain = x.causal_attention(2, 6).data();
        let dropped = x.causal_attention(dropping, 6).data();
        assert_ne!(dropped, plain);
        assert_eq!(dropped, x.causal_attention(dropping, 6).data());
        tape.set_step(1);
        assert_ne!(dropped, x.causal_attention(dropping, 6).data());
        tape.set_training(false);
        assert_eq!(x.causal_attention(dropping, 6).data(), plain);
    }

    #[test]
    #[should_panic(expected = "row 1 comes before its parent, row 2")]
    fn a_child_comes_after_its_parent() {
        let tape = Tape::<f64>::new();
        tape.input(&[3, 3], &[0.0; 9]).tree_attention(1, tape.indices(&[3], &[0, 2, 0]));
    }
}
