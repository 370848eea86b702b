//! The layers of a neural model, and how they are recorded.

use charloom_tensor::ops::Targets;
use charloom_tensor::{Axis, Element, Indices, NodeId, Tape, Var};

use super::recurrent::{Cell, Recurrent};
use super::{Reach, Stack};
use crate::config::Batch;
use crate::data::Split;
use crate::feed::{Feed, Shape, Windows, Words};
use crate::{Error, Result};

/// The layers of a neural model, as records.
pub enum Net {
    /// Looks at a window.
    Window(Stack),
    /// Has a hidden state.
    Recurrent(Box<dyn Cell>),
}

impl Net {
    /// A model with a hidden state.
    pub fn recurrent(cell: impl Recurrent + 'static) -> Self {
        Self::Recurrent(Box::new(cell))
    }

    /// How far back it looks.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self {
            Self::Window(stack) => Reach::Window(stack.context),
            Self::Recurrent(_) => Reach::Unbounded,
        }
    }

    /// The layers over a window, if that is what it has.
    #[must_use]
    pub fn stack(&self) -> Option<&Stack> {
        match self {
            Self::Window(stack) => Some(stack),
            Self::Recurrent(_) => None,
        }
    }
}

/// A precision that models compute in: f32 to train, f64 to check gradients.
pub trait Precision: Element {
    /// Records one step of a cell: the new state and the logits.
    fn step<'t>(
        cell: &dyn Cell,
        tape: &'t Tape<'t, Self>,
        tokens: Indices,
        state: Var<'t, Self>,
    ) -> [Var<'t, Self>; 2];
}

impl Precision for f32 {
    fn step<'t>(
        cell: &dyn Cell,
        tape: &'t Tape<'t, f32>,
        tokens: Indices,
        state: Var<'t, f32>,
    ) -> [Var<'t, f32>; 2] {
        cell.step_f32(tape, tokens, state)
    }
}

impl Precision for f64 {
    fn step<'t>(
        cell: &dyn Cell,
        tape: &'t Tape<'t, f64>,
        tokens: Indices,
        state: Var<'t, f64>,
    ) -> [Var<'t, f64>; 2] {
        cell.step_f64(tape, tokens, state)
    }
}

impl Net {
    /// What feeds its training: batches of a split; with `merged`, equal rows are computed once where that is exact.
    ///
    /// # Errors
    /// No examples, or too many; a model with a state on running text.
    pub(crate) fn feed(&self, split: &Split, batch: Batch, merged: bool) -> Result<Box<dyn Feed>> {
        let (size, full) = match batch {
            Batch::Size(size) => (size, false),
            Batch::Full => (0, true),
        };
        match self {
            Self::Window(stack) => {
                let examples = split.examples(stack.context)?;
                if examples.is_empty() {
                    let context = stack.context;
                    let message = format!("no examples to train on at ``context`` {context}; give more text");
                    return Err(Error::Failed(message));
                }
                let size = if full { examples.len() } else { size };
                Ok(Box::new(Windows::new(examples, size, full, merged)))
            }
            Self::Recurrent(_) => match Words::new(split, size, full) {
                Some(words) => Ok(Box::new(words)),
                None => Err(Error::usage("a model with a hidden state is trained on words, a line each")),
            },
        }
    }

    /// The numbers in the widest layer of a row.
    #[must_use]
    pub(crate) fn widest(&self) -> usize {
        match self {
            Self::Window(stack) => stack.widest,
            Self::Recurrent(cell) => cell.width(),
        }
    }

    /// Records the loss of a batch of this shape: the index tensors that its feed fills, and the loss.
    pub(crate) fn loss<E: Precision>(&self, tape: &Tape<'_, E>, shape: Shape) -> (Vec<Indices>, NodeId) {
        match (self, shape) {
            (Self::Window(stack), Shape::Windows { rows, context, examples, merged }) => {
                let contexts = tape.index_rows(tape.axis(rows), &[context]);
                let tokens = tape.indices(&[examples], &vec![0; examples]);
                let rows = merged.then(|| tape.indices(&[examples], &vec![0; examples]));
                let targets = Targets { tokens, rows, ignore_index: None };
                let loss = stack.logits(tape, contexts).cross_entropy(targets).id();
                ([contexts, tokens].into_iter().chain(rows).collect(), loss)
            }
            (Self::Recurrent(cell), Shape::Levels { levels, rows, pairs }) => {
                level_by_level(&**cell, tape, [levels, rows, pairs])
            }
            _ => unreachable!("a net is fed by its own feed"),
        }
    }
}

/// Records a trie's loss: each level's states from their parents', then all logits at once.
fn level_by_level<E: Precision>(
    cell: &dyn Cell,
    tape: &Tape<'_, E>,
    [levels, rows, pairs]: [usize; 3],
) -> (Vec<Indices>, NodeId) {
    let axes: Vec<Axis> = (0..levels).map(|level| tape.axis(if level == 0 { 1 } else { rows })).collect();
    let (all, of_pairs) = (tape.axis(1 + (levels - 1) * rows), tape.axis(pairs));
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
    let (tokens, nodes) = (tape.index_rows(of_pairs, &[]), tape.index_rows(of_pairs, &[]));
    let targets = Targets { tokens, rows: Some(nodes), ignore_index: None };
    let loss = Var::stack_rows(&logits, all).cross_entropy(targets).id();
    inputs.extend([tokens, nodes]);
    (inputs, loss)
}
