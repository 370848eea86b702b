//! The layers of a neural model, the feeds that it is trained by, and its recorded loss.

use charloom_tensor::ops::Targets;
use charloom_tensor::{Axis, Element, Indices, NodeId, Tape, Var};

use super::decoder::{self, Decoder};
use super::recurrent_cell::{DynRecurrentCell, Precision, RecurrentCell, level_by_level};
use super::{Reach, RecurrentNet, Stack};
use crate::config::{self, Batch, TrainConfig};
use crate::data::{Mode, Split};
use crate::feed::{
    AllWindows, Blocks, Feed, Layout, PairedWindows, Shape, Streams, Windows, WordWindows, Words,
};
use crate::{Error, Result};

/// The layers of a neural model, by the way in which they read.
pub enum Net {
    /// Looks at a window.
    Window(Stack),
    /// Has a hidden state, and reads whole sequences at once.
    Recurrent(RecurrentNet),
    /// Has a hidden state and is defined by one step ([`RecurrentCell::step`]).
    Cell(Box<dyn DynRecurrentCell>),
    /// Each token attends to those before it, or takes their mean.
    Attention(Box<Decoder>),
}

impl Net {
    /// A model with a hidden state that is defined by one step.
    pub fn cell(cell: impl RecurrentCell + 'static) -> Self {
        Self::Cell(Box::new(cell))
    }

    /// How far back it looks.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self {
            Self::Window(stack) => Reach::Window(stack.context),
            Self::Recurrent(_) | Self::Cell(_) => Reach::Unbounded,
            Self::Attention(decoder) => Reach::AtMost(decoder.sliding_window.context),
        }
    }

    /// The layers over a window, if that is what it has.
    #[must_use]
    pub fn stack(&self) -> Option<&Stack> {
        match self {
            Self::Window(stack) => Some(stack),
            Self::Recurrent(_) | Self::Cell(_) | Self::Attention(_) => None,
        }
    }

    /// The feeds to choose from for data of this mode, the default first; empty if there is only one.
    pub(super) fn feeds(&self, mode: Mode) -> &'static [config::Feed] {
        match (self, mode) {
            (Self::Window(_), _) => &[],
            (Self::Recurrent(_), Mode::Text) => &[config::Feed::Streams, config::Feed::Random],
            (Self::Attention(_), Mode::Text) => &[config::Feed::Random],
            (Self::Recurrent(_) | Self::Cell(_) | Self::Attention(_), _) => &[config::Feed::Words],
        }
    }

    /// The feed of its training batches. With `merged`, equal rows of a batch are computed once.
    ///
    /// # Errors
    /// No examples, or too many; data of a mode that it cannot be trained on.
    pub(crate) fn feed(&self, split: &Split, train: &TrainConfig, merged: bool) -> Result<Box<dyn Feed>> {
        let (size, full) = match train.batch {
            Batch::Size(size) => (size, false),
            Batch::Full => (0, true),
        };
        let words = |context, stride, layout| match WordWindows::of_words(split, context, stride) {
            Some(windows) => Ok(Box::new(Words::new(windows, size, full, layout)) as Box<dyn Feed>),
            None if split.boundary().is_some() => {
                Err(Error::Failed("no words to train on; give more text".to_owned()))
            }
            None => Err(Error::setting("mode", "this kind of model is trained on words; it is to be lines")),
        };
        let blocks = |length, by_place| match full {
            true => Err(Error::setting("batch", "full is for words; of a text pieces are drawn")),
            false => Ok(Box::new(Blocks::new(split, size, length, by_place)?) as Box<dyn Feed>),
        };
        let is_text = split.boundary().is_none();
        match self {
            Self::Window(stack) => {
                let examples = split.examples(stack.context)?;
                if examples.is_empty() {
                    let context = stack.context;
                    let message = format!(
                        "no examples to train on at ``context`` {context}; make that smaller, or give more text"
                    );
                    return Err(Error::Failed(message));
                }
                Ok(match stack.stages().filter(|_| merged) {
                    Some(stages) if full => Box::new(AllWindows::paired(examples, stages)),
                    Some(stages) => Box::new(PairedWindows::new(examples, size, stages)),
                    None if full && merged => Box::new(AllWindows::merged(examples)),
                    None if full => Box::new(AllWindows::apart(examples)),
                    None => Box::new(Windows::new(examples, size, merged)),
                })
            }
            Self::Cell(_) => words(usize::MAX, 1, Layout::Levels { merged }),
            Self::Attention(decoder) => {
                let decoder::SlidingWindow { context, stride } = decoder.sliding_window;
                if is_text { blocks(context, false) } else { words(context, stride, Layout::TreeByWord) }
            }
            Self::Recurrent(net) if is_text => {
                let length = net.context.unwrap_or(super::recurrent::CONTEXT);
                match train.feed {
                    Some(config::Feed::Random) => blocks(length, true),
                    _ => {
                        let width = net.state_widths().iter().sum();
                        Ok(Box::new(Streams::new(split, train.batch, length, width)?))
                    }
                }
            }
            Self::Recurrent(_) => words(usize::MAX, 1, Layout::TreeByLevel { merged }),
        }
    }

    /// The size of the widest layer for one row; for a decoder the sum over all layers, since it has many.
    #[must_use]
    pub(crate) fn widest(&self) -> usize {
        match self {
            Self::Window(stack) => stack.widest,
            Self::Recurrent(net) => net.widest(),
            Self::Cell(cell) => cell.width(),
            Self::Attention(decoder) => decoder.activations(),
        }
    }

    /// Records the loss of a batch of this shape.
    pub(crate) fn loss<E: Precision>(&self, tape: &Tape<'_, E>, shape: Shape) -> Recorded {
        match (self, shape) {
            (Self::Window(stack), Shape::Windows { rows, context, targets, merged }) => {
                let contexts = tape.index_rows(tape.axis(rows), &[context]);
                let targets = window_targets(tape, targets, merged);
                let loss = stack.logits(tape, contexts).cross_entropy(targets).id();
                let inputs = [contexts, targets.tokens].into_iter().chain(targets.rows).collect();
                Recorded { inputs, loss, carried: Vec::new() }
            }
            (Self::Window(stack), Shape::PairedWindows { windows, stages, targets }) => {
                let mut inputs = pair_indices(tape, windows, stages);
                let logits = stack.logits_of_pairs(tape, &inputs);
                let targets = window_targets(tape, targets, true);
                let loss = logits.cross_entropy(targets).id();
                inputs.extend([targets.tokens].into_iter().chain(targets.rows));
                Recorded { inputs, loss, carried: Vec::new() }
            }
            (Self::Cell(cell), Shape::Levels { levels, rows, pairs }) => {
                level_by_level(&**cell, tape, [levels, rows, pairs])
            }
            (Self::Recurrent(net), Shape::Tree { nodes, pairs }) => {
                let (nodes, pairs) = (tape.axis(nodes), tape.axis(pairs));
                let (tokens, parents) = (tape.index_rows(nodes, &[]), tape.index_rows(nodes, &[]));
                let (_, logits) = net.read(tape, tokens, Some(parents), &[]);
                pairs_loss(vec![tokens, parents], logits, pairs)
            }
            (Self::Recurrent(net), Shape::Streams { streams, length, carried }) => {
                let rows = streams * length;
                let parents: Vec<u32> =
                    (0..rows).map(|i| i.saturating_sub(streams).max(i % streams) as u32).collect();
                let indices = |data: &[u32]| tape.indices(&[rows], data);
                let (tokens, targets, parents) =
                    (indices(&vec![0; rows]), indices(&vec![0; rows]), indices(&parents));
                let first = |width: usize| tape.input(&[streams, width], &vec![E::zero(); streams * width]);
                let widths = if carried { net.state_widths() } else { Vec::new() };
                let first: Vec<_> = widths.into_iter().map(first).collect();
                let (states, logits) = net.read(tape, tokens, Some(parents), &first);
                let carried =
                    first.iter().zip(&states).map(|(first, states)| [first.id(), states.id()]).collect();
                let loss = logits.cross_entropy(targets).id();
                Recorded { inputs: vec![tokens, targets], loss, carried }
            }
            (Self::Attention(decoder), Shape::Tree { nodes, pairs }) => {
                decoder::of_tree(decoder, tape, [nodes, pairs])
            }
            (Self::Attention(decoder), Shape::Blocks { sequences, length }) => {
                decoder::of_blocks(decoder, tape, [sequences, length])
            }
            _ => unreachable!("a net is fed by its own feed"),
        }
    }
}

/// The recorded loss of a batch.
pub(crate) struct Recorded {
    /// The index tensors that its feed fills.
    pub inputs: Vec<Indices>,
    /// The loss.
    pub loss: NodeId,
    /// For each part of a state that is carried from batch to batch: the input node of the initial state, and
    /// the node of all states, whose last rows are carried on.
    pub carried: Vec<[NodeId; 2]>,
}

/// The targets of windows; where rows are merged, along an axis of their own, and with the row of each.
pub(crate) fn window_targets<E: Element>(tape: &Tape<'_, E>, count: usize, merged: bool) -> Targets {
    if !merged {
        return tape.indices(&[count], &vec![0; count]).into();
    }
    let axis = tape.axis(count);
    let (tokens, rows) = (tape.index_rows(axis, &[]), tape.index_rows(axis, &[]));
    Targets { tokens, rows: Some(rows), ignore_index: None }
}

/// The index tensors of [`Stack::logits_of_pairs`]: for each stage the two members of its pairs, on an axis
/// of its own.
pub(super) fn pair_indices<E: Element>(tape: &Tape<'_, E>, windows: usize, stages: usize) -> Vec<Indices> {
    let most = |stage: usize| windows << (stages - 1 - stage);
    (0..stages).map(|stage| tape.index_rows(tape.axis(most(stage)), &[2])).collect()
}

/// Records the loss of a trie's distinct (node, target) pairs; appends its two inputs, targets and nodes.
pub(super) fn pairs_loss<E: Precision>(
    mut inputs: Vec<Indices>,
    logits: Var<'_, E>,
    pairs: Axis,
) -> Recorded {
    let tape = logits.tape();
    let (tokens, nodes) = (tape.index_rows(pairs, &[]), tape.index_rows(pairs, &[]));
    let targets = Targets { tokens, rows: Some(nodes), ignore_index: None };
    let loss = logits.cross_entropy(targets).id();
    inputs.extend([tokens, nodes]);
    Recorded { inputs, loss, carried: Vec::new() }
}

#[cfg(test)]
mod tests;
