//! Exchange between two partners, each with half of every layer's units.
//!
//! A layer that gets half of the units as its inputs computes only one half of each sum; the partner computes
//! the other. A tensor that both partners use whole gets the sum of both gradients.

use crate::kernels::Endpoint;
use crate::op::{Env, Grad, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Shape, Var};
use std::ops::Range;

/// y = x + the partner's x + bias, in the columns that this side kept.
struct Reduce<E> {
    endpoint: Endpoint<E>,
    /// The columns of x.
    width: usize,
    kept: Range<usize>,
    /// The columns that the partner kept, which are sent to it.
    sent: Range<usize>,
    /// Zeros, if there is no bias.
    zero_bias: Vec<E>,
}

impl<E: Element> Op<E> for Reduce<E> {
    fn name(&self) -> &'static str {
        if self.kept == self.sent { "all_reduce" } else { "reduce_scatter" }
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let bias = if self.zero_bias.is_empty() { x.get(1) } else { &self.zero_bias };
        let (x, sent, kept) = (x.get(0), self.sent.clone(), self.kept.clone());
        let numbers = x.len() / self.width * sent.len();
        let send = |to: &mut [E]| {
            for (to, x) in to.chunks_exact_mut(sent.len()).zip(x.chunks_exact(self.width)) {
                to.copy_from_slice(&x[sent.clone()]);
            }
        };
        self.endpoint.send(numbers, send);
        self.endpoint.receive(numbers, |other| {
            E::add_rows(&x[kept.start..], self.width, other, bias, out);
        });
    }

    // Both partners' x need the gradient of every column; if both keep all columns, they have it already.
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        if self.receives() {
            self.endpoint.send(grad.len(), |to| to.copy_from_slice(grad));
        }
        if let Some(g) = grads.get(0) {
            set_columns(g, self.width, self.kept.clone(), grad);
        }
        if self.zero_bias.is_empty()
            && let Some(g) = grads.get(1)
        {
            E::sum_rows(grad, g.zeroed());
        }
    }

    fn receives(&self) -> bool {
        self.kept != self.sent
    }

    fn receive(&mut self, grad: &[E], grads: &mut InputGrads<'_, E>) {
        self.endpoint.receive(grad.len(), |other| {
            if let Some(g) = grads.get(0) {
                set_columns(g, self.width, self.sent.clone(), other);
            }
        });
    }
}

/// Sets some columns of a gradient, or adds to them.
fn set_columns<E: Element>(to: Grad<'_, E>, width: usize, columns: Range<usize>, from: &[E]) {
    for (row, from) in to.data.chunks_exact_mut(width).zip(from.chunks_exact(columns.len())) {
        let data = &mut row[columns.clone()];
        if to.add {
            data.iter_mut().zip(from).for_each(|(to, &d)| *to += d);
        } else {
            data.copy_from_slice(from);
        }
    }
}

/// y = x, which the partner has too; dx = dy + the partner's dy
struct Replicated<E>(Endpoint<E>);

impl<E: Element> Op<E> for Replicated<E> {
    fn name(&self) -> &'static str {
        "replicated"
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        out.copy_from_slice(x.get(0));
    }

    fn backward(&mut self, _: Inputs<'_, E>, _: &[E], grad: &[E], _: &mut InputGrads<'_, E>, _: &Env<'_, E>) {
        self.0.send(grad.len(), |to| to.copy_from_slice(grad));
    }

    fn receives(&self) -> bool {
        true
    }

    fn receive(&mut self, grad: &[E], grads: &mut InputGrads<'_, E>) {
        self.0.receive(grad.len(), |other| {
            if let Some(g) = grads.get(0) {
                g.each(|i| grad[i] + other[i]);
            }
        });
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The sum of this tensor and the partner's, plus a bias; both partners get the whole sum.
    ///
    /// # Shapes
    /// x (B, C), bias (C) -> (B, C)
    ///
    /// # Panics
    /// If the tape is not one of [`Recording::shard`](crate::Recording::shard).
    ///
    /// # Source
    /// Shoeybi et al. 2019, "Megatron-LM"
    pub fn all_reduce(self, bias: Option<Var<'t, E>>) -> Var<'t, E> {
        let all = 0..self.shape().last();
        self.sum_of_partners(all.clone(), all, bias)
    }

    /// As [`Var::all_reduce`], but side 0 gets the first half of the columns, and side 1 the second.
    ///
    /// # Shapes
    /// x (B, C), bias (C / 2) -> (B, C / 2)
    ///
    /// # Panics
    /// As [`Var::all_reduce`]; if C is odd.
    ///
    /// # Source
    /// As [`Var::all_reduce`].
    pub fn reduce_scatter(self, bias: Option<Var<'t, E>>) -> Var<'t, E> {
        let width = self.shape().last();
        assert!(width.is_multiple_of(2), "reduce_scatter halves columns, {width} cannot be");
        let half = width / 2;
        let sides = [0..half, half..width];
        let side = self.tape().side();
        self.sum_of_partners(sides[side].clone(), sides[1 - side].clone(), bias)
    }

    fn sum_of_partners(self, kept: Range<usize>, sent: Range<usize>, bias: Option<Var<'t, E>>) -> Var<'t, E> {
        let x = self.contiguous();
        let shape = x.shape();
        assert_eq!(shape.rank(), 2, "partners share rows of columns, not a tensor of shape {shape:?}");
        let (rows, width) = (shape.dims()[0], shape.dims()[1]);
        let endpoint = self.tape().endpoint(rows * sent.len());
        let mut inputs = vec![x.id()];
        if let Some(bias) = bias {
            assert_eq!(bias.shape().dims(), [kept.len()], "a bias for each column that is kept");
            inputs.push(bias.contiguous().id());
        }
        let zero_bias = if bias.is_none() { vec![E::zero(); kept.len()] } else { Vec::new() };
        let shape = Shape::new(&[rows, kept.len()]);
        self.tape().record(Reduce { endpoint, width, kept, sent, zero_bias }, &inputs, shape)
    }

    /// A tensor that both partners have; its gradient is the sum of both partners' gradients.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Panics
    /// As [`Var::all_reduce`].
    ///
    /// # Source
    /// As [`Var::all_reduce`].
    pub fn replicated(self) -> Var<'t, E> {
        let x = self.contiguous();
        let endpoint = self.tape().endpoint(x.shape().len());
        self.tape().record(Replicated(endpoint), &[x.id()], x.shape())
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::tests::numbers;
    use crate::kernels::{Communicator, Pool};
    use crate::ops::Targets;
    use crate::{Element, Grads, NodeId, ParamId, Params, Pass, Recording, Tape};
    use std::sync::Arc;

    const ROWS: usize = 5;
    const WIDE: usize = 8;
    const CLASSES: usize = 6;

    /// A net with two hidden layers: whole, or half of its units.
    struct Net<E: Element> {
        params: Params<E>,
        ids: Vec<ParamId>,
        recording: Recording<E>,
        loss: NodeId,
        grads: Grads<E>,
    }

    /// The columns `from..to` of rows of `width`.
    fn columns<E: Element>(all: &[E], width: usize, from: usize, to: usize) -> Vec<E> {
        all.chunks(width).flat_map(|row| &row[from..to]).copied().collect()
    }

    fn net<E: Element>(half: Option<(usize, &Arc<Communicator<E>>)>) -> Net<E> {
        // The range of hidden units of this half.
        let (from, to) = half.map_or((0, WIDE), |(side, _)| (side * WIDE / 2, (side + 1) * WIDE / 2));
        let (w, n) = (WIDE, to - from);
        let (first, middle, last) = (numbers(w * 3, 1), numbers(w * w, 2), numbers(CLASSES * w, 3));
        let (middle_bias, last_bias) = (numbers(w, 4), numbers(CLASSES, 5));
        let mut params = Params::new();
        let ids = vec![
            params.add("x", &[ROWS, 3], &numbers(ROWS * 3, 6)),
            params.add("first", &[n, 3], &first[from * 3..to * 3]),
            params.add("middle", &[w, n], &columns(&middle, w, from, to)),
            params.add("middle_bias", &[n], &middle_bias[from..to]),
            params.add("last", &[CLASSES, n], &columns(&last, w, from, to)),
            params.add("last_bias", &[CLASSES], &last_bias),
        ];
        let record = |tape: &Tape<'_, E>| {
            let targets = Targets::from(tape.indices(&[ROWS], &[0, 3, 5, 1, 3]));
            let p = |i: usize| tape.param(ids[i]);
            if half.is_some() {
                let h = p(0).replicated().linear(p(1), None).tanh();
                let h = h.linear(p(2), None).reduce_scatter(Some(p(3))).tanh();
                h.linear(p(4), None).all_reduce(Some(p(5))).cross_entropy(targets).id()
            } else {
                let h = p(0).linear(p(1), None).tanh().linear(p(2), Some(p(3))).tanh();
                h.linear(p(4), Some(p(5))).cross_entropy(targets).id()
            }
        };
        let (recording, loss) = match half {
            Some((side, communicator)) => Recording::shard(&params, side, communicator, record),
            None => Recording::new(&params, record),
        };
        let grads = Grads::zeros(&params);
        Net { params, ids, recording, loss, grads }
    }

    impl<E: Element> Net<E> {
        fn step(&mut self) {
            let Self { params, recording, loss, grads, .. } = self;
            recording.forward(params, &Pass::training());
            recording.backward(params, grads, *loss, &Pass::training());
        }

        fn grad(&self, i: usize) -> Vec<E> {
            self.grads.read(&self.params, self.ids[i])
        }
    }

    fn check<E: Element>(tolerance: f64) {
        let mut whole = net::<E>(None);
        whole.step();
        let communicator = Arc::new(Communicator::default());
        let mut halves = [0, 1].map(|side| net(Some((side, &communicator))));
        communicator.work(&Pool::new(2), &mut halves, |_, half| half.step());
        let close = |a: &[E], b: &[E], what: &str| {
            assert_eq!(a.len(), b.len(), "{what}");
            for (a, b) in a.iter().zip(b) {
                assert!((a.f64() - b.f64()).abs() <= tolerance, "{what}: {a} instead of {b}");
            }
        };
        for (side, half) in halves.iter().enumerate() {
            let (from, to) = (side * WIDE / 2, (side + 1) * WIDE / 2);
            let of_whole = |i: usize| whole.grad(i);
            let of_half = |i: usize| half.grad(i);
            let loss = |net: &Net<E>| [net.recording.item(net.loss)];
            close(&loss(half), &loss(&whole), "loss");
            close(&of_half(0), &of_whole(0), "what both read");
            close(&of_half(1), &of_whole(1)[from * 3..to * 3], "first");
            close(&of_half(2), &columns(&of_whole(2), WIDE, from, to), "middle");
            close(&of_half(3), &of_whole(3)[from..to], "middle bias");
            close(&of_half(4), &columns(&of_whole(4), WIDE, from, to), "last");
            close(&of_half(5), &of_whole(5), "last bias");
        }
    }

    #[test]
    fn halves_have_the_wholes_gradients() {
        check::<f64>(1e-12);
        check::<f32>(1e-5);
    }
}
