//! loss = the mean over examples of -log softmax(logits[row])[target]

use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Indices, Shape, Var};

/// What each example's next token is, and which row of logits it is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// The right token of each example.
    pub tokens: Indices,
    /// The row of each example; None if example i has row i.
    pub rows: Option<Indices>,
    /// A token that does not count.
    pub ignore_index: Option<u32>,
}

impl From<Indices> for Targets {
    fn from(tokens: Indices) -> Self {
        Self { tokens, rows: None, ignore_index: None }
    }
}

struct CrossEntropy<E> {
    targets: Targets,
    classes: usize,
    /// The axis of the logits' rows, and that of the examples.
    axis: Option<usize>,
    examples_axis: Option<usize>,
    /// softmax(logits), kept for backward.
    probs: Vec<E>,
    /// Each row's maximum, and the logarithm of the sum of exponentials of what is above it.
    lse: Vec<[E; 2]>,
    /// How many examples of each row count.
    weights: Vec<E>,
}

impl<E: Element> CrossEntropy<E> {
    /// (row, token, how often it counts) of every example that counts.
    fn examples<'a>(&self, env: &Env<'a, E>) -> impl Iterator<Item = (usize, usize, E)> + 'a {
        let Targets { tokens, rows, ignore_index } = self.targets;
        let (tokens, often) = (env.indices(tokens), env.counts(self.examples_axis));
        let rows = rows.map(|r| env.indices(r));
        let counts = move |&(_, &t): &(usize, &u32)| Some(t) != ignore_index;
        let row = move |i: usize| rows.map_or(i, |r| r[i] as usize);
        let often = move |i: usize| often.get(i).copied().unwrap_or(E::one());
        tokens.iter().enumerate().filter(counts).map(move |(i, &t)| (row(i), t as usize, often(i)))
    }
}

impl<E: Element> Op<E> for CrossEntropy<E> {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn row_rule(&self) -> RowRule {
        if self.targets.rows.is_some() { RowRule::Ends } else { RowRule::Mixes }
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let (logits, v) = (x.get(0), self.classes);
        let rows = logits.len() / v;
        E::softmax_rows(logits, v, &mut self.probs[..rows * v], &mut self.lse[..rows]);
        // In f64, so that hundreds of thousands of f32 lose nothing.
        let (mut sum, mut n) = (0.0, 0.0);
        for (row, token, often) in self.examples(env) {
            let [max, log_sum] = self.lse[row];
            sum += often.f64() * (max - logits[row * v..][..v][token] + log_sum).f64();
            n += often.f64();
        }
        out[0] = E::of(sum / n);
    }

    // dlogits[row] = (how often the row counts * probs[row] - 1 at each example's token) / examples
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    ) {
        let Some(g) = grads.get(0) else { return };
        let v = self.classes;
        let rows = x.get(0).len() / v;
        let counts = env.counts(self.axis);
        let mut weights = std::mem::take(&mut self.weights);
        let of_rows = &mut weights[..rows];
        if self.targets.rows.is_some() && self.targets.ignore_index.is_none() && !counts.is_empty() {
            of_rows.copy_from_slice(counts);
        } else {
            of_rows.fill(E::zero());
            self.examples(env).for_each(|(row, _, often)| of_rows[row] += often);
        }
        let scale = grad[0] / of_rows.iter().copied().sum();
        of_rows.iter_mut().for_each(|w| *w *= scale);
        E::scale_rows(of_rows, &self.probs[..rows * v], g.data, g.add);
        self.weights = weights;
        for (row, token, often) in self.examples(env) {
            g.data[row * v + token] -= scale * often;
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The mean negative log-likelihood of the targets under softmax of these logits.
    ///
    /// Where the targets have an axis whose rows are counted, each counts that often.
    ///
    /// `loss = 1/n sum_i (logsumexp(logits[row_i]) - logits[row_i, target_i])`, over examples whose target is not
    /// `ignore_index`. Shifted by each row's maximum, so that large logits do not overflow.
    ///
    /// # Shapes
    /// logits (B, V), targets (B) -> ()
    ///
    /// # Units
    /// nats
    ///
    /// # Panics
    /// If a target is not below V, or a row not below B.
    ///
    /// # Source
    /// `torch.nn.functional.cross_entropy`
    pub fn cross_entropy(self, targets: impl Into<Targets>) -> Var<'t, E> {
        let targets = targets.into();
        let logits = self.contiguous();
        let shape = logits.shape();
        assert_eq!(shape.rank(), 2, "cross_entropy takes logits of two dimensions, not of shape {shape:?}");
        let (rows, classes) = (shape.dims()[0], shape.dims()[1]);
        let examples = self.tape().indices_shape(targets.tokens).len();
        match targets.rows {
            None => assert_eq!(examples, rows, "cross_entropy: {examples} targets for {rows} rows"),
            Some(r) => assert_eq!(
                examples,
                self.tape().indices_shape(r).len(),
                "cross_entropy: a row for each target"
            ),
        }
        let op = CrossEntropy {
            targets,
            classes,
            axis: logits.axis(),
            examples_axis: self.tape().indices_axis(targets.tokens),
            probs: vec![E::zero(); rows * classes],
            lse: vec![[E::zero(); 2]; rows],
            weights: vec![E::zero(); rows],
        };
        self.tape().record(op, &[logits.id()], Shape::new(&[]))
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    #[test]
    fn large_logits_and_many_examples_keep_their_digits() {
        let tape = Tape::<f32>::new();
        let n = 200_000;
        for offset in [0.0, 1e4, -1e6] {
            let loss =
                tape.input(&[n, 3], &vec![offset; 3 * n]).cross_entropy(tape.indices(&[n], &vec![1; n]));
            assert!((loss.item() - 3f32.ln()).abs() <= 2e-7, "{offset}: {}", loss.item());
        }
    }
}
