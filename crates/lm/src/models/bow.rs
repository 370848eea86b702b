use charloom_nn::{Embedding, Init, Linear, Scope};

use super::decoder::{Block, Decoder, MAX_CONTEXT, Mlp, SlidingWindow, TokenMixer};
use super::{Kind, Learning, Net, NeuralKind, Reach};
use crate::config::{self, Activation, ModelConfig, Setting, Settings};
use crate::data::Data;
use crate::{Result, settings};

settings! {
    /// The settings of a bag of words.
    pub BowSettings {
        /// T, the characters it looks at; without it the longest training word and its end, or at most 64 of a text
        context: Option<usize> = None, "from 1 to 65536", |context| context.is_none_or(|t| (1..=MAX_CONTEXT).contains(&t));
        /// How far a window moves on where a sequence is longer; without it 1, or a quarter of the context for a text
        stride: Option<usize> = None, "from 1 to 65536", |stride| stride.is_none_or(|s| (1..=MAX_CONTEXT).contains(&s));
        /// C, the width
        embed: usize = 64, "from 1 to 65536", |embed| (1..=65_536).contains(embed);
        /// H, the hidden units of its mlp
        hidden: usize = 64, "from 1 to 65536", |hidden| (1..=65_536).contains(hidden);
        /// The non-linearity of its mlp
        activation: Activation = Activation::Tanh, "one of its words", |_| true;
        /// How parameters are drawn
        init: config::Init = config::Init::Torch, "one of its words", |_| true;
    }
}

/// A causal bag of words: the mean of all tokens so far, each with its position, then an mlp.
///
/// `x = wte[token] + wpe[position]`; `x + mean of x up to here`; `x + c_proj(tanh(c_fc(x)))`; `lm_head(x)`.
///
/// # Shapes
/// (B, T) -> (B, T, C) -> (B, T, V)
///
/// # Source
/// makemore's `BoW`
pub(super) struct BowKind;

impl Kind for BowKind {
    fn name(&self) -> &'static str {
        "bow"
    }

    fn settings(&self) -> &'static [Setting] {
        BowSettings::SETTINGS
    }

    fn fill(&self, model: &mut ModelConfig) -> Result<Reach> {
        let settings: BowSettings = model.read()?;
        model.write(&settings)?;
        Ok(Reach::AtMost(SlidingWindow::new(settings.context, settings.stride)?.context))
    }

    fn fill_from_data(&self, model: &mut ModelConfig, data: &Data) -> Result<()> {
        let BowSettings { context, stride, .. } = model.read()?;
        SlidingWindow::fill_from_data(model, [context, stride], data)
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByGradients(self)
    }
}

impl NeuralKind for BowKind {
    fn init(&self, model: &ModelConfig) -> Result<Init> {
        Ok(model.read::<BowSettings>()?.init.to_nn())
    }

    fn net(&self, model: &ModelConfig, vocab: usize, _: u64, scope: &mut Scope<'_>) -> Result<Net> {
        let settings: BowSettings = model.read()?;
        let (width, hidden) = (settings.embed, settings.hidden);
        let sliding_window = SlidingWindow::new(settings.context, settings.stride)?;
        let tokens = Embedding::new(&mut scope.at("wte"), vocab, width);
        let positions = Some(Embedding::new(&mut scope.at("wpe"), sliding_window.context, width));
        let mlp = Mlp {
            norm: None,
            c_fc: Linear::new(&mut scope.at("mlp.c_fc"), width, hidden, true),
            activation: settings.activation.layer(),
            c_proj: Linear::new(&mut scope.at("mlp.c_proj"), hidden, width, true),
            dropout: None,
            hidden,
        };
        Ok(Net::Attention(Box::new(Decoder {
            sliding_window,
            width,
            vocab,
            tokens,
            positions,
            dropout: None,
            first_norm: None,
            blocks: vec![Block { mixer: TokenMixer::Mean, mlp }],
            last_norm: None,
            head: Linear::to_logits(&mut scope.at("lm_head"), width, vocab, true),
        })))
    }
}
