//! How a row of a batch finds the rows before it.

use charloom_tensor::ops::Heads;
use charloom_tensor::{Axis, Element, Indices, NodeId, Tape, Var};

/// What the rows of a batch are, which determines the rows before each.
pub(super) enum CausalRows<'t, E: Element> {
    /// Sequences of T tokens; row b T + t is token t of sequence b.
    Sequences(usize),
    /// Trie of a tree; the indices are the rows of their parents.
    Tree(Indices),
    /// The next token of each sequence, whose earlier tokens are in a cache.
    Cached(KvCache<'t, E>),
}

/// What blocks need of earlier tokens: keys and values, or sums.
pub(super) struct KvCache<'t, E: Element> {
    tape: &'t Tape<'t, E>,
    axis: Axis,
    /// T
    context: usize,
    /// The number of earlier tokens of each row.
    lengths: Indices,
    /// (1): 1 / the number of tokens, this one included.
    pub share: Var<'t, E>,
    /// The cache of each block, in order.
    pub blocks: Vec<BlockCache>,
}

/// The nodes of a block's cache of earlier tokens, and of what this token adds to it.
pub(super) enum BlockCache {
    /// Of attention: keys and values of earlier tokens; query, key and value of this token.
    Attention {
        /// (rows, T, C)
        keys: NodeId,
        /// (rows, T, C)
        values: NodeId,
        /// (rows, 3C)
        new: NodeId,
    },
    /// Of a mean: the sum of all earlier rows, and this row.
    Mean {
        /// (rows, C)
        sum: NodeId,
        /// (rows, C)
        new: NodeId,
    },
}

impl<'t, E: Element> KvCache<'t, E> {
    pub fn new(tape: &'t Tape<'t, E>, axis: Axis, context: usize, lengths: Indices) -> Self {
        let share = tape.input(&[1], &[E::one()]);
        Self { tape, axis, context, lengths, share, blocks: Vec::new() }
    }
}

impl<'t, E: Element> CausalRows<'t, E> {
    /// Attention of each row to itself and those before it; x has queries, keys and values side by side.
    ///
    /// # Shapes
    /// (N, 3C) -> (N, C)
    pub fn attention(&mut self, qkv: Var<'t, E>, heads: Heads) -> Var<'t, E> {
        match self {
            Self::Sequences(length) => qkv.causal_attention(heads, *length),
            Self::Tree(parents) => qkv.tree_attention(heads, *parents),
            Self::Cached(cache) => {
                let width = qkv.shape().last() / 3;
                let [keys, values] = [(); 2].map(|()| cache.tape.rows(cache.axis, &[cache.context, width]));
                let new = qkv.contiguous().id();
                cache.blocks.push(BlockCache::Attention { keys: keys.id(), values: values.id(), new });
                qkv.cached_attention(heads.count, keys, values, cache.lengths)
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
            Self::Cached(cache) => {
                let sum = cache.tape.rows(cache.axis, &[x.shape().last()]);
                cache.blocks.push(BlockCache::Mean { sum: sum.id(), new: x.contiguous().id() });
                (sum + x) * cache.share
            }
        }
    }
}
