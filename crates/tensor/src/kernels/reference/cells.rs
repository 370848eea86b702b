//! The cells of recurrent nets, unit by unit.

use super::value;
use crate::Element;
use crate::kernels::{Activation, Cell, CellBackward, CellForward};

/// One step of a cell; see [`CellForward`].
pub fn cell_forward<E: Element>(call: CellForward<'_, E>) {
    let (rows, h) = (call.rows(), call.hidden);
    let (gates_of_row, states_of_row) = (call.cell.gates() * h, call.cell.states() * h);
    let [sigmoid, tanh] = [Activation::Sigmoid, Activation::Tanh].map(|kind| move |x: E| value(kind, x));
    for unit in 0..rows * h {
        let (row, i) = (unit / h, unit % h);
        let (x, gates) = (&call.x[row * gates_of_row..], &mut call.gates[row * gates_of_row..]);
        let (before, after) = (&call.before[row * states_of_row..], &mut call.after[row * states_of_row..]);
        let sum = |gate: usize| x[gate * h + i] + gates[gate * h + i];
        match call.cell {
            Cell::Rnn => after[i] = tanh(sum(0)),
            Cell::Gru => {
                let (r, z, u) = (sigmoid(sum(0)), sigmoid(sum(1)), gates[2 * h + i]);
                let n = tanh(x[2 * h + i] + r * u);
                after[i] = n + z * (before[i] - n);
                [gates[i], gates[h + i], gates[2 * h + i], call.kept[unit]] = [r, z, n, u];
            }
            Cell::Lstm => {
                let [in_, f, g, o] = [sigmoid(sum(0)), sigmoid(sum(1)), tanh(sum(2)), sigmoid(sum(3))];
                let c = f * before[h + i] + in_ * g;
                [after[i], after[h + i], call.kept[unit]] = [o * c.tanh(), c, c.tanh()];
                [gates[i], gates[h + i], gates[2 * h + i], gates[3 * h + i]] = [in_, f, g, o];
            }
        }
    }
}

/// The backward pass of one step; see [`CellBackward`].
pub fn cell_backward<E: Element>(call: CellBackward<'_, E>) {
    let (rows, h, one) = (call.rows(), call.hidden, E::one());
    let (gates_of_row, states_of_row) = (call.cell.gates() * h, call.cell.states() * h);
    for unit in 0..rows * h {
        let (row, i) = (unit / h, unit % h);
        let gates = &mut call.gates[row * gates_of_row..][..gates_of_row];
        let d_x = &mut call.d_x[row * gates_of_row..];
        let [before, after, d_after] =
            [call.before, call.after, call.d_after].map(|all| &all[row * states_of_row..]);
        let d_before = &mut call.d_before[row * states_of_row..];
        let (d, kept) = (d_after[i], call.kept[unit]);
        let value: [E; 4] = std::array::from_fn(|k| gates.get(k * h + i).copied().unwrap_or(one));
        // Writes the gradients of gate `k`: of the state's part and of the input's part.
        let mut put = |k: usize, of_state: E, of_x: E| {
            gates[k * h + i] = of_state;
            d_x[k * h + i] = if call.add { d_x[k * h + i] + of_x } else { of_x };
        };
        match call.cell {
            Cell::Rnn => {
                let d = d * (one - after[i] * after[i]);
                put(0, d, d);
                d_before[i] = E::zero();
            }
            Cell::Gru => {
                let [r, z, n, _] = value;
                let dz = d * (before[i] - n) * z * (one - z);
                let dn = d * (one - z) * (one - n * n);
                let dr = dn * kept * r * (one - r);
                put(0, dr, dr);
                put(1, dz, dz);
                put(2, dn * r, dn);
                d_before[i] = d * z;
            }
            Cell::Lstm => {
                let [in_, f, g, o] = value;
                let dc = d_after[h + i] + d * o * (one - kept * kept);
                let di = dc * g * in_ * (one - in_);
                let df = dc * before[h + i] * f * (one - f);
                let dg = dc * in_ * (one - g * g);
                let d_o = d * kept * o * (one - o);
                put(0, di, di);
                put(1, df, df);
                put(2, dg, dg);
                put(3, d_o, d_o);
                d_before[i] = E::zero();
                d_before[h + i] = dc * f;
            }
        }
    }
}
