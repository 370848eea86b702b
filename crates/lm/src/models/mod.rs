//! Models: whatever gives the next character's probabilities.

mod linear;
mod mlp;
mod network;
mod ngram;
mod saved;

pub use network::{Network, Traced};
pub use ngram::{Counts, NGram};
pub use saved::{fit_ngram, open, save_ngram};

/// A model of the next token given the T before it.
pub trait LanguageModel {
    /// T, how many tokens the model looks at.
    fn context(&self) -> usize;

    /// V, how many tokens there are.
    fn vocab_size(&self) -> usize;

    /// The logarithm of the probability of each token after each context.
    ///
    /// A row depends on its context alone: the same bits come out whatever the other rows are.
    ///
    /// # Shapes
    /// `contexts`: (n, T); `out`: (n, V), both row by row.
    ///
    /// # Units
    /// Nats.
    fn log_probs(&mut self, contexts: &[u32], out: &mut [f32]);
}
