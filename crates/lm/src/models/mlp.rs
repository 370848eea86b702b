use charloom_nn::{
    AllReduce, BatchNorm1d, Dropout, Embedding, Gelu, Initializer, Layer, LayerNorm, Linear, ReduceScatter,
    Relu, Sequential, Tanh,
};
use charloom_tensor::{Element, Tape, can_be_cut};

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
        layers.push(activation(model));
        if model.dropout > 0.0 {
            layers.push(Dropout { p: model.dropout, seed, layer: i as u64 }.into());
        }
        inputs = width;
    }
    (init.gain, init.scale) = (1.0, model.output_scale);
    layers.push(Linear::new(tape, &name(&layers), inputs, vocab, true, init).into());
    (embedding, Sequential::new(layers))
}

fn activation(model: &ModelConfig) -> Layer {
    match model.activation {
        Activation::Tanh => Tanh.into(),
        Activation::Relu => Relu.into(),
        Activation::Gelu => Gelu.into(),
    }
}

/// Whether two partners can have a half of each hidden layer's units: then nothing in between may look across units.
pub(super) fn can_be_halved(model: &ModelConfig) -> bool {
    let plain = model.norm != Norm::Layer && model.dropout == 0.0;
    plain && !model.hidden.is_empty() && model.hidden.iter().all(|&units| can_be_cut(units))
}

/// One partner's half of [`layers`], all zero, under the same names: of the first weight and of everything between two
/// layers the units' half, of the other weights that of their inputs.
pub(super) fn half_of_layers(
    tape: &Tape<f32>,
    model: &ModelConfig,
    vocab: usize,
) -> (Option<Embedding>, Sequential) {
    let zeros = |shape: &[usize]| vec![0.0; shape.iter().product()];
    let parameter = |name: String, shape: &[usize]| tape.parameter(&name, shape, &zeros(shape));
    let linear = |name: &str, inputs: usize, outputs: usize, bias: bool| Linear {
        weight: tape.parameter_by_columns(
            &format!("{name}.weight"),
            [outputs, inputs],
            &zeros(&[outputs, inputs]),
        ),
        bias: bias.then(|| parameter(format!("{name}.bias"), &[outputs])),
    };
    let embedding = (model.embed > 0)
        .then(|| Embedding { weight: parameter("embedding.weight".to_owned(), &[vocab, model.embed]) });
    let mut layers: Vec<Layer> = Vec::new();
    // As in the whole, where nothing stands between a weight and its bias.
    let mut place = 0;
    let mut name = || {
        place += 1;
        format!("layers.{}", place - 1)
    };
    let mut inputs = model.context * if model.embed > 0 { model.embed } else { vocab };
    for (i, &width) in model.hidden.iter().enumerate() {
        let (half, of_linear) = (width / 2, name());
        let bias = model.norm == Norm::None || model.bias;
        if i == 0 {
            layers.push(linear(&of_linear, inputs, half, bias).into());
        } else {
            layers.push(linear(&of_linear, inputs, width, false).into());
            let bias = bias.then(|| parameter(format!("{of_linear}.bias"), &[half]));
            layers.push(ReduceScatter { bias }.into());
        }
        if model.norm == Norm::Batch {
            layers.push(BatchNorm1d::new(tape, &name(), half).into());
        }
        layers.push(activation(model));
        name();
        inputs = half;
    }
    let of_linear = name();
    layers.push(linear(&of_linear, inputs, vocab, false).into());
    layers.push(AllReduce { bias: Some(parameter(format!("{of_linear}.bias"), &[vocab])) }.into());
    (embedding, Sequential::new(layers))
}
