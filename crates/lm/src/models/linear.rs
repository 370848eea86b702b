use charloom_nn::{Initializer, Linear, Sequential};
use charloom_tensor::{Element, Tape};

use crate::config::ModelConfig;

/// One weight matrix over one-hot characters: `logits = one_hot(context) W^T (+ b)`.
///
/// Its weight has a row for each character and a column for each character at each position. With a context of one, and
/// trained to the end, its softmax is the table of bigram frequencies.
///
/// # Shapes
/// (B, T V) -> (B, V)
pub(super) fn layers<E: Element>(
    tape: &Tape<E>,
    model: &ModelConfig,
    vocab: usize,
    init: &mut Initializer<'_>,
) -> Sequential {
    init.scale = model.output_scale;
    let inputs = model.context * vocab;
    Sequential::new(vec![Linear::new(tape, "layers.0", inputs, vocab, model.bias, init).into()])
}
