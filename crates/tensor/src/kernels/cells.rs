//! The cells of recurrent nets: gates and states forward and backward, in one pass over the rows.

mod formulas;

use super::pool::{ROW_GRAIN, parallel_for};
use super::simd::Simd;
use super::team::Shared;
use super::{Isa, dispatch};
use formulas::{Backward, Formulas, Forward, Gru, Lstm, Rnn};

/// Estimated operations per gate and unit.
const WORK: usize = 80;

/// The kind of a recurrent cell: its gates and states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cell {
    /// `h' = tanh(x + u)`
    Rnn,
    /// Gates r, z, n: `n = tanh(x_n + r u_n)`, `h' = n + z (h - n)`.
    Gru,
    /// Gates i, f, g, o: `c' = f c + i g`, `h' = o tanh(c')`.
    Lstm,
}

impl Cell {
    /// How many gates a unit has.
    pub fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    /// The number of states per unit: h, and c for an lstm.
    pub fn states(self) -> usize {
        if self == Self::Lstm { 2 } else { 1 }
    }
}

/// One step forward for some rows of H units, with G gates and S states each.
pub struct CellForward<'a, E> {
    /// The kind of cell.
    pub cell: Cell,
    /// H
    pub hidden: usize,
    /// (rows, G H), the input's part of the gates.
    pub x: &'a [E],
    /// (rows, G H), the state's part of the gates; overwritten with the gates' values.
    pub gates: &'a mut [E],
    /// (rows, S H), the states before the step.
    pub before: &'a [E],
    /// (rows, S H), gets the states after the step.
    pub after: &'a mut [E],
    /// (rows, H), gets what else backward needs: a gru's `u_n`, an lstm's `tanh(c')`.
    pub kept: &'a mut [E],
}

/// The backward pass of one step for some rows; fields are as in [`CellForward`] unless described here.
pub struct CellBackward<'a, E> {
    /// The kind of cell.
    pub cell: Cell,
    /// H
    pub hidden: usize,
    /// The gates' values; overwritten with the gradient of the state's part of the gates.
    pub gates: &'a mut [E],
    /// The states before the step.
    pub before: &'a [E],
    /// The states after the step.
    pub after: &'a [E],
    /// What forward wrote to `kept`.
    pub kept: &'a [E],
    /// (rows, S H), the gradient of the states after the step.
    pub d_after: &'a [E],
    /// (rows, G H), gets the gradient of the input's part of the gates.
    pub d_x: &'a mut [E],
    /// Whether `d_x` is added to instead of overwritten.
    pub add: bool,
    /// (rows, S H), gets the gradient of the states before, except what flows through the state's part of the
    /// gates.
    pub d_before: &'a mut [E],
}

impl<E> CellForward<'_, E> {
    /// How many rows there are.
    ///
    /// # Panics
    /// If the slices have different numbers of rows.
    pub(super) fn rows(&self) -> usize {
        let rows = self.kept.len() / self.hidden;
        let fit = |len: usize, numbers: usize| assert!(len == rows * numbers * self.hidden, "a cell's rows");
        fit(self.kept.len(), 1);
        for len in [self.x.len(), self.gates.len()] {
            fit(len, self.cell.gates());
        }
        for len in [self.before.len(), self.after.len()] {
            fit(len, self.cell.states());
        }
        rows
    }
}

impl<E> CellBackward<'_, E> {
    /// As [`CellForward::rows`].
    pub(super) fn rows(&self) -> usize {
        let rows = self.kept.len() / self.hidden;
        let fit = |len: usize, numbers: usize| assert!(len == rows * numbers * self.hidden, "a cell's rows");
        fit(self.kept.len(), 1);
        for len in [self.gates.len(), self.d_x.len()] {
            fit(len, self.cell.gates());
        }
        for len in [self.before.len(), self.after.len(), self.d_after.len(), self.d_before.len()] {
            fit(len, self.cell.states());
        }
        rows
    }
}

#[inline(always)]
unsafe fn forward_rows<S: Simd, C: Formulas>(call: CellForward<'_, f32>) {
    let (rows, h) = (call.rows(), call.hidden);
    let (gates, states) = (call.cell.gates() * h, call.cell.states() * h);
    for row in 0..rows {
        for i in (0..h).step_by(S::LANES) {
            let n = (h - i).min(S::LANES);
            // SAFETY: the caller guarantees S's target features. `rows` has shown that each slice holds this row, and
            // i + n is at most h.
            unsafe {
                let at = Forward {
                    hidden: h,
                    x: call.x.as_ptr().add(row * gates + i),
                    gates: call.gates.as_mut_ptr().add(row * gates + i),
                    before: call.before.as_ptr().add(row * states + i),
                    after: call.after.as_mut_ptr().add(row * states + i),
                    kept: call.kept.as_mut_ptr().add(row * h + i),
                    n,
                };
                if n == S::LANES { C::forward::<S, true>(at) } else { C::forward::<S, false>(at) }
            }
        }
    }
}

#[inline(always)]
unsafe fn backward_rows<S: Simd, C: Formulas>(call: CellBackward<'_, f32>) {
    let (rows, h) = (call.rows(), call.hidden);
    let (gates, states) = (call.cell.gates() * h, call.cell.states() * h);
    for row in 0..rows {
        for i in (0..h).step_by(S::LANES) {
            let n = (h - i).min(S::LANES);
            // SAFETY: as in `forward_rows`.
            unsafe {
                let at = Backward {
                    hidden: h,
                    gates: call.gates.as_mut_ptr().add(row * gates + i),
                    before: call.before.as_ptr().add(row * states + i),
                    after: call.after.as_ptr().add(row * states + i),
                    kept: call.kept.as_ptr().add(row * h + i),
                    d_after: call.d_after.as_ptr().add(row * states + i),
                    d_x: call.d_x.as_mut_ptr().add(row * gates + i),
                    add: call.add,
                    d_before: call.d_before.as_mut_ptr().add(row * states + i),
                    n,
                };
                if n == S::LANES { C::backward::<S, true>(at) } else { C::backward::<S, false>(at) }
            }
        }
    }
}

#[inline(always)]
unsafe fn forward_on<S: Simd>(call: CellForward<'_, f32>) {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        match call.cell {
            Cell::Rnn => forward_rows::<S, Rnn>(call),
            Cell::Gru => forward_rows::<S, Gru>(call),
            Cell::Lstm => forward_rows::<S, Lstm>(call),
        }
    }
}

#[inline(always)]
unsafe fn backward_on<S: Simd>(call: CellBackward<'_, f32>) {
    // SAFETY: the caller guarantees S's target features.
    unsafe {
        match call.cell {
            Cell::Rnn => backward_rows::<S, Rnn>(call),
            Cell::Gru => backward_rows::<S, Gru>(call),
            Cell::Lstm => backward_rows::<S, Lstm>(call),
        }
    }
}

dispatch! {
    fn forward_isa(call: CellForward<'_, f32>) = forward_on
}

dispatch! {
    fn backward_isa(call: CellBackward<'_, f32>) = backward_on
}

/// One step of a cell; see [`CellForward`].
///
/// # Panics
/// If the slices have different numbers of rows.
pub fn cell_forward(call: CellForward<'_, f32>) {
    let rows = call.rows();
    let CellForward { cell, hidden: h, x, gates, before, after, kept } = call;
    let (g, s) = (cell.gates() * h, cell.states() * h);
    let [gates, after, kept] = [gates, after, kept].map(Shared::new);
    parallel_for(rows, ROW_GRAIN, WORK * rows * g, |part| {
        let of = |width: usize| part.start * width..part.end * width;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let [gates, after, kept] = unsafe { [gates.piece(of(g)), after.piece(of(s)), kept.piece(of(h))] };
        let (x, before) = (&x[of(g)], &before[of(s)]);
        forward_isa(Isa::detect(), CellForward { cell, hidden: h, x, gates, before, after, kept });
    });
}

/// The backward pass of one step; see [`CellBackward`].
///
/// # Panics
/// As [`cell_forward`].
pub fn cell_backward(call: CellBackward<'_, f32>) {
    let rows = call.rows();
    let CellBackward { cell, hidden: h, gates, before, after, kept, d_after, d_x, add, d_before } = call;
    let (g, s) = (cell.gates() * h, cell.states() * h);
    let [gates, d_x, d_before] = [gates, d_x, d_before].map(Shared::new);
    parallel_for(rows, ROW_GRAIN, WORK * rows * g, |part| {
        let of = |width: usize| part.start * width..part.end * width;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        let [gates, d_x, d_before] = unsafe { [gates.piece(of(g)), d_x.piece(of(g)), d_before.piece(of(s))] };
        let call = CellBackward {
            cell,
            hidden: h,
            gates,
            before: &before[of(s)],
            after: &after[of(s)],
            kept: &kept[of(h)],
            d_after: &d_after[of(s)],
            d_x,
            add,
            d_before,
        };
        backward_isa(Isa::detect(), call);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;
    use crate::kernels::tests::{assert_close, numbers};

    #[test]
    fn every_cell_equals_its_plain_twin() {
        for isa in Isa::available() {
            for cell in [Cell::Rnn, Cell::Gru, Cell::Lstm] {
                for hidden in [1, 7, 16, 21] {
                    for add in [false, true] {
                        let of = |numbers_each: usize, seed| numbers::<f32>(3 * numbers_each * hidden, seed);
                        let (g, s) = (cell.gates(), cell.states());
                        let (x, before, d_after) = (of(g, 1), of(s, 2), of(s, 3));
                        let run = |isa: Option<Isa>| {
                            let [mut gates, mut d_x] = [of(g, 4), of(g, 5)];
                            let [mut after, mut d_before, mut kept] = [of(s, 6), of(s, 7), of(1, 8)];
                            let call = CellForward {
                                cell,
                                hidden,
                                x: &x,
                                gates: &mut gates,
                                before: &before,
                                after: &mut after,
                                kept: &mut kept,
                            };
                            match isa {
                                Some(isa) => forward_isa(isa, call),
                                None => reference::cell_forward(call),
                            }
                            let forward = [gates.clone(), after.clone()].concat();
                            let call = CellBackward {
                                cell,
                                hidden,
                                gates: &mut gates,
                                before: &before,
                                after: &after,
                                kept: &kept,
                                d_after: &d_after,
                                d_x: &mut d_x,
                                add,
                                d_before: &mut d_before,
                            };
                            match isa {
                                Some(isa) => backward_isa(isa, call),
                                None => reference::cell_backward(call),
                            }
                            [forward, gates, d_x, d_before].concat()
                        };
                        assert_close(isa, &run(Some(isa)), &run(None));
                    }
                }
            }
        }
    }
}
