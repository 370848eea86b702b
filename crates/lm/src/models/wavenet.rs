use charloom_nn::{BatchNorm1d, Embedding, FlattenConsecutive, Init, Layer, Linear, Scope, Sequential, Tanh};

use super::{Kind, Learning, Net, NeuralKind, Reach, Stack};
use crate::config::{self, ModelConfig, Setting, Settings};
use crate::{Result, settings};

settings! {
    /// The settings of a wavenet.
    pub WaveNetSettings {
        /// T, the characters it looks at
        context: usize = 8, "a power of two from 2 to 1024",
            |context| context.is_power_of_two() && (2..=1024).contains(context);
        /// E, the embedding's width
        embed: usize = 24, "from 1 to 65536", |embed| (1..=65_536).contains(embed);
        /// H of every stage
        hidden: usize = 128, "from 1 to 65536", |hidden| (1..=65_536).contains(hidden);
        /// How parameters are drawn
        init: config::Init = config::Init::KaimingNormal, "one of its words", |_| true;
        /// Factor of kaiming-normal for the layers before the last
        gain: f64 = 1.0, "above 0 and at most 1000", |gain| *gain > 0.0 && *gain <= 1000.0;
        /// Factor of the last layer's weight
        output_scale: f64 = 0.1, "from 0 to 1000", |scale| (0.0..=1000.0).contains(scale);
    }
}

/// A binary tree over the context: each of log2(T) stages joins pairs of neighbours, until one position is
/// left.
///
/// A stage is a linear map (without a bias) of two positions side by side, BatchNorm over the batch and all
/// positions, and tanh.
///
/// # Shapes
/// (B, T, E) -> (B, T / 2, H) -> ... -> (B, H) -> (B, V)
///
/// # Source
/// Karpathy's lecture "Building a WaveNet" of 2022, after van den Oord et al. 2016: the tree of dilated
/// causal convolutions, without gates and skips.
pub(super) struct WaveNetKind;

impl Kind for WaveNetKind {
    fn name(&self) -> &'static str {
        "wavenet"
    }

    fn settings(&self) -> &'static [Setting] {
        WaveNetSettings::SETTINGS
    }

    fn fill(&self, model: &mut ModelConfig) -> Result<Reach> {
        let settings: WaveNetSettings = model.read()?;
        model.write(&settings)?;
        Ok(Reach::Window(settings.context))
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByGradients(self)
    }
}

impl NeuralKind for WaveNetKind {
    fn init(&self, model: &ModelConfig) -> Result<Init> {
        Ok(model.read::<WaveNetSettings>()?.init.to_nn())
    }

    fn net(&self, model: &ModelConfig, vocab: usize, _: u64, scope: &mut Scope<'_>) -> Result<Net> {
        let WaveNetSettings { context, embed, hidden, gain, output_scale, .. } = model.read()?;
        let embedding = Embedding::new(&mut scope.at("embedding"), vocab, embed);
        let mut layers: Vec<Layer> = Vec::new();
        let name = |layers: &[Layer]| format!("layers.{}", layers.len());
        let mut width = embed;
        for _ in 0..context.ilog2() {
            layers.push(FlattenConsecutive { n: 2 }.into());
            let mut of_linear = scope.at(&name(&layers)).with_gain(gain);
            layers.push(Linear::new(&mut of_linear, width.saturating_mul(2), hidden, false).into());
            layers.push(BatchNorm1d::new(&mut scope.at(&name(&layers)), hidden).into());
            layers.push(Tanh.into());
            width = hidden;
        }
        let mut of_last = scope.at(&name(&layers)).with_scale(output_scale);
        layers.push(Linear::to_logits(&mut of_last, width, vocab, true).into());
        let widest = (context * embed).max(context / 2 * hidden).max(vocab);
        let layers = Sequential::new(layers);
        Ok(Net::Window(Stack { context, vocab, embedding: Some(embedding), layers, widest }))
    }
}
