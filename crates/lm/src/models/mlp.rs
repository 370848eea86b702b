use charloom_nn::{
    BatchNorm1d, Dropout, Embedding, Gelu, Initializer, Layer, LayerNorm, Linear, Relu, Sequential, Tanh,
};
use charloom_tensor::{Element, Tape};

use crate::config::{Activation, ModelConfig, Norm};

/// The neural probabilistic language model: the context's characters as points in a space that is learned too, then hidden
/// layers, then logits.
///
/// Each hidden layer is a linear map (without a bias before a norm, unless asked for), a norm, an activation and dropout.
/// With an embedding of width 0 the input is one-hot, T V wide.
///
/// # Shapes
/// (B, T E) -> (B, H), ... -> (B, V)
///
/// # Source
/// Bengio, Ducharme, Vincent and Jauvin 2003, "A neural probabilistic language model", without the direct connections.
pub(super) fn layers<E: Element>(
    tape: &Tape<E>,
    model: &ModelConfig,
    vocab: usize,
    seed: u64,
    init: &mut Initializer<'_>,
) -> (Option<Embedding>, Sequential) {
    let embedding = (model.embed > 0).then(|| Embedding::new(tape, "embedding", vocab, model.embed, init));
    let mut inputs = model.context * if model.embed > 0 { model.embed } else { vocab };
    let mut layers: Vec<Layer> = Vec::new();
    let name = |layers: &[Layer]| format!("layers.{}", layers.len());
    init.gain = model.gain();
    for (i, &width) in model.hidden.iter().enumerate() {
        let bias = model.norm == Norm::None || model.bias;
        layers.push(Linear::new(tape, &name(&layers), inputs, width, bias, init).into());
        match model.norm {
            Norm::None => {}
            Norm::Batch => layers.push(BatchNorm1d::new(tape, &name(&layers), width).into()),
            Norm::Layer => layers.push(LayerNorm::new(tape, &name(&layers), width).into()),
        }
        layers.push(match model.activation {
            Activation::Tanh => Tanh.into(),
            Activation::Relu => Relu.into(),
            Activation::Gelu => Gelu.into(),
        });
        if model.dropout > 0.0 {
            layers.push(Dropout { p: model.dropout, seed, layer: i as u64 }.into());
        }
        inputs = width;
    }
    (init.gain, init.scale) = (1.0, model.output_scale);
    layers.push(Linear::new(tape, &name(&layers), inputs, vocab, true, init).into());
    (embedding, Sequential::new(layers))
}
