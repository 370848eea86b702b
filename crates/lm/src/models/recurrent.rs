//! rnn, gru and lstm: layers with a hidden state that each token updates.

use charloom_nn::{Dropout, Embedding, Init, Linear, Recurrent, Scope};
use charloom_tensor::kernels::Cell;
use charloom_tensor::{Element, Indices, Tape, Var};

use super::{Kind, Learning, Net, NeuralKind, Reach};
use crate::config::{self, ModelConfig, Setting, Settings};
use crate::{Result, settings};

/// The default T for running text, if that is long enough.
pub(super) const CONTEXT: usize = 128;

settings! {
    /// The settings of an rnn, a gru or an lstm.
    pub RecurrentSettings {
        /// E, the embedding's width; 0: one-hot input
        embed: usize = 64, "from 0 to 65536", |embed| *embed <= 65_536;
        /// H, the width of each layer
        hidden: usize = 128, "from 1 to 65536", |hidden| (1..=65_536).contains(hidden);
        /// How many layers
        layers: usize = 1, "from 1 to 64", |layers| (1..=64).contains(layers);
        /// T, the tokens of a step in each stream or piece of a running text; without it 128, or as many as there are
        context: Option<usize> = None, "from 1 to 65536", |context| context.is_none_or(|t| (1..=65_536).contains(&t));
        /// The share of each layer's outputs set to 0 in training
        dropout: f64 = 0.0, "from 0 to below 1", |dropout| (0.0..1.0).contains(dropout);
        /// The share of the embedding's values set to 0 in training
        embed_dropout: f64 = 0.0, "from 0 to below 1", |dropout| (0.0..1.0).contains(dropout);
        /// The share of the weights between states set to 0 in a training step, the same for all its sequences
        recurrent_dropout: f64 = 0.0, "from 0 to below 1", |dropout| (0.0..1.0).contains(dropout);
        /// How parameters are drawn
        init: config::Init = config::Init::Torch, "one of its words", |_| true;
    }
}

/// A recurrent net: an embedding or one-hot input, layers of cells, and logits from the last layer's state.
///
/// The formulas of the cells are at [`Var::recurrence`].
///
/// # Shapes
/// tokens (N) -> (N, E) -> states (N, H), ... -> (N, V)
///
/// # Source
/// Elman 1990 (rnn), Cho et al. 2014 (gru), Hochreiter and Schmidhuber 1997 (lstm), as in `torch.nn`
pub(super) struct RecurrentKind(pub Cell);

impl Kind for RecurrentKind {
    fn name(&self) -> &'static str {
        match self.0 {
            Cell::Rnn => "rnn",
            Cell::Gru => "gru",
            Cell::Lstm => "lstm",
        }
    }

    fn settings(&self) -> &'static [Setting] {
        RecurrentSettings::SETTINGS
    }

    fn fill(&self, model: &mut ModelConfig) -> Result<Reach> {
        let settings: RecurrentSettings = model.read()?;
        model.write(&settings)?;
        Ok(Reach::Unbounded)
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByGradients(self)
    }
}

impl NeuralKind for RecurrentKind {
    fn init(&self, model: &ModelConfig) -> Result<Init> {
        Ok(model.read::<RecurrentSettings>()?.init.to_nn())
    }

    fn net(&self, model: &ModelConfig, vocab: usize, seed: u64, scope: &mut Scope<'_>) -> Result<Net> {
        let settings: RecurrentSettings = model.read()?;
        let RecurrentSettings { embed, hidden, layers, dropout, embed_dropout, recurrent_dropout, .. } =
            settings;
        let embedding = (embed > 0).then(|| Embedding::new(&mut scope.at("embedding"), vocab, embed));
        let mut of_layers = scope.at("rnn");
        let mut inputs = if embed > 0 { embed } else { vocab };
        let widest = inputs.max(vocab).max(self.0.gates() * hidden);
        let mut layer = |i| {
            let of_layer = Recurrent::new(&mut of_layers, self.0, inputs, hidden, i);
            inputs = hidden;
            // Dropout's mask 0 is the embedding's; layer i has 1 + 2 i for its recurrent weights, 2 + 2 i for
            // its outputs.
            Recurrent { dropout: recurrent_dropout, masks: [seed, 1 + 2 * i as u64], ..of_layer }
        };
        let layers = (0..layers).map(&mut layer).collect();
        let output = Linear::to_logits(&mut scope.at("output"), hidden, vocab, true);
        let context = settings.context;
        let net =
            RecurrentNet { context, vocab, embedding, layers, output, dropout, embed_dropout, seed, widest };
        Ok(Net::Recurrent(net))
    }
}

/// The layers of a recurrent net.
#[derive(Clone, Debug)]
pub struct RecurrentNet {
    /// T of running text, if it is given.
    pub context: Option<usize>,
    vocab: usize,
    embedding: Option<Embedding>,
    layers: Vec<Recurrent>,
    output: Linear,
    dropout: f64,
    embed_dropout: f64,
    seed: u64,
    widest: usize,
}

impl RecurrentNet {
    /// The width of each layer's state.
    #[must_use]
    pub fn state_widths(&self) -> Vec<usize> {
        self.layers.iter().map(Recurrent::state_width).collect()
    }

    /// The size of the widest layer for one row.
    pub(super) fn widest(&self) -> usize {
        self.widest
    }

    /// Records the reading of sequences: each layer's states, and the logits of the token after each.
    ///
    /// `parents` and `first` (one for each layer, or none at all) are as in [`Var::recurrence`].
    ///
    /// # Shapes
    /// tokens (N), parents (N), first (beginnings, state width) -> (N, state width) each, (N, V)
    pub fn read<'t, E: Element>(
        &self,
        tape: &'t Tape<'t, E>,
        tokens: Indices,
        parents: Option<Indices>,
        first: &[Var<'t, E>],
    ) -> (Vec<Var<'t, E>>, Var<'t, E>) {
        let drop = |x: Var<'t, E>, p: f64, layer: usize| {
            if p > 0.0 { Dropout { p, seed: self.seed, layer: layer as u64 }.forward(x) } else { x }
        };
        let mut x = match &self.embedding {
            Some(embedding) => embedding.forward(tape, tokens),
            None => tape.one_hot(tokens, self.vocab),
        };
        x = drop(x, self.embed_dropout, 0);
        let mut states = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let of_layer = layer.forward(x, parents, first.get(i).copied());
            x = drop(layer.output(of_layer), self.dropout, 2 + 2 * i);
            states.push(of_layer);
        }
        (states, self.output.forward(x))
    }

    /// The same layers without dropout, which does nothing in evaluation.
    pub(super) fn without_dropout(&self) -> Self {
        let layers = self.layers.iter().map(|&layer| Recurrent { dropout: 0.0, ..layer }).collect();
        Self { layers, dropout: 0.0, embed_dropout: 0.0, ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
