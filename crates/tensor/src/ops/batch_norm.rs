//! y = weight (x - mean) / sqrt(var + eps) + bias, with each channel's mean and variance over the batch

use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, ParamId, Var};
use std::ops::Range;

/// The buffers of a batch norm's running statistics, and how fast they change.
#[derive(Clone, Copy, Debug)]
pub struct RunningStats {
    /// The buffer of the mean.
    pub mean: ParamId,
    /// The buffer of the (unbiased) variance.
    pub var: ParamId,
    /// The weight of the new value: running = (1 - momentum) running + momentum batch.
    pub momentum: f64,
}

struct BatchNorm<E> {
    channels: usize,
    eps: E,
    /// The axis of the rows.
    axis: Option<usize>,
    /// The running statistics' ranges in the buffers, and the weight of a new value.
    running: [Range<usize>; 2],
    momentum: f64,
    /// The new running statistics, if the last pass was in training.
    new_running: [Vec<E>; 2],
    has_new: bool,
    /// Per channel: the batch's mean, and 1 / sqrt(var + eps).
    mean: Vec<E>,
    inv_std: Vec<E>,
    /// Per channel: y = scale x + shift.
    scale: Vec<E>,
    shift: Vec<E>,
    /// Per channel: the sums of dy and of dy x_hat.
    sum: Vec<E>,
    sum_hat: Vec<E>,
    /// a, b and c of dx = a dy + count (b x + c), in backward.
    coefficients: [Vec<E>; 3],
}

impl<E: Element> BatchNorm<E> {
    /// The number of examples that the rows stand for; an input (B, T, C) has T rows for each.
    fn examples(&self, rows: usize, counts: &[E]) -> E {
        if counts.is_empty() {
            return E::of(rows as f64);
        }
        counts.iter().copied().sum::<E>() * E::of((rows / counts.len()) as f64)
    }

    /// Computes the mean and variance of each channel, in two passes, and the new running statistics.
    fn measure(&mut self, x: &[E], env: &Env<'_, E>) {
        let counts = env.counts(self.axis);
        let c = self.channels;
        E::channel_moments(x, counts, &mut self.mean, &mut self.inv_std);
        let n = self.examples(x.len() / c, counts);
        let (keep, momentum) = (E::of(1.0 - self.momentum), E::of(self.momentum));
        let [mean, var] = &mut self.new_running;
        mean.copy_from_slice(&env.buffers[self.running[0].clone()]);
        var.copy_from_slice(&env.buffers[self.running[1].clone()]);
        self.has_new = true;
        for (r, &m) in mean.iter_mut().zip(&self.mean) {
            *r = keep * *r + momentum * m;
        }
        // A batch of one has no unbiased variance: torch refuses it, here the running variance stays as it
        // is.
        if n > E::one() {
            for (r, &v) in var.iter_mut().zip(&self.inv_std) {
                *r = keep * *r + momentum * (v / (n - E::one()));
            }
        }
        self.inv_std.iter_mut().for_each(|v| *v = (*v / n + self.eps).sqrt().recip());
    }
}

impl<E: Element> Op<E> for BatchNorm<E> {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let (c, weight, bias) = (self.channels, x.get(1), x.get(2));
        let x = x.get(0);
        if env.training {
            self.measure(x, env);
        } else {
            self.has_new = false;
            self.mean.copy_from_slice(&env.buffers[self.running[0].clone()]);
            for (s, &v) in self.inv_std.iter_mut().zip(&env.buffers[self.running[1].clone()]) {
                *s = (v + self.eps).sqrt().recip();
            }
        }
        // y = x scale + shift with scale = weight / std and shift = bias - mean scale
        for j in 0..c {
            self.scale[j] = weight[j] * self.inv_std[j];
            self.shift[j] = bias[j] - self.mean[j] * self.scale[j];
        }
        E::channel_affine(x, &self.scale, &self.shift, out);
    }

    fn store_buffers(&self, buffers: &mut [E]) {
        for (range, new) in self.running.iter().zip(&self.new_running).filter(|_| self.has_new) {
            buffers[range.clone()].copy_from_slice(new);
        }
    }

    // With x_hat = (x - mean) / std, and sums over the batch in which each row counts `count` times:
    //   dweight = sum dy x_hat        dbias = sum dy
    //   dx = weight / std (dy - count/n (dbias + x_hat dweight))
    // If a row stands for several examples, its dy is already the sum of theirs, hence the count.
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    ) {
        let (c, weight) = (self.channels, x.get(1));
        let x = x.get(0);
        let counts = env.counts(self.axis);
        E::channel_sums(x, grad, &self.mean, &self.inv_std, &mut self.sum, &mut self.sum_hat);
        if let Some(g) = grads.get(0) {
            // dx = a dy + count (b x + c), where b and c are 0 in evaluation, as the statistics are not the
            // batch's.
            let share = if env.training { self.examples(x.len() / c, counts).recip() } else { E::zero() };
            let [a, b, shift] = &mut self.coefficients;
            for j in 0..c {
                a[j] = weight[j] * self.inv_std[j];
                b[j] = -a[j] * share * self.inv_std[j] * self.sum_hat[j];
                shift[j] = -a[j] * share * self.sum[j] - b[j] * self.mean[j];
            }
            E::channel_backward(x, grad, counts, [a, b, shift], g.data, g.add);
        }
        if let Some(g) = grads.get(1) {
            g.each(|j| self.sum_hat[j]);
        }
        if let Some(g) = grads.get(2) {
            g.each(|j| self.sum[j]);
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// Normalizes each channel to mean 0 and variance 1 over the batch, then scales and shifts it.
    ///
    /// In training it uses the batch's statistics (the variance biased) and moves the running ones towards
    /// them (the variance unbiased); in evaluation it uses the running ones.
    ///
    /// # Shapes
    /// x (B, C) or (B, T, C), weight (C), bias (C) -> as x. With three dimensions the statistics are over B and T.
    ///
    /// # Source
    /// Ioffe and Szegedy 2015; `torch.nn.functional.batch_norm`, whose channels are the second dimension, not the
    /// last.
    ///
    /// ```
    /// use charloom_tensor::{Params, Tape, ops::RunningStats};
    ///
    /// let mut params = Params::<f64>::new();
    /// let mean = params.add_buffer("running_mean", &[1], &[0.0]);
    /// let var = params.add_buffer("running_var", &[1], &[1.0]);
    /// let tape = Tape::with(&params);
    /// let (weight, bias) = (tape.variable(&[1], &[1.0]), tape.variable(&[1], &[0.0]));
    /// let x = tape.input(&[2, 1], &[4.0, 8.0]);
    /// let normed = |training| {
    ///     tape.set_training(training);
    ///     x.batch_norm(weight, bias, RunningStats { mean, var, momentum: 0.1 }, 1e-12).data()
    /// };
    /// // With the batch's mean 6 and variance 4, then with the running ones, which are still 0 and 1.
    /// assert!(normed(true).iter().zip([-1.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    /// assert!(normed(false).iter().zip([4.0, 8.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    /// ```
    pub fn batch_norm(
        self,
        weight: Var<'t, E>,
        bias: Var<'t, E>,
        running: RunningStats,
        eps: f64,
    ) -> Var<'t, E> {
        let x = self.contiguous();
        let shape = x.shape();
        let channels = shape.last();
        assert!(shape.rank() >= 2, "batch_norm takes a batch of rows, not shape {shape:?}");
        assert_eq!(weight.shape().dims(), [channels], "batch_norm: a weight for each channel");
        assert_eq!(bias.shape().dims(), [channels], "batch_norm: a bias for each channel");
        for id in [running.mean, running.var] {
            assert_eq!(self.tape().buffer(id).len(), channels, "batch_norm: statistics of each channel");
        }
        let per_channel = || vec![E::zero(); channels];
        let op = BatchNorm {
            channels,
            eps: E::of(eps),
            axis: x.axis(),
            running: [running.mean, running.var].map(|id| self.tape().buffer(id)),
            momentum: running.momentum,
            new_running: [per_channel(), per_channel()],
            has_new: false,
            mean: per_channel(),
            inv_std: per_channel(),
            scale: per_channel(),
            shift: per_channel(),
            sum: per_channel(),
            sum_hat: per_channel(),
            coefficients: [per_channel(), per_channel(), per_channel()],
        };
        self.tape().record(op, &[x.id(), weight.contiguous().id(), bias.contiguous().id()], shape)
    }
}
