use charloom_nn::{Init, Linear, Scope, Sequential};

use super::{Kind, Learning, Net, NeuralKind, Reach, Stack};
use crate::config::{self, ModelConfig, Setting, Settings};
use crate::{Result, settings};

settings! {
    /// The settings of a linear model.
    pub LinearSettings {
        /// T, the characters it looks at
        context: usize = 3, "from 1 to 1024", |context| (1..=1024).contains(context);
        /// Whether the logits have a bias
        bias: bool = false, "true or false", |_| true;
        /// How parameters are drawn
        init: config::Init = config::Init::KaimingNormal, "one of its words", |_| true;
        /// Factor of the weight
        output_scale: f64 = 0.1, "from 0 to 1000", |scale| (0.0..=1000.0).contains(scale);
    }
}

/// One weight matrix over one-hot characters: `logits = one_hot(context) W^T (+ b)`.
///
/// Its weight has a row for each character and a column for each character at each position. With a context
/// of one, trained to convergence, its softmax is the table of bigram frequencies.
///
/// # Shapes
/// (B, T V) -> (B, V)
pub(super) struct LinearKind;

impl Kind for LinearKind {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn settings(&self) -> &'static [Setting] {
        LinearSettings::SETTINGS
    }

    fn fill(&self, model: &mut ModelConfig) -> Result<Reach> {
        let settings: LinearSettings = model.read()?;
        model.write(&settings)?;
        Ok(Reach::Window(settings.context))
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByGradients(self)
    }
}

impl NeuralKind for LinearKind {
    fn init(&self, model: &ModelConfig) -> Result<Init> {
        Ok(model.read::<LinearSettings>()?.init.to_nn())
    }

    fn net(&self, model: &ModelConfig, vocab: usize, _: u64, scope: &mut Scope<'_>) -> Result<Net> {
        let LinearSettings { context, bias, output_scale, .. } = model.read()?;
        let inputs = context.saturating_mul(vocab);
        let mut scope = scope.at("layers.0").with_scale(output_scale);
        let layers = Sequential::new(vec![Linear::new(&mut scope, inputs, vocab, bias).into()]);
        Ok(Net::Window(Stack { context, vocab, embedding: None, layers, widest: inputs }))
    }
}
