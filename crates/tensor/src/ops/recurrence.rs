//! A recurrent layer over whole sequences: states[i] = cell(x[i], states[parent of i])

use crate::kernels::{self, Cell, CellBackward, CellForward, Epilogue, Gemm};
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::slab::Slab;
use crate::{Element, Indices, Shape, Var};

struct Recurrence<E> {
    cell: Cell,
    hidden: usize,
    /// None: every row begins a sequence.
    parents: Option<Indices>,
    /// Whether the weight lies in memory as (in, out), the layout of `Params::add_by_columns`.
    by_columns: bool,
    /// Whether sequences begin with given states instead of zeros.
    has_first: bool,
    /// Where each level of rows starts: rows that begin a sequence, rows that follow them, and so on.
    starts: Vec<usize>,
    /// Per row: the gates; after backward the gradient of u, the state's part of the gates.
    gates: Vec<E>,
    /// Per row: the state before it, and what else backward needs.
    before: Vec<E>,
    kept: Vec<E>,
    /// The gradient of each row's state; and, for one level, the gradient of the states before its rows.
    d_states: Vec<E>,
    d_before: Vec<E>,
    /// Memory for the input's gradient if the input needs none.
    unwanted: Vec<E>,
    /// The transposed weight.
    transposed: Vec<E>,
    /// The weight in the form that the products of all levels read.
    packed: Slab<E>,
}

/// From this mean number of rows per level on, packing the weight pays.
const MIN_ROWS_TO_PACK: usize = 8;
/// From this mean number of rows per level on, each thread keeps its rows for a level's product and cells.
const MIN_ROWS_TO_KEEP: usize = 32;

impl<E: Element> Recurrence<E> {
    /// G H and S H: the lengths of a row of gates and of a row of states.
    fn widths(&self) -> [usize; 2] {
        [self.cell.gates() * self.hidden, self.cell.states() * self.hidden]
    }

    /// Whether each thread keeps its part of a level's rows; `rows` is the number in all levels.
    fn keeps_rows_of_levels(&self, rows: usize) -> bool {
        rows >= MIN_ROWS_TO_KEEP * (self.starts.len() - 1)
    }

    /// Whether the weight is packed for the products of all levels; `rows` is the number in all levels.
    fn packs(&self, rows: usize) -> bool {
        rows >= MIN_ROWS_TO_PACK * (self.starts.len() - 1)
    }

    /// Finds the levels of the first `rows` rows.
    fn find_levels(&mut self, parents: Option<&[u32]>, rows: usize) {
        let parent = |row: usize| parents.map_or(row, |parents| parents[row] as usize);
        self.starts.clear();
        self.starts.push(0);
        let mut end = (0..rows).find(|&row| parent(row) != row).unwrap_or(rows);
        while end < rows {
            self.starts.push(end);
            let next = (end..rows).find(|&row| parent(row) >= end).unwrap_or(rows);
            assert!(next > end, "recurrence: row {end} follows row {}, which is not before it", parent(end));
            end = next;
        }
        self.starts.push(rows);
    }
}

/// A level's product; B is packed if `packed` is given.
fn multiply<E: Element>(product: Gemm<'_, E>, packed: Option<&[E]>) {
    match packed {
        Some(packed) => E::gemm_packed(product, packed),
        None => E::gemm(product),
    }
}

impl<E: Element> Op<E> for Recurrence<E> {
    fn name(&self) -> &'static str {
        match self.cell {
            Cell::Rnn => "rnn",
            Cell::Gru => "gru",
            Cell::Lstm => "lstm",
        }
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let ([g, s], h) = (self.widths(), self.hidden);
        let rows = out.len() / s;
        let parents = self.parents.map(|parents| &env.indices(parents)[..rows]);
        self.find_levels(parents, rows);
        if !self.by_columns {
            E::transpose(x.get(1), g, h, &mut self.transposed);
        }
        let weight = if self.by_columns { x.get(1) } else { &self.transposed };
        let keep_rows = self.keeps_rows_of_levels(rows);
        let packed = self.packs(rows).then(|| {
            E::pack(weight, g, self.packed.all_mut());
            self.packed.all()
        });
        kernels::enter(None, keep_rows, || {
            for level in self.starts.windows(2) {
                let (from, to) = (level[0], level[1]);
                let (earlier, after) = out.split_at_mut(from * s);
                let before = &mut self.before[from * s..to * s];
                match parents {
                    _ if from == 0 && self.has_first => before.copy_from_slice(x.get(3)),
                    _ if from == 0 => bytemuck::fill_zeroes(before),
                    None => unreachable!("every row is of the first level"),
                    Some(parents) => {
                        for (state, &parent) in before.chunks_exact_mut(s).zip(&parents[from..to]) {
                            state.copy_from_slice(&earlier[parent as usize * s..][..s]);
                        }
                    }
                }
                let gates = &mut self.gates[from * g..to * g];
                let product = Gemm {
                    m: to - from,
                    n: g,
                    k: h,
                    a: before,
                    a_strides: [s, 1],
                    b: weight,
                    b_strides: [g, 1],
                    c: gates,
                    c_stride: g,
                    epilogue: Epilogue::Bias(x.get(2)),
                };
                multiply(product, packed);
                E::cell_forward(CellForward {
                    cell: self.cell,
                    hidden: h,
                    x: &x.get(0)[from * g..to * g],
                    gates,
                    before,
                    after: &mut after[..(to - from) * s],
                    kept: &mut self.kept[from * h..to * h],
                });
            }
        });
    }

    // Last level first: through the cell, then dh_before += dgates W, added to the parent's gradient.
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    ) {
        let ([g, s], h) = (self.widths(), self.hidden);
        let rows = out.len() / s;
        let parents = self.parents.map(|parents| env.indices(parents));
        if self.by_columns {
            E::transpose(x.get(1), h, g, &mut self.transposed);
        }
        let weight = if self.by_columns { &self.transposed } else { x.get(1) };
        let (goes_on, keep_rows) = (self.has_first && grads.needs_grad(3), self.keeps_rows_of_levels(rows));
        let packed = self.packs(rows).then(|| {
            E::pack(weight, h, self.packed.all_mut());
            self.packed.all()
        });
        self.d_states[..rows * s].copy_from_slice(grad);
        {
            let (d_x, add) = match grads.get(0) {
                Some(g) => (g.data, g.add),
                None => {
                    self.unwanted.resize(rows * g, E::zero());
                    (&mut self.unwanted[..], false)
                }
            };
            kernels::enter(None, keep_rows, || {
                for level in self.starts.windows(2).rev() {
                    let (from, to) = (level[0], level[1]);
                    let (earlier, d_after) = self.d_states.split_at_mut(from * s);
                    let (gates, d_before) =
                        (&mut self.gates[from * g..to * g], &mut self.d_before[..(to - from) * s]);
                    E::cell_backward(CellBackward {
                        cell: self.cell,
                        hidden: h,
                        gates,
                        before: &self.before[from * s..to * s],
                        after: &out[from * s..to * s],
                        kept: &self.kept[from * h..to * h],
                        d_after: &d_after[..(to - from) * s],
                        d_x: &mut d_x[from * g..to * g],
                        add,
                        d_before,
                    });
                    if from == 0 && !goes_on {
                        continue;
                    }
                    let product = Gemm {
                        m: to - from,
                        n: h,
                        k: g,
                        a: gates,
                        a_strides: [g, 1],
                        b: weight,
                        b_strides: [h, 1],
                        c: d_before,
                        c_stride: s,
                        epilogue: if self.cell == Cell::Gru { Epilogue::Add } else { Epilogue::Set },
                    };
                    multiply(product, packed);
                    if let Some(parents) = parents.filter(|_| from > 0) {
                        for (d, &parent) in d_before.chunks_exact(s).zip(&parents[from..to]) {
                            let to = &mut earlier[parent as usize * s..][..s];
                            to.iter_mut().zip(d).for_each(|(to, &d)| *to += d);
                        }
                    }
                }
            });
        }
        if let Some(bias) = grads.get(2) {
            E::sum_rows(&self.gates[..rows * g], bias.zeroed());
        }
        if goes_on && let Some(first) = grads.get(3) {
            first.each(|i| self.d_before[i]);
        }
    }

    fn weight(&self) -> Option<usize> {
        Some(1)
    }

    // dW^T = h_before^T dgates over all rows, or dW = dgates^T h_before
    fn weight_grad(&mut self, _: Inputs<'_, E>, grad: &[E], c: &mut [E], epilogue: Epilogue<'_, E>) {
        let ([g, s], h) = (self.widths(), self.hidden);
        let (of_states, of_gates) = ((&self.before[..], s, h), (&self.gates[..], g, g));
        let ((a, a_stride, m), (b, b_stride, n)) =
            if self.by_columns { (of_states, of_gates) } else { (of_gates, of_states) };
        let (k, a_strides, b_strides) = (grad.len() / s, [1, a_stride], [b_stride, 1]);
        E::gemm_over_rows(Gemm { m, n, k, a, a_strides, b, b_strides, c, c_stride: n, epilogue });
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The states of a recurrent layer; `self` is x, the input's part of the gates.
    ///
    /// With `u = h W^T + b` of the state before, and the gates in torch's order:
    ///
    /// - [`Cell::Rnn`]: `h' = tanh(x + u)`
    /// - [`Cell::Gru`]: `r, z = sigmoid(x + u)`, `n = tanh(x_n + r u_n)`, `h' = (1 - z) n + z h`
    /// - [`Cell::Lstm`]: `i, f, o = sigmoid(x + u)`, `g = tanh(x + u)`, `c' = f c + i g`, `h' = o tanh(c')`
    ///
    /// The state before row i is that of row `parents[i]`. Rows are ordered level by level: first those that
    /// begin a sequence, whose parent is their own row; then those that follow them, and so on. Without
    /// `parents` every row begins a sequence. A sequence begins with zeros, or with its row of `first`.
    ///
    /// # Shapes
    /// self (N, G H), weight (G H, H), bias (G H), parents (N), first (beginnings, S H) -> (N, S H); an
    /// lstm's rows hold h and then c. For rnn, gru and lstm G is 1, 3, 4 and S is 1, 1, 2.
    ///
    /// # Panics
    /// If the sizes do not fit; when it is computed, if the rows are not ordered level by level.
    ///
    /// # Source
    /// `torch.nn.RNN`, `GRU`, `LSTM`; Elman 1990, Cho et al. 2014, Hochreiter and Schmidhuber 1997
    ///
    /// ```
    /// use charloom_tensor::{Tape, kernels::Cell};
    ///
    /// let tape = Tape::<f64>::new();
    /// // One unit, one sequence of two rows: the second follows the first.
    /// let x = tape.input(&[2, 1], &[0.5, 0.0]);
    /// let (weight, bias) = (tape.variable(&[1, 1], &[2.0]), tape.variable(&[1], &[0.0]));
    /// let states = x.recurrence(Cell::Rnn, [weight, bias], Some(tape.indices(&[2], &[0, 0])), None).data();
    /// assert!((states[0] - 0.5f64.tanh()).abs() < 1e-12);
    /// assert!((states[1] - (2.0 * 0.5f64.tanh()).tanh()).abs() < 1e-12);
    /// ```
    pub fn recurrence(
        self,
        cell: Cell,
        [weight, bias]: [Var<'t, E>; 2],
        parents: Option<Indices>,
        first: Option<Var<'t, E>>,
    ) -> Var<'t, E> {
        let x = self.contiguous();
        let (sx, sw) = (x.shape(), weight.shape());
        assert_eq!((sx.rank(), sw.rank()), (2, 2), "recurrence: rows of gates {sx:?}, weight {sw:?}");
        let (rows, hidden) = (sx.dims()[0], sw.last());
        let [g, s] = [cell.gates() * hidden, cell.states() * hidden];
        let fits = sx.last() == g && sw.dims()[0] == g && bias.shape().dims() == [g];
        assert!(fits, "recurrence: {cell:?} of {hidden}: x {sx:?}, weight {sw:?}, bias {:?}", bias.shape());
        let by_columns = weight.layout().strides[..2] == [1, g];
        let weight = if by_columns { weight } else { weight.contiguous() };
        let mut ids = vec![x.id(), weight.id(), bias.contiguous().id()];
        if let Some(first) = first {
            assert_eq!(first.shape().last(), s, "recurrence: first states {:?}", first.shape());
            ids.push(first.contiguous().id());
        }
        if let Some(parents) = parents {
            assert_eq!(
                self.tape().indices_shape(parents).dims(),
                [rows],
                "recurrence: a parent for each row"
            );
        }
        let rows_of = |width: usize| vec![E::zero(); rows * width];
        // For either layout of the weight, with its columns rounded up to a multiple of 16.
        let mut packed = Slab::new();
        packed.grow((g.next_multiple_of(16) * hidden).max(hidden.next_multiple_of(16) * g));
        let op = Recurrence {
            cell,
            hidden,
            parents,
            by_columns,
            has_first: first.is_some(),
            starts: Vec::with_capacity(rows + 2),
            gates: rows_of(g),
            before: rows_of(s),
            kept: rows_of(hidden),
            d_states: rows_of(s),
            d_before: rows_of(s),
            unwanted: Vec::new(),
            transposed: vec![E::zero(); g * hidden],
            packed,
        };
        self.tape().record(op, &ids, Shape::new(&[rows, s]))
    }
}

#[cfg(test)]
mod tests {
    use crate::check::check;
    use crate::kernels::Cell;
    use crate::{Params, Pass, Recording, Rows, Tape, Var};

    const CELLS: [Cell; 3] = [Cell::Rnn, Cell::Gru, Cell::Lstm];

    #[test]
    fn gradient() {
        for cell in CELLS {
            let (h, [g, s]) = (3, [cell.gates() * 3, cell.states() * 3]);
            // A trie of two sequences, one of which branches.
            let shapes = [&[6, g][..], &[g, h], &[g], &[2, s]];
            let parents = [0, 1, 0, 0, 1, 3];
            check(&shapes, |v| {
                let parents = v[0].tape().indices(&[6], &parents);
                v[0].recurrence(cell, [v[1], v[2]], Some(parents), Some(v[3]))
            });
            check(&shapes[..3], |v| {
                let parents = v[0].tape().indices(&[6], &parents);
                let states = v[0].recurrence(cell, [v[1], v[2]], Some(parents), None);
                // The input is used twice, and the weight is column-major.
                let transposed = v[1].transpose(0, 1).contiguous().transpose(0, 1);
                states * v[0].recurrence(cell, [transposed, v[2]], None, None)
            });
        }
    }

    #[test]
    fn rows_in_use_are_read_as_if_there_were_no_others() {
        for cell in CELLS {
            let (g, s) = (cell.gates() * 2, cell.states() * 2);
            let mut params = Params::<f32>::new();
            let weight = params.add("weight", &[g, 2], &vec![0.3; 2 * g]);
            let bias = params.add("bias", &[g], &vec![0.1; g]);
            let numbers: Vec<f32> = (0..5 * g).map(|i| (i as f32).sin()).collect();
            let record = |tape: &Tape<'_, f32>, rows: usize, parents: &[u32]| {
                let axis = tape.axis(rows);
                let (x, of) = (tape.rows(axis, &[g]), tape.index_rows(axis, &[]));
                let states = x.recurrence(cell, [tape.param(weight), tape.param(bias)], Some(of), None);
                assert_eq!(states.shape().dims(), [rows, s]);
                (x.id(), of, states.id(), parents.to_vec())
            };
            let run = |rows: usize, used: usize, parents: &[u32]| {
                let (mut recording, (x, of, states, parents)) =
                    Recording::new(&params, |tape| record(tape, rows, parents));
                recording.set(x, |x| x[..used * g].copy_from_slice(&numbers[..used * g]));
                recording.set_indices(of, |to| to[..used].copy_from_slice(&parents));
                let rows = [Rows::First(used)];
                recording.forward(&params, &Pass { rows: &rows, ..Pass::training() });
                recording.with_data(states, <[f32]>::to_vec)
            };
            let all = run(5, 5, &[0, 0, 0, 1, 3]);
            assert_eq!(run(5, 3, &[0, 0, 0]), all[..3 * s]);
            // A branch alone gives the same states as in the trie.
            assert_eq!(run(2, 2, &[0, 0]), all[..2 * s]);
        }
    }

    #[test]
    #[should_panic(expected = "row 1 follows row 2, which is not before it")]
    fn a_parent_that_comes_later_is_refused() {
        let tape = Tape::<f32>::new();
        let [x, w, b] = [&[3, 1][..], &[1, 1], &[1]].map(|shape| tape.input(shape, &[0.0; 3][..shape[0]]));
        let _: Var<'_, f32> = x.recurrence(Cell::Rnn, [w, b], Some(tape.indices(&[3], &[0, 2, 0])), None);
    }
}
