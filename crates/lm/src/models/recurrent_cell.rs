//! Models with a hidden state that are defined by one step: a token and the state give the new state and the
//! logits.

use charloom_tensor::{Axis, Element, Indices, Tape, Var};

use super::net::{Recorded, pairs_loss};

/// A model with a hidden state, defined by one step.
///
/// The state is a vector of H numbers, zeros at first. Training reads shared prefixes of words once, level by
/// level of their trie.
pub trait RecurrentCell: Send + Sync {
    /// H, the width of the state.
    fn state_width(&self) -> usize;

    /// Records one step: reads a token in each sequence; returns the new state, and the logits of the next
    /// token.
    ///
    /// # Shapes
    /// tokens (B), state (B, H) -> (B, H) and (B, V)
    fn step<'t, E: Element>(
        &self,
        tape: &'t Tape<'t, E>,
        tokens: Indices,
        state: Var<'t, E>,
    ) -> [Var<'t, E>; 2];
}

/// The object-safe form of [`RecurrentCell`]: its generic `step`, once for f32 and once for f64, so that `Net`
/// can hold any.
pub trait DynRecurrentCell: Send + Sync {
    /// As [`RecurrentCell::state_width`].
    fn width(&self) -> usize;
    /// As [`RecurrentCell::step`].
    fn step_f32<'t>(
        &self,
        tape: &'t Tape<'t, f32>,
        tokens: Indices,
        state: Var<'t, f32>,
    ) -> [Var<'t, f32>; 2];
    /// As [`RecurrentCell::step`].
    fn step_f64<'t>(
        &self,
        tape: &'t Tape<'t, f64>,
        tokens: Indices,
        state: Var<'t, f64>,
    ) -> [Var<'t, f64>; 2];
}

impl<R: RecurrentCell> DynRecurrentCell for R {
    fn width(&self) -> usize {
        self.state_width()
    }

    fn step_f32<'t>(
        &self,
        tape: &'t Tape<'t, f32>,
        tokens: Indices,
        state: Var<'t, f32>,
    ) -> [Var<'t, f32>; 2] {
        self.step(tape, tokens, state)
    }

    fn step_f64<'t>(
        &self,
        tape: &'t Tape<'t, f64>,
        tokens: Indices,
        state: Var<'t, f64>,
    ) -> [Var<'t, f64>; 2] {
        self.step(tape, tokens, state)
    }
}

/// A precision that models compute in: f32 to train, f64 to check gradients.
pub trait Precision: Element {
    /// Records one step of a cell: the new state and the logits.
    fn step<'t>(
        cell: &dyn DynRecurrentCell,
        tape: &'t Tape<'t, Self>,
        tokens: Indices,
        state: Var<'t, Self>,
    ) -> [Var<'t, Self>; 2];
}

impl Precision for f32 {
    fn step<'t>(
        cell: &dyn DynRecurrentCell,
        tape: &'t Tape<'t, f32>,
        tokens: Indices,
        state: Var<'t, f32>,
    ) -> [Var<'t, f32>; 2] {
        cell.step_f32(tape, tokens, state)
    }
}

impl Precision for f64 {
    fn step<'t>(
        cell: &dyn DynRecurrentCell,
        tape: &'t Tape<'t, f64>,
        tokens: Indices,
        state: Var<'t, f64>,
    ) -> [Var<'t, f64>; 2] {
        cell.step_f64(tape, tokens, state)
    }
}

/// Records a trie's loss: level by level the states from the parents' states, then the loss of all logits at
/// once.
pub(super) fn level_by_level<E: Precision>(
    cell: &dyn DynRecurrentCell,
    tape: &Tape<'_, E>,
    [levels, rows, pairs]: [usize; 3],
) -> Recorded {
    let axes: Vec<Axis> = (0..levels).map(|_| tape.axis(rows)).collect();
    let (all, of_pairs) = (tape.axis(levels * rows), tape.axis(pairs));
    let root = tape.index_rows(axes[0], &[]);
    let [mut state, logits] = E::step(cell, tape, root, tape.rows(axes[0], &[cell.width()]));
    let (mut inputs, mut logits) = (vec![root], vec![logits]);
    for &axis in &axes[1..] {
        let (tokens, parents) = (tape.index_rows(axis, &[]), tape.index_rows(axis, &[]));
        let [next, of_level] = E::step(cell, tape, tokens, state.embedding(parents));
        state = next;
        logits.push(of_level);
        inputs.extend([tokens, parents]);
    }
    pairs_loss(inputs, Var::stack_rows(&logits, all), of_pairs)
}
