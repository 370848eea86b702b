use charloom_nn::{
    BatchNorm1d, Dropout, Embedding, Init, Layer, LayerNorm, Linear, RmsNorm, Scope, Sequential,
};

use super::{Kind, Learning, Net, NeuralKind, Reach, Stack};
use crate::config::{self, Activation, ModelConfig, Norm, Setting, Settings};
use crate::{Result, settings};

settings! {
    /// The settings of an mlp.
    pub MlpSettings {
        /// T, the characters it looks at
        context: usize = 3, "from 1 to 1024", |context| (1..=1024).contains(context);
        /// E, the embedding's width; 0: one-hot input
        embed: usize = 6, "from 0 to 65536", |embed| *embed <= 65_536;
        /// H of each hidden layer
        hidden: Vec<usize> = vec![200], "at most 64 layers of 1 to 65536 each",
            |hidden| hidden.len() <= 64 && hidden.iter().all(|width| (1..=65_536).contains(width));
        /// The non-linearity after each hidden layer
        activation: Activation = Activation::Tanh, "one of its words", |_| true;
        /// The normalization before it
        norm: Norm = Norm::None, "one of its words", |_| true;
        /// The share of hidden values set to 0 in training
        dropout: f64 = 0.0, "from 0 to below 1", |dropout| (0.0..1.0).contains(dropout);
        /// Whether a layer before a norm has a bias, which it does not need
        bias: bool = false, "true or false", |_| true;
        /// How parameters are drawn
        init: config::Init = config::Init::KaimingNormal, "one of its words", |_| true;
        /// Factor of kaiming-normal for the layers before the last; without it 5/3 for tanh, sqrt(2) for relu and gelu
        gain: Option<f64> = None, "above 0 and at most 1000", |gain| gain.is_none_or(|gain| gain > 0.0 && gain <= 1000.0);
        /// Factor of the last layer's weight
        output_scale: f64 = 0.1, "from 0 to 1000", |scale| (0.0..=1000.0).contains(scale);
    }
}

impl MlpSettings {
    /// The settings of an mlp; None if the model is of another kind.
    ///
    /// # Errors
    /// As [`ModelConfig::read`].
    pub fn of(model: &ModelConfig) -> Result<Option<Self>> {
        if model.kind == MlpKind.name() { model.read().map(Some) } else { Ok(None) }
    }

    /// `gain` if it is given, else 5/3 for tanh and sqrt(2) for other activations.
    #[must_use]
    pub fn gain(&self) -> f64 {
        self.gain.unwrap_or(match self.activation {
            Activation::Tanh => 5.0 / 3.0,
            _ => std::f64::consts::SQRT_2,
        })
    }
}

/// The neural probabilistic language model: learned embeddings of the context's characters, hidden layers,
/// logits.
///
/// A hidden layer is a linear map (without a bias before a norm, unless asked for), a norm, an activation and
/// dropout. With `embed` 0 the input is one-hot, T V wide.
///
/// # Shapes
/// (B, T E) -> (B, H), ... -> (B, V)
///
/// # Source
/// Bengio, Ducharme, Vincent and Jauvin 2003, "A neural probabilistic language model", without the direct
/// connections.
pub(super) struct MlpKind;

impl Kind for MlpKind {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn settings(&self) -> &'static [Setting] {
        MlpSettings::SETTINGS
    }

    fn fill(&self, model: &mut ModelConfig) -> Result<Reach> {
        let mut settings: MlpSettings = model.read()?;
        settings.gain = Some(settings.gain());
        model.write(&settings)?;
        Ok(Reach::Window(settings.context))
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByGradients(self)
    }
}

impl NeuralKind for MlpKind {
    fn init(&self, model: &ModelConfig) -> Result<Init> {
        Ok(model.read::<MlpSettings>()?.init.to_nn())
    }

    fn net(&self, model: &ModelConfig, vocab: usize, seed: u64, scope: &mut Scope<'_>) -> Result<Net> {
        let model: MlpSettings = model.read()?;
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
                Norm::Rms => layers.push(RmsNorm::new(&mut scope.at(&name(&layers)), width).into()),
            }
            layers.push(model.activation.layer());
            if model.dropout > 0.0 {
                layers.push(Dropout { p: model.dropout, seed, layer: i as u64 }.into());
            }
            (inputs, widest) = (width, widest.max(width));
        }
        let mut scope = scope.at(&name(&layers)).with_scale(model.output_scale);
        // Without hidden layers this layer reads the embeddings. Only a weight stored by columns, as by
        // Linear::new, lets the two be fused into sums of table rows.
        let last = if model.hidden.is_empty() { Linear::new } else { Linear::to_logits };
        layers.push(last(&mut scope, inputs, vocab, true).into());
        let layers = Sequential::new(layers);
        Ok(Net::Window(Stack { context: model.context, vocab, embedding, layers, widest }))
    }
}
