//! loss = the mean over examples of -log softmax(logits[row])[target], optionally mixed with soft targets

use std::any::Any;
use std::sync::Arc;

use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::recording::IndexTensor;
use crate::{Element, Indices, NodeId, Recording, Shape, Var};

/// Each example's target token, and the row of logits that predicts it.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// The target token of each example.
    pub tokens: Indices,
    /// The row of logits of each example; None if example i has row i.
    pub rows: Option<Indices>,
    /// A token whose examples do not count.
    pub ignore_index: Option<u32>,
}

impl From<Indices> for Targets {
    fn from(tokens: Indices) -> Self {
        Self { tokens, rows: None, ignore_index: None }
    }
}

/// Soft targets: distributions, such as a teacher's, that count besides the target tokens.
#[derive(Clone, Debug)]
pub struct SoftTargets<E> {
    /// Probabilities, a row for each distribution; each sums to 1.
    ///
    /// # Shapes
    /// (D, V)
    pub table: Arc<[E]>,
    /// The row of each example's distribution.
    pub rows: Indices,
    /// The weight w of the distributions; the target tokens have weight 1 - w.
    pub weight: f64,
}

struct CrossEntropy<E> {
    targets: Targets,
    soft: Option<SoftTargets<E>>,
    classes: usize,
    /// The axis of the logits' rows, and that of the examples.
    axis: Option<usize>,
    examples_axis: Option<usize>,
    /// softmax(logits), kept for backward.
    probs: Vec<E>,
    /// Each row's maximum m, and `ln sum exp(logit - m)`.
    lse: Vec<[E; 2]>,
    /// How often each row counts: the sum over its examples.
    weights: Vec<E>,
    /// The loss of each example.
    losses: Vec<E>,
}

impl<E: Element> CrossEntropy<E> {
    /// (row, token, count, index) of every example that counts.
    fn examples<'a>(&self, env: &Env<'a, E>) -> impl Iterator<Item = (usize, usize, E, usize)> + 'a {
        let Targets { tokens, rows, ignore_index } = self.targets;
        let (tokens, counts) = (env.indices(tokens), env.counts(self.examples_axis));
        let rows = rows.map(|r| env.indices(r));
        let is_counted = move |&(_, &t): &(usize, &u32)| Some(t) != ignore_index;
        let row = move |i: usize| rows.map_or(i, |r| r[i] as usize);
        let count = move |i: usize| counts.get(i).copied().unwrap_or(E::one());
        tokens.iter().enumerate().filter(is_counted).map(move |(i, &t)| (row(i), t as usize, count(i), i))
    }

    /// The distribution of example `i`, and its weight.
    #[inline(always)]
    fn soft<'a>(&'a self, env: &Env<'_, E>, i: usize) -> Option<(&'a [E], E)> {
        let SoftTargets { table, rows, weight } = self.soft.as_ref()?;
        let row = env.indices(*rows)[i] as usize;
        Some((&table[row * self.classes..][..self.classes], E::of(*weight)))
    }
}

impl<E: Element> Op<E> for CrossEntropy<E> {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn row_rule(&self) -> RowRule {
        if self.targets.rows.is_some() { RowRule::WeightedReduction } else { RowRule::AcrossRows }
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let (logits, v) = (x.get(0), self.classes);
        let rows = logits.len() / v;
        E::softmax_rows(logits, v, &mut self.probs[..rows * v], &mut self.lse[..rows]);
        // In f64, so that a sum of hundreds of thousands of f32 loses no precision.
        let (mut sum, mut n) = (0.0, 0.0);
        let mut losses = std::mem::take(&mut self.losses);
        self.examples(env).for_each(|(row, token, count, i)| {
            let [max, log_sum] = self.lse[row];
            let logits = &logits[row * v..][..v];
            let token_loss = max - logits[token] + log_sum;
            let loss = match self.soft(env, i) {
                None => token_loss,
                Some((probs, weight)) => {
                    let soft_loss =
                        probs.iter().zip(logits).map(|(&q, &x)| q * (max - x + log_sum)).sum::<E>();
                    token_loss + weight * (soft_loss - token_loss)
                }
            };
            losses[i] = loss;
            sum += count.f64() * loss.f64();
            n += count.f64();
        });
        self.losses = losses;
        out[0] = E::of(sum / n);
    }

    // dlogits[row] = (count of the row * probs[row] - 1 at each example's token) / examples. With soft
    // targets, instead of that 1: 1 - w at the token and w times the example's distribution.
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
            bytemuck::fill_zeroes(of_rows);
            self.examples(env).for_each(|(row, _, count, _)| of_rows[row] += count);
        }
        let scale = grad[0] / of_rows.iter().copied().sum();
        of_rows.iter_mut().for_each(|w| *w *= scale);
        E::scale_rows(of_rows, &self.probs[..rows * v], g.data, g.add);
        self.weights = weights;
        self.examples(env).for_each(|(row, token, count, i)| {
            let (row, times) = (&mut g.data[row * v..][..v], scale * count);
            match self.soft(env, i) {
                None => row[token] -= times,
                Some((probs, weight)) => {
                    row[token] -= times * (E::one() - weight);
                    row.iter_mut().zip(probs).for_each(|(g, &q)| *g -= times * weight * q);
                }
            }
        });
    }

    fn as_any(&mut self) -> Option<&mut dyn Any> {
        Some(self)
    }
}

impl<E: Element> Recording<E> {
    fn cross_entropy_mut(&mut self, loss: NodeId) -> &mut CrossEntropy<E> {
        let at = self.at(loss);
        let op = self.ops[at].as_mut().and_then(|op| op.as_any()?.downcast_mut());
        op.expect("the loss is a cross-entropy")
    }

    /// The loss of each example of a [`cross_entropy`](Var::cross_entropy) after a forward pass; valid for
    /// examples that are in use and count.
    ///
    /// # Panics
    /// If `loss` is no cross-entropy of this recording.
    pub fn losses(&mut self, loss: NodeId) -> &[E] {
        &self.cross_entropy_mut(loss).losses
    }

    /// The token of an example of a [`cross_entropy`](Var::cross_entropy), and the predicted probabilities of
    /// all tokens, after a forward pass.
    ///
    /// # Panics
    /// As [`Recording::losses`]; if there is no such example.
    pub fn probs(&mut self, loss: NodeId, example: usize) -> (u32, &[E]) {
        let Targets { tokens, rows, .. } = self.cross_entropy_mut(loss).targets;
        let of_example = |indices: Indices| self.fed.indices[indices.index].data[example];
        let (token, row) = (of_example(tokens), rows.map_or(example, |rows| of_example(rows) as usize));
        let CrossEntropy { probs, classes, .. } = self.cross_entropy_mut(loss);
        (token, &probs[row * *classes..][..*classes])
    }

    /// Adds soft targets to a [`cross_entropy`](Var::cross_entropy): see [`SoftTargets`]. Returns the index
    /// tensor for the row of the table of each example, to be set along with the targets.
    ///
    /// # Panics
    /// If `loss` is no cross-entropy of this recording, or the table's rows are not as wide as its logits.
    pub fn add_soft_targets(&mut self, loss: NodeId, table: Arc<[E]>, weight: f64) -> Indices {
        let rows = Indices { recording: self.id, index: self.fed.indices.len() };
        let op = self.cross_entropy_mut(loss);
        assert_eq!(table.len() % op.classes, 0, "a distribution of {} probabilities", op.classes);
        op.soft = Some(SoftTargets { table, rows, weight });
        let tokens = op.targets.tokens.index;
        let IndexTensor { shape, axis, data } = &self.fed.indices[tokens];
        let beside = IndexTensor { shape: *shape, axis: *axis, data: vec![0; data.len()] };
        self.fed.indices.push(beside);
        rows
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The mean negative log-likelihood of the targets under softmax of these logits.
    ///
    /// If the rows of the targets' axis have counts, each example counts that often.
    ///
    /// `loss = 1/n sum_i (logsumexp(logits[row_i]) - logits[row_i, target_i])`, over examples whose target is not
    /// `ignore_index`. It is computed with each row's maximum subtracted, so that large logits do not
    /// overflow.
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
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let logits = tape.variable(&[2, 3], &[0.0, 0.0, 0.0, 9.0, 0.0, 0.0]);
    /// let loss = logits.cross_entropy(tape.indices(&[2], &[1, 0]));
    /// // The first row is uniform, the second all but certain.
    /// assert!((loss.item() - 3f64.ln() / 2.0).abs() < 1e-3);
    /// loss.backward();
    /// // The gradient is half of (predicted - target probability).
    /// assert!((logits.grad()[1] - (1.0 / 3.0 - 1.0) / 2.0).abs() < 1e-12);
    /// ```
    pub fn cross_entropy(self, targets: impl Into<Targets>) -> Var<'t, E> {
        self.record_cross_entropy(targets.into(), None)
    }

    /// As [`Var::cross_entropy`], but the loss of an example is mixed with its mean under a given
    /// distribution q, such as a teacher's.
    ///
    /// `loss = 1/n sum_i ((1 - w) l(i, target_i) + w sum_v q_iv l(i, v))` with
    /// `l(i, v) = logsumexp(logits[row_i]) - logits[row_i, v]`
    ///
    /// # Shapes
    /// As [`Var::cross_entropy`]; the soft targets' `rows` (B)
    ///
    /// # Panics
    /// As [`Var::cross_entropy`]; if the table's rows are not V wide.
    ///
    /// # Source
    /// Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network", at temperature 1; torch's
    /// `cross_entropy` with class probabilities.
    pub fn cross_entropy_with(self, targets: impl Into<Targets>, soft: SoftTargets<E>) -> Var<'t, E> {
        self.record_cross_entropy(targets.into(), Some(soft))
    }

    fn record_cross_entropy(self, targets: Targets, soft: Option<SoftTargets<E>>) -> Var<'t, E> {
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
        if let Some(SoftTargets { table, rows, .. }) = &soft {
            assert_eq!(table.len() % classes, 0, "cross_entropy: distributions of {classes} probabilities");
            let soft = self.tape().indices_shape(*rows).len();
            assert_eq!(soft, examples, "cross_entropy: a distribution for each target");
        }
        let op = CrossEntropy {
            targets,
            soft,
            classes,
            axis: logits.axis(),
            examples_axis: self.tape().indices_axis(targets.tokens),
            probs: vec![E::zero(); rows * classes],
            lse: vec![[E::zero(); 2]; rows],
            weights: vec![E::zero(); rows],
            losses: vec![E::zero(); examples],
        };
        self.tape().record(op, &[logits.id()], Shape::new(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::SoftTargets;
    use crate::{Grads, Params, Pass, Recording, Rows, Tape};

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

    #[test]
    fn distributions_that_are_added_count_as_those_that_were_recorded() {
        let (mut params, table) = (Params::<f64>::new(), [0.5, 0.25, 0.25, 0.0, 0.1, 0.9]);
        let w = params.add("w", &[4, 3], &[0.3, -0.2, 0.9, 1.0, 0.0, -1.0, 0.5, 0.5, 2.0, 0.1, 0.2, 0.3]);
        let recorded = |is_added: bool| {
            let (mut recording, (targets, rows, soft, loss)) = Recording::new(&params, |tape| {
                let pairs = tape.axis(4);
                let [targets, rows, soft] = [(); 3].map(|()| tape.index_rows(pairs, &[]));
                let by_token = super::Targets { tokens: targets, rows: Some(rows), ignore_index: None };
                let with = SoftTargets { table: table.as_slice().into(), rows: soft, weight: 0.3 };
                let loss = match is_added {
                    true => tape.param(w).cross_entropy(by_token),
                    false => tape.param(w).cross_entropy_with(by_token, with),
                };
                (targets, rows, soft, loss.id())
            });
            let soft = match is_added {
                true => recording.add_soft_targets(loss, table.as_slice().into(), 0.3),
                false => soft,
            };
            for (which, data) in [(targets, [2, 0, 1]), (rows, [0, 3, 3]), (soft, [1, 0, 0])] {
                recording.set_indices(which, |to| to[..3].copy_from_slice(&data));
            }
            let pass =
                Pass { rows: &[Rows::Counted { rows: 3, from: 0 }], counts: &[2, 1, 1], ..Pass::training() };
            recording.forward(&params, &pass);
            let mut grads = Grads::zeros(&params);
            recording.backward(&params, &mut grads, loss, &pass);
            let mean = recording.losses(loss)[..3]
                .iter()
                .zip([0.5, 0.25, 0.25])
                .map(|(cost, share)| cost * share)
                .sum::<f64>();
            assert!((mean - recording.item(loss)).abs() < 1e-15);
            (recording.item(loss), grads.read(&params, w))
        };
        assert_eq!(recorded(true), recorded(false));
        let (loss, grads) = recorded(true);
        let values = params.read(w);
        let cost = |row: usize, v: usize| {
            let row = &values[row * 3..][..3];
            row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[v]
        };
        let soft = |row, of: usize| (0..3).map(|v| table[of * 3 + v] * cost(row, v)).sum::<f64>();
        let expected = (2.0 * (0.7 * cost(0, 2) + 0.3 * soft(0, 1))
            + 0.7 * (cost(3, 0) + cost(3, 1))
            + 0.6 * soft(3, 0))
            / 4.0;
        assert!((loss - expected).abs() < 1e-14, "{loss} and {expected}");
        assert!(grads[3..9].iter().all(|g| *g == 0.0) && grads[..3].iter().any(|g| *g != 0.0));
    }
}
