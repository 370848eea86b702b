use charloom_nn::{
    BatchNorm1d, Dropout, Embedding, Gelu, Layer, LayerNorm, Linear, Relu, Scope, Sequential, Tanh,
};

use super::{Kind, Learning, Net, NeuralKind, Stack};
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
pub(super) struct MlpKind;

impl Kind for MlpKind {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByGradients(self)
    }
}

impl NeuralKind for MlpKind {
    fn net(&self, model: &ModelConfig, vocab: usize, seed: u64, scope: &mut Scope<'_>) -> Net {
        let embedding =
            (model.embed > 0).then(|| Embedding::new(&mut scope.at("embedding"), vocab, model.embed));
        let mut inputs = model.context.saturating_mul(if model.embed > 0 { model.embed } else { vocab });
        let mut widest = inputs.max(vocab);
        let mut layers: Vec<Layer> = Vec::new();
        let name = |layers: &[Layer]| format!("layers.{}", layers.len());
        for (i, &width) in model.hidden.iter().enumerate() {
            let bias = model.norm == Norm::None || model.bias;
            let mut of_linear = scope.at(&name(&layers)).with_gain(model.gain());
            let linear = Linear::new(&mut of_linear, inputs, width, bias);
            layers.push(linear.into());
            match model.norm {
                Norm::None => {}
                Norm::Batch => layers.push(BatchNorm1d::new(&mut scope.at(&name(&layers)), width).into()),
                Norm::Layer => layers.push(LayerNorm::new(&mut scope.at(&name(&layers)), width).into()),
            }
            layers.push(match model.activation {
                Activation::Tanh => Tanh.into(),
                Activation::Relu => Relu.into(),
                Activation::Gelu => Gelu.into(),
            });
            if model.dropout > 0.0 {
                layers.push(Dropout { p: model.dropout, seed, layer: i as u64 }.into());
            }
            (inputs, widest) = (width, widest.max(width));
        }
        let mut scope = scope.at(&name(&layers)).with_scale(model.output_scale);
        layers.push(Linear::new(&mut scope, inputs, vocab, true).into());
        Net::Window(Stack {
            context: model.context,
            vocab,
            embedding,
            layers: Sequential::new(layers),
            widest,
        })
    }
}
