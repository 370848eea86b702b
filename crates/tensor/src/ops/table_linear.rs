//! A linear layer on top of an embedding or of one-hot vectors, with an optional activation, computed as sums
//! of table rows.
//!
//! A token v at position t always contributes `table[v] W_t^T` to the layer. Each pair (t, v) that occurs in
//! the batch is computed once, and a row of the output is the sum of its T pairs. With one-hot inputs the
//! contributions are the weight's columns. The cost hardly grows with the batch.

use crate::kernels::{Activation, Epilogue, Gemm};
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Indices};

/// Where the first layer's input vectors come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A table of embeddings of this width: input 0.
    Embedding(usize),
    /// One-hot vectors: no input.
    OneHot,
}

/// The other properties of the layer.
pub(crate) struct TableLinearOptions {
    pub bias: bool,
    pub activation: Option<Activation>,
    /// The axis of the indices' first dimension.
    pub axis: Option<usize>,
    /// Where sums over its units are split in two; see `Tape::cut`.
    pub cut: Option<usize>,
}

pub(crate) struct TableLinear<E> {
    source: Source,
    indices: Indices,
    /// T
    positions: usize,
    /// V
    tokens: usize,
    /// H
    outputs: usize,
    bias: bool,
    activation: Option<Activation>,
    axis: Option<usize>,
    cut: Option<usize>,
    /// The slot of each (row, position).
    slots: Vec<u32>,
    /// Per (position, token): the forward pass in which it last occurred, and its slot then.
    pairs: Vec<(u32, u32)>,
    /// The number of the present forward pass.
    pass: u32,
    /// The token of each slot, and where the slots of each position start.
    slot_token: Vec<u32>,
    starts: Vec<usize>,
    /// The embeddings of the slots' tokens, their gradients, and the embedding's gradient from the second
    /// half of the units.
    gathered: Vec<E>,
    gathered_grad: Vec<E>,
    second: Vec<E>,
    /// The weight as (H, T E), or other transposed matrices.
    transposed: Vec<E>,
    /// A row for each slot, and its gradient.
    table: Vec<E>,
    table_grad: Vec<E>,
    /// The sum before the activation, where backward needs it.
    sums: Vec<E>,
    /// The bias of a layer that has none.
    zero_bias: Vec<E>,
    /// Slot 0 for every row.
    one_slot: Vec<u32>,
}

impl<E: Element> TableLinear<E> {
    pub fn new(
        source: Source,
        indices: Indices,
        [rows, positions, tokens, outputs]: [usize; 4],
        options: TableLinearOptions,
    ) -> Self {
        let TableLinearOptions { bias, activation, axis, cut } = options;
        let most = (positions * tokens).min(rows * positions);
        let zeros = |n: usize| vec![E::zero(); n];
        let (embed, slots) = match source {
            Source::Embedding(width) => (width, most),
            Source::OneHot => (0, 0),
        };
        let kept = if activation.is_some_and(Activation::slope_is_of_x) { rows * outputs } else { 0 };
        Self {
            source,
            indices,
            positions,
            tokens,
            outputs,
            bias,
            activation,
            axis,
            cut,
            slots: vec![0; rows * positions],
            pairs: vec![(0, 0); positions * tokens],
            pass: 0,
            // One more than there can be, since `assign` always writes the next slot's token.
            slot_token: vec![0; slots + 1],
            starts: vec![0; positions + 1],
            gathered: zeros(slots * embed),
            gathered_grad: zeros(slots * embed),
            second: zeros(if cut.is_some() { tokens * embed } else { 0 }),
            transposed: zeros(outputs * positions * embed),
            table: zeros(slots * outputs),
            table_grad: zeros(slots * outputs),
            sums: zeros(kept),
            zero_bias: zeros(outputs),
            one_slot: vec![0; rows],
        }
    }

    /// Assigns a slot to every pair of position and token in the batch, position by position.
    fn assign(&mut self, tokens: &[u32]) {
        if self.pass == u32::MAX {
            self.pairs.fill((0, 0));
            self.pass = 0;
        }
        self.pass += 1;
        // Without branches, since whether a pair is new is unpredictable: the next slot's token is always
        // written.
        let (slots, mut count) = (&mut self.slots[..tokens.len()], 0);
        for t in 0..self.positions {
            self.starts[t] = count;
            let mut at = t;
            while at < tokens.len() {
                let token = tokens[at];
                let pair = &mut self.pairs[t * self.tokens + token as usize];
                let known = u32::from(pair.0 == self.pass);
                slots[at] = known * pair.1 + (1 - known) * count as u32;
                *pair = (self.pass, slots[at]);
                self.slot_token[count] = token;
                count += 1 - known as usize;
                at += self.positions;
            }
        }
        self.starts[self.positions] = count;
    }

    /// table[slot] = embedding[token of slot] W_t^T
    fn fill_table(&mut self, embedding: &[E], weight: &[E], width: usize) {
        let (h, count) = (self.outputs, self.starts[self.positions]);
        for (to, &token) in self.gathered.chunks_exact_mut(width).zip(&self.slot_token[..count]) {
            let from = &embedding[token as usize * width..][..width];
            if width > 32 {
                to.copy_from_slice(from);
            } else {
                // For short rows a loop is faster than a call to memcpy.
                to.iter_mut().zip(from).for_each(|(to, &x)| *to = x);
            }
        }
        for t in 0..self.positions {
            let (start, end) = (self.starts[t], self.starts[t + 1]);
            E::gemm(Gemm {
                m: end - start,
                n: h,
                k: width,
                a: &self.gathered[start * width..],
                a_strides: [width, 1],
                b: &weight[t * width * h..],
                b_strides: [h, 1],
                c: &mut self.table[start * h..],
                c_stride: h,
                epilogue: Epilogue::Set,
            });
        }
    }

    /// The argument of the activation's slope: the sums before it, or its output.
    fn slope_of<'a>(&'a self, out: &'a [E]) -> &'a [E] {
        if self.activation.is_some_and(Activation::slope_is_of_x) { &self.sums[..out.len()] } else { out }
    }

    /// dembedding[token] += dtable[slot] W_t: the sum over the units before the cut, plus that over the
    /// others.
    fn embedding_grad(&mut self, weight: &[E], width: usize, total: &mut [E]) {
        let Self { positions, outputs: h, starts, slot_token, table_grad, gathered_grad, transposed, .. } =
            self;
        let (h, inputs, count) = (*h, *positions * width, starts[*positions]);
        // For few rows (dtable W_t)^T = W_t^T dtable^T, so that the smaller matrices are transposed.
        let by_rows = count * (width + h) < inputs * h;
        if !by_rows {
            E::transpose(weight, inputs, h, transposed);
        }
        let second = &mut self.second[..];
        bytemuck::fill_zeroes(second);
        let (cut, end) = (self.cut.unwrap_or(h), h);
        for t in 0..*positions {
            let slots = starts[t]..starts[t + 1];
            let (n, d) = (slots.len(), &table_grad[slots.start * h..slots.end * h]);
            if by_rows {
                E::transpose(d, n, h, &mut transposed[..n * h]);
            }
            for (units, to) in [(0..cut, &mut *total), (cut..end, &mut *second)] {
                if units.is_empty() {
                    continue;
                }
                let k = units.len();
                let c = &mut gathered_grad[..n * width];
                if by_rows {
                    let (d_transposed, c_transposed) = transposed.split_at_mut(n * h);
                    E::gemm(Gemm {
                        m: width,
                        n,
                        k,
                        a: &weight[t * width * h + units.start..],
                        a_strides: [h, 1],
                        b: &d_transposed[units.start * n..],
                        b_strides: [n, 1],
                        c: c_transposed,
                        c_stride: n,
                        epilogue: Epilogue::Set,
                    });
                    E::transpose(&c_transposed[..width * n], width, n, c);
                } else {
                    E::gemm(Gemm {
                        m: n,
                        n: width,
                        k,
                        a: &d[units.start..],
                        a_strides: [h, 1],
                        b: &transposed[units.start * inputs + t * width..],
                        b_strides: [inputs, 1],
                        c,
                        c_stride: width,
                        epilogue: Epilogue::Set,
                    });
                }
                E::scatter_rows(None, c, c, width, &slot_token[slots.clone()], 1, to);
            }
        }
        total.iter_mut().zip(second).for_each(|(total, &mut more)| *total += more);
    }
}

impl<E: Element> Op<E> for TableLinear<E> {
    fn name(&self) -> &'static str {
        "table_linear"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::AlongAxis(self.axis)
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let rows = out.len() / self.outputs;
        let used = rows * self.positions;
        let tokens = &env.indices(self.indices)[..used];
        let (weight, at_bias) = match self.source {
            Source::Embedding(width) => {
                self.assign(tokens);
                self.fill_table(x.get(0), x.get(1), width);
                (None, 2)
            }
            Source::OneHot => {
                for (slots, tokens) in
                    self.slots.chunks_exact_mut(self.positions).zip(tokens.chunks_exact(self.positions))
                {
                    for (t, (slot, &token)) in slots.iter_mut().zip(tokens).enumerate() {
                        *slot = (t * self.tokens) as u32 + token;
                    }
                }
                (Some(x.get(0)), 1)
            }
        };
        let bias = if self.bias { x.get(at_bias) } else { &self.zero_bias };
        let table = weight.unwrap_or(&self.table);
        if let Some(kind) = self.activation.filter(|kind| kind.slope_is_of_x()) {
            let sums = &mut self.sums[..out.len()];
            E::gather_rows(table, bias, &self.slots[..used], self.positions, None, sums);
            E::activate(kind, sums, out);
        } else {
            E::gather_rows(table, bias, &self.slots[..used], self.positions, self.activation, out);
        }
    }

    // Each row's gradient is added to the T table rows that it is the sum of. The gradient of a table row
    // gives, by table[slot] = embedding[token] W_t^T:
    //   dembedding[token] += dtable[slot] W_t
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let h = self.outputs;
        let used = out.len() / h * self.positions;
        let at_bias = match self.source {
            Source::OneHot => {
                if let Some(g) = grads.get(0) {
                    let (v, slots) = (self.slope_of(out), &self.slots[..used]);
                    E::scatter_rows(self.activation, v, grad, h, slots, self.positions, g.zeroed());
                }
                1
            }
            Source::Embedding(width) => {
                let mut table = std::mem::take(&mut self.table_grad);
                let of_slots = &mut table[..self.starts[self.positions] * h];
                bytemuck::fill_zeroes(of_slots);
                let (v, slots) = (self.slope_of(out), &self.slots[..used]);
                E::scatter_rows(self.activation, v, grad, h, slots, self.positions, of_slots);
                self.table_grad = table;
                if let Some(g) = grads.get(0) {
                    self.embedding_grad(x.get(1), width, g.zeroed());
                }
                2
            }
        };
        if self.bias
            && let Some(g) = grads.get(at_bias)
        {
            match self.source {
                // Every row has exactly one slot at position 0, so the sum of these slots' gradients is the
                // sum over all rows.
                Source::Embedding(_) => E::sum_rows(&self.table_grad[..self.starts[1] * h], g.zeroed()),
                Source::OneHot => {
                    let (v, slots) = (self.slope_of(out), &self.one_slot[..out.len() / h]);
                    E::scatter_rows(self.activation, v, grad, h, slots, 1, g.zeroed());
                }
            }
        }
    }

    fn weight(&self) -> Option<usize> {
        matches!(self.source, Source::Embedding(_)).then_some(1)
    }

    // dW_t^T = embedding^T dtable over the slots of position t
    fn weight_grad(&mut self, _: Inputs<'_, E>, _: &[E], c: &mut [E], epilogue: Epilogue<'_, E>) {
        let Source::Embedding(width) = self.source else { return };
        let h = self.outputs;
        for (t, c) in c.chunks_exact_mut(width * h).enumerate() {
            let slots = self.starts[t]..self.starts[t + 1];
            E::gemm(Gemm {
                m: width,
                n: h,
                k: slots.len(),
                a: &self.gathered[slots.start * width..],
                a_strides: [1, width],
                b: &self.table_grad[slots.start * h..],
                b_strides: [h, 1],
                c,
                c_stride: h,
                epilogue,
            });
        }
    }
}
