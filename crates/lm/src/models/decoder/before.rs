//! How a row of a batch finds those before it.

use charloom_tensor::ops::Heads;
use charloom_tensor::{Axis, Element, Indices, NodeId, Tape, Var};

/// What the rows of a batch are.
pub(super) enum Before<'t, E: Element> {
    /// Sequences of so many tokens, row b T + t.
    Sequences(usize),
    /// Nodes of a tree, the row of whose parents these are.
    Tree(Indices),
    /// The next token of each of some sequences, of whose earlier tokens is kept what each block needs.
    Kept(Kept<'t, E>),
}

/// What is kept of earlier tokens.
pub(super) struct Kept<'t, E: Element> {
    tape: &'t Tape<'t, E>,
    axis: Axis,
    /// T
    context: usize,
    /// How many earlier tokens each row has.
    lengths: Indices,
    /// 1 over the number of tokens, this one included: (1).
    pub share: Var<'t, E>,
    /// Of each block what is fed, and what is to be kept of this token.
    pub blocks: Vec<OfBlock>,
}

/// What a block keeps of earlier tokens, and what it has to add to it.
pub(super) enum OfBlock {
    /// Keys and values, (rows, T, C) each; this token's query, key and value, (rows, 3C).
    Attention {
        /// (rows, T, C)
        keys: NodeId,
        /// (rows, T, C)
        values: NodeId,
        /// (rows, 3C)
        new: NodeId,
    },
    /// The sum of all earlier tokens, (rows, C); this token's, (rows, C).
    Mean {
        /// (rows, C)
        sum: NodeId,
        /// (rows, C)
        new: NodeId,
    },
}

impl<'t, E: Element> Kept<'t, E> {
    pub fn new(tape: &'t Tape<'t, E>, axis: Axis, context: usize, lengths: Indices) -> Self {
        let share = tape.input(&[1], &[E::one()]);
        Self { tape, axis, context, lengths, share, blocks: Vec::new() }
    }
}

impl<'t, E: Element> Before<'t, E> {
    /// Attention to each row itself and those before it.
    ///
    /// # Shapes
    /// (N, 3C) -> (N, C)
    pub fn attention(&mut self, asked: Var<'t, E>, heads: Heads) -> Var<'t, E> {
        match self {
            Self::Sequences(length) => asked.causal_attention(heads, *length),
            Self::Tree(parents) => asked.tree_attention(heads, *parents),
            Self::Kept(kept) => {
                let width = asked.shape().last() / 3;
                let [keys, values] = [(); 2].map(|()| kept.tape.rows(kept.axis, &[kept.context, width]));
                let new = asked.contiguous().id();
                kept.blocks.push(OfBlock::Attention { keys: keys.id(), values: values.id(), new });
                asked.cached_attention(heads.count, keys, values, kept.lengths)
            }
        }
    }

    /// The mean of each row and those before it.
    ///
    /// # Shapes
    /// (N, C) -> (N, C)
    pub fn mean(&mut self, x: Var<'t, E>) -> Var<'t, E> {
        match self {
            Self::Sequences(length) => x.causal_mean(*length),
            Self::Tree(parents) => x.tree_mean(*parents),
            Self::Kept(kept) => {
                let sum = kept.tape.rows(kept.axis, &[x.shape().last()]);
                kept.blocks.push(OfBlock::Mean { sum: sum.id(), new: x.contiguous().id() });
                (sum + x) * kept.share
            }
        }
    }
}
