use charloom_nn::{Linear, Scope, Sequential};

use super::{Kind, Learning, Net, NeuralKind, Stack};
use crate::config::ModelConfig;

/// One weight matrix over one-hot characters: `logits = one_hot(context) W^T (+ b)`.
///
/// Its weight has a row for each character and a column for each character at each position. With a context of one, and
/// trained to the end, its softmax is the table of bigram frequencies.
///
/// # Shapes
/// (B, T V) -> (B, V)
pub(super) struct LinearKind;

impl Kind for LinearKind {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByGradients(self)
    }
}

impl NeuralKind for LinearKind {
    fn net(&self, model: &ModelConfig, vocab: usize, _: u64, scope: &mut Scope<'_>) -> Net {
        let inputs = model.context.saturating_mul(vocab);
        let mut scope = scope.at("layers.0").with_scale(model.output_scale);
        let layers = Sequential::new(vec![Linear::new(&mut scope, inputs, vocab, model.bias).into()]);
        Net::Window(Stack { context: model.context, vocab, embedding: None, layers, widest: inputs })
    }
}
