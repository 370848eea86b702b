//! Decoders: embeddings, then blocks in which each token takes in those before it, then logits.
//!
//! All else is computed position by position, for all rows of a batch in one matrix. [`CausalRows`] says what
//! the rows are and how each finds those before it. So one forward pass serves trees of words, blocks of
//! running text, and reading token by token.

mod batch;
mod block;
mod causal_rows;
mod evaluate;
mod reader;
#[cfg(test)]
mod tests;

use charloom_nn::{Dropout, Embedding, Layer, Linear};
use charloom_tensor::{Element, Indices, Tape, Var};

pub(super) use batch::{of_blocks, of_tree};
pub use block::{Attention, Block, Mlp, TokenMixer};
use causal_rows::CausalRows;
pub(super) use evaluate::{score_split, total_loss, work};
pub(super) use reader::DecoderReader;

use crate::config::ModelConfig;
use crate::data::{Data, Mode, Tokens};
use crate::{Error, Result};

/// The layers of a transformer, or of a bag of words.
///
/// `x = wte[token] + wpe[position]`, then each block in turn, then the logits `lm_head(ln_f(x))`.
///
/// # Shapes
/// N tokens -> (N, C), ..., (N, C) -> (N, V)
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The windows in which longer sequences are read.
    pub sliding_window: SlidingWindow,
    /// C
    pub width: usize,
    /// V
    pub vocab: usize,
    /// (V, C)
    pub tokens: Embedding,
    /// (T, C); None if positions have no embedding.
    pub positions: Option<Embedding>,
    /// Applied to the sum of both embeddings.
    pub dropout: Option<Dropout>,
    /// Before the first block.
    pub first_norm: Option<Layer>,
    /// Applied in sequence.
    pub blocks: Vec<Block>,
    /// Before the logits.
    pub last_norm: Option<Layer>,
    /// C -> V; it may share the tokens' weight.
    pub head: Linear,
}

/// How sequences longer than the context are read, in windows.
///
/// The first window is a sequence's first T tokens. Each next one begins `stride` tokens later; the tokens
/// that both have are read again, at their new positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    /// T
    pub context: usize,
    /// By how many tokens a window moves on, from 1 to T.
    pub stride: usize,
}

/// The default T, if the data does not set another.
const CONTEXT: usize = 64;

impl SlidingWindow {
    /// The settings given; by default a context of 64, and a quarter of the context as stride.
    ///
    /// # Errors
    /// A stride above the context.
    pub(super) fn new(context: Option<usize>, stride: Option<usize>) -> Result<Self> {
        let context = context.unwrap_or(CONTEXT);
        let stride = stride.unwrap_or((context / 4).max(1));
        if stride > context {
            let limit = format!("from 1 to ``context``, {context}");
            return Err(Error::out_of_range("stride", stride, limit));
        }
        Ok(Self { context, stride })
    }

    /// Fills in the defaults that depend on the data: for words, a context for the longest training word with
    /// its boundary, and windows that slide by one token; for a text, those of [`SlidingWindow::new`], with a smaller
    /// context where it is shorter.
    pub(super) fn fill_from_data(
        model: &mut ModelConfig,
        [context, stride]: [Option<usize>; 2],
        data: &Data,
    ) -> Result<()> {
        let longest = data.splits.train.words().map(Tokens::len).max().unwrap_or(0);
        let of_words = data.mode() == Mode::Lines;
        let default = match data.mode() {
            Mode::Lines => (longest + 1).min(MAX_CONTEXT),
            // A block has a character after it.
            Mode::Text => CONTEXT.min(data.splits.train.tokens().len().saturating_sub(1)).max(1),
        };
        let context = Some(context.unwrap_or(default));
        let sliding_window = Self::new(context, stride.or(of_words.then_some(1)))?;
        model.set("context", sliding_window.context);
        model.set("stride", sliding_window.stride);
        Ok(())
    }
}

/// The largest T.
pub(super) const MAX_CONTEXT: usize = 1 << 16;

impl Decoder {
    /// Records the logits of the token after each row's.
    ///
    /// # Shapes
    /// tokens (N), positions (N) -> (N, V)
    fn logits<'t, E: Element>(
        &self,
        tape: &'t Tape<'t, E>,
        [tokens, positions]: [Indices; 2],
        rows: &mut CausalRows<'t, E>,
    ) -> Var<'t, E> {
        let mut x = self.tokens.forward(tape, tokens);
        if let Some(table) = &self.positions {
            x = x + table.forward(tape, positions);
        }
        if let Some(dropout) = &self.dropout {
            x = dropout.forward(x);
        }
        if let Some(norm) = &self.first_norm {
            x = norm.forward(x);
        }
        for block in &self.blocks {
            x = block.forward(x, positions, rows);
        }
        if let Some(norm) = &self.last_norm {
            x = norm.forward(x);
        }
        self.head.forward(x)
    }

    /// The size of the widest layer for one row.
    fn widest(&self) -> usize {
        let hidden = self.blocks.iter().map(|block| block.mlp.hidden).max().unwrap_or(0);
        hidden.max(self.width.saturating_mul(3)).max(self.vocab)
    }

    /// About how many elements all layers have for one row. A training step keeps them for its backward pass.
    pub(super) fn activations(&self) -> usize {
        let of_block =
            |block: &Block| self.width.saturating_mul(9).saturating_add(block.mlp.hidden.saturating_mul(2));
        let of_blocks = self.blocks.iter().map(of_block).fold(0, usize::saturating_add);
        of_blocks.saturating_add(self.width.saturating_mul(4)).saturating_add(self.vocab.saturating_mul(2))
    }
}
