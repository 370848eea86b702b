//! Layers in sequence over a window of tokens.

use charloom_nn::{Embedding, FlattenConsecutive, Layer, Sequential};
use charloom_tensor::{Element, Indices, NodeId, Tape, Var};

/// The last T tokens, embedded or one-hot, and the layers that are applied to them in sequence.
#[derive(Clone, Debug)]
pub struct Stack {
    /// T
    pub context: usize,
    /// V
    pub vocab: usize,
    /// None: the input is one-hot.
    pub embedding: Option<Embedding>,
    /// The layers after the embedding.
    pub layers: Sequential,
    /// The size of the widest layer's output or input for one example.
    pub widest: usize,
}

/// A layer's output in a recording.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The layer's path, as `layers.1`.
    pub name: String,
    /// What it computes, as torch names it: `Linear`, `Tanh`.
    pub op: &'static str,
    /// (B, H)
    pub output: NodeId,
}

impl Stack {
    /// Records the logits of the token after each context.
    ///
    /// # Shapes
    /// contexts (B, T) -> (B, V)
    pub fn logits<'t, E: Element>(&self, tape: &'t Tape<'t, E>, contexts: Indices) -> Var<'t, E> {
        self.layers.forward(self.input(tape, contexts))
    }

    /// log2(T), if the layers are a tree: stages of `FlattenConsecutive(2)` that halve the positions until
    /// one is left. Otherwise None.
    #[must_use]
    pub fn stages(&self) -> Option<usize> {
        let layers = &self.layers.layers;
        let joining = |layer: &&Layer| matches!(layer, Layer::FlattenConsecutive(_));
        let by_two = |layer: &Layer| matches!(layer, Layer::FlattenConsecutive(FlattenConsecutive { n: 2 }));
        let stages = layers.iter().filter(joining).count();
        let all = layers.iter().filter(joining).all(by_two)
            && 1usize.checked_shl(stages as u32) == Some(self.context);
        (all && layers.first().as_ref().is_some_and(joining)).then_some(stages)
    }

    /// As [`Stack::logits`], but equal pairs of neighbours are computed once. `pairs` has for each
    /// [stage](Stack::stages) the two members of each pair: tokens in the first stage, rows of the stage
    /// before in the others.
    ///
    /// # Shapes
    /// pairs (n, 2) for each stage -> (n of the last one, V)
    pub(crate) fn logits_of_pairs<'t, E: Element>(
        &self,
        tape: &'t Tape<'t, E>,
        pairs: &[Indices],
    ) -> Var<'t, E> {
        let mut pairs = pairs.iter();
        let first = *pairs.next().expect("a stage");
        let mut x = self.input(tape, first);
        for (i, layer) in self.layers.layers.iter().enumerate() {
            x = match layer {
                Layer::FlattenConsecutive(_) if i > 0 => {
                    x.embedding(*pairs.next().expect("a stage")).flatten(1)
                }
                layer => layer.forward(x),
            };
        }
        x
    }

    /// Records the layers' input, (B, T E) or one-hot (B, T V), and every layer's output, for inspection;
    /// without dropout.
    pub fn trace<E: Element>(&self, tape: &Tape<'_, E>, contexts: Indices) -> (NodeId, Vec<Traced>) {
        let mut x = self.input(tape, contexts);
        let input = x.id();
        let embedding =
            self.embedding.map(|_| Traced { name: "embedding".to_owned(), op: "Embedding", output: x.id() });
        let mut traced: Vec<Traced> = embedding.into_iter().collect();
        for (i, layer) in self.layers.layers.iter().enumerate() {
            if !matches!(layer, Layer::Dropout(_)) {
                x = layer.forward(x);
                traced.push(Traced { name: format!("layers.{i}"), op: layer.name(), output: x.id() });
            }
        }
        (input, traced)
    }

    /// (B, T) -> (B, T E), or one-hot (B, T V); (B, T, E) where the first layer takes positions
    fn input<'t, E: Element>(&self, tape: &'t Tape<'t, E>, contexts: Indices) -> Var<'t, E> {
        let x = match &self.embedding {
            Some(embedding) => embedding.forward(tape, contexts),
            None => tape.one_hot(contexts, self.vocab),
        };
        if self.layers.layers.first().is_some_and(Layer::takes_positions) { x } else { x.flatten(1) }
    }

    /// The same layers without dropout, which does nothing in evaluation.
    pub(super) fn without_dropout(&self) -> Self {
        let layers = self.layers.layers.iter().filter(|layer| !matches!(layer, Layer::Dropout(_)));
        Self { layers: Sequential::new(layers.copied().collect()), ..self.clone() }
    }
}
