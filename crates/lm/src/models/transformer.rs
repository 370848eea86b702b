use charloom_nn::{Dropout, Embedding, Init, Layer, LayerNorm, Linear, RmsNorm, Scope};
use charloom_tensor::ops::Rotary;

use super::decoder::{Attention, Block, Decoder, MAX_CONTEXT, Mlp, SlidingWindow, TokenMixer};
use super::{Kind, Learning, Net, NeuralKind, Reach};
use crate::config::{self, Activation, ModelConfig, Norm, Positions, Setting, Settings};
use crate::data::Data;
use crate::{Error, Result, settings};

settings! {
    /// The settings of a transformer.
    pub TransformerSettings {
        /// T, the characters it looks at; without it the longest training word and its end, or at most 64 of a text
        context: Option<usize> = None, "from 1 to 65536", |context| context.is_none_or(|t| (1..=MAX_CONTEXT).contains(&t));
        /// How far a window moves on where a sequence is longer; without it 1, or a quarter of the context for a text
        stride: Option<usize> = None, "from 1 to 65536", |stride| stride.is_none_or(|s| (1..=MAX_CONTEXT).contains(&s));
        /// L, the blocks
        layers: usize = 4, "from 1 to 256", |layers| (1..=256).contains(layers);
        /// The heads that share a layer's attention
        heads: usize = 4, "from 1 to 65536", |heads| (1..=65_536).contains(heads);
        /// C, the width
        embed: usize = 64, "from 1 to 65536", |embed| (1..=65_536).contains(embed);
        /// How it knows where a character stands
        positions: Positions = Positions::Learned, "one of its words", |_| true;
        /// The normalization before attention, mlp and logits
        norm: Norm = Norm::Layer, "layer or rms", |norm| matches!(norm, Norm::Layer | Norm::Rms);
        /// Whether norms scale what they normalize
        norm_weight: bool = true, "true or false", |_| true;
        /// Whether a norm stands after the embeddings instead of before the logits
        embed_norm: bool = false, "true or false", |_| true;
        /// The non-linearity of the mlps
        activation: Activation = Activation::Gelu, "one of its words", |_| true;
        /// Whether norms and linear layers but the last have biases
        bias: bool = true, "true or false", |_| true;
        /// Whether the logits' weight is the embedding's
        tie: bool = false, "true or false", |_| true;
        /// The share of what attention and mlps add that is set to 0 in training
        dropout: f64 = 0.0, "from 0 to below 1", |dropout| (0.0..1.0).contains(dropout);
        /// The same of the embeddings
        embed_dropout: f64 = 0.0, "from 0 to below 1", |dropout| (0.0..1.0).contains(dropout);
        /// The same of the attention's weights
        attention_dropout: f64 = 0.0, "from 0 to below 1", |dropout| (0.0..1.0).contains(dropout);
        /// How parameters are drawn
        init: config::Init = config::Init::Gpt, "one of its words", |_| true;
        /// The deviation of gpt and normal
        init_std: f64 = 0.02, "from 0 to 1000", |std| (0.0..=1000.0).contains(std);
    }
}

/// The most elements of a window's keys and values: 2 L T C.
const MAX_CACHED: usize = 1 << 27;

impl TransformerSettings {
    fn sliding_window(&self) -> Result<SlidingWindow> {
        let Self { heads, embed, .. } = *self;
        if !embed.is_multiple_of(heads) {
            let message =
                format!("{heads} does not divide ``embed`` {embed}; each head has an equal share of it");
            return Err(Error::setting("heads", message));
        }
        if self.positions == Positions::Rotary && !(embed / heads).is_multiple_of(2) {
            let message = format!(
                "rotary turns pairs of numbers; with ``embed`` {embed} and ``heads`` {heads} a head has {}",
                embed / heads
            );
            return Err(Error::setting("positions", message));
        }
        let sliding_window = SlidingWindow::new(self.context, self.stride)?;
        let cached = sliding_window.context.saturating_mul(2 * self.layers).saturating_mul(embed);
        if cached > MAX_CACHED {
            let most = MAX_CACHED / (2 * self.layers * embed);
            let limit = format!("at most {most} with ``layers`` {} and ``embed`` {embed}", self.layers);
            let limit = format!("{limit}; more with less of these");
            return Err(Error::out_of_range("context", sliding_window.context, limit));
        }
        Ok(sliding_window)
    }

    fn norm(&self, scope: &mut Scope<'_>) -> Layer {
        match self.norm {
            Norm::Rms if self.norm_weight => RmsNorm::new(scope, self.embed).into(),
            Norm::Rms => RmsNorm::plain().into(),
            _ => LayerNorm::with(scope, self.embed, self.norm_weight, self.norm_weight && self.bias).into(),
        }
    }

    fn block(&self, i: usize, length: usize, seed: u64, scope: &mut Scope<'_>) -> Block {
        let (width, bias) = (self.embed, self.bias);
        let hidden = width.saturating_mul(4);
        // Each dropout has a mask number of its own: 0 is the embeddings', 3 i + 1 to 3 i + 3 are block i's.
        let dropout = |p: f64, k: u64| (p > 0.0).then_some(Dropout { p, seed, layer: 3 * i as u64 + k });
        // As in GPT-2: each of the 2 L projections that are added up has 1 / (2 L) of the usual variance.
        let scale = match self.init {
            config::Init::Gpt => 1.0 / (2.0 * self.layers as f64).sqrt(),
            _ => 1.0,
        };
        let projection = |path: &str, scope: &mut Scope<'_>, inputs| {
            Linear::new(&mut scope.at(path).with_scale(scale), inputs, width, bias)
        };
        let rotary = (self.positions == Positions::Rotary).then_some(Rotary {
            // Queries and keys are the first two thirds of a row, and both are rotated.
            heads: 2 * self.heads,
            size: width / self.heads,
            length,
        });
        let attention = Attention {
            norm: self.norm(&mut scope.at("ln_1")),
            c_attn: Linear::new(&mut scope.at("attn.c_attn"), width, width.saturating_mul(3), bias),
            heads: self.heads,
            rotary,
            weight_dropout: dropout(self.attention_dropout, 1),
            c_proj: projection("attn.c_proj", scope, width),
            dropout: dropout(self.dropout, 2),
        };
        let mlp = Mlp {
            norm: Some(self.norm(&mut scope.at("ln_2"))),
            c_fc: Linear::new(&mut scope.at("mlp.c_fc"), width, hidden, bias),
            activation: self.activation.layer(),
            c_proj: projection("mlp.c_proj", scope, hidden),
            dropout: dropout(self.dropout, 3),
            hidden,
        };
        Block { mixer: TokenMixer::Attention(Box::new(attention)), mlp }
    }
}

/// A decoder: L blocks of attention to all tokens before and an mlp of 4C hidden units.
///
/// `x = wte[token] + wpe[position]`; in each block `x + c_proj(attention(c_attn(ln_1(x))))`, then `x +
/// c_proj(gelu(c_fc(ln_2(x))))`; logits `lm_head(ln_f(x))`.
///
/// # Shapes
/// (B, T) -> (B, T, C) -> (B, T, V)
///
/// # Source
/// Vaswani et al. 2017, "Attention is all you need"; Radford et al. 2019 (GPT-2), whose names the tensors
/// have. Rotary positions: Su et al. 2021, "RoFormer".
pub(super) struct TransformerKind;

impl Kind for TransformerKind {
    fn name(&self) -> &'static str {
        "transformer"
    }

    fn settings(&self) -> &'static [Setting] {
        TransformerSettings::SETTINGS
    }

    fn fill(&self, model: &mut ModelConfig) -> Result<Reach> {
        let settings: TransformerSettings = model.read()?;
        model.write(&settings)?;
        Ok(Reach::AtMost(settings.sliding_window()?.context))
    }

    fn fill_from_data(&self, model: &mut ModelConfig, data: &Data) -> Result<()> {
        let TransformerSettings { context, stride, .. } = model.read()?;
        SlidingWindow::fill_from_data(model, [context, stride], data)
    }

    fn learning(&self) -> Learning<'_> {
        Learning::ByGradients(self)
    }
}

impl NeuralKind for TransformerKind {
    fn init(&self, model: &ModelConfig) -> Result<Init> {
        let TransformerSettings { init, init_std, .. } = model.read()?;
        Ok(match init {
            config::Init::Gpt | config::Init::Normal => Init::Normal(init_std),
            other => other.to_nn(),
        })
    }

    fn net(&self, model: &ModelConfig, vocab: usize, seed: u64, scope: &mut Scope<'_>) -> Result<Net> {
        let settings: TransformerSettings = model.read()?;
        let (sliding_window, width) = (settings.sliding_window()?, settings.embed);
        let tokens = Embedding::new(&mut scope.at("wte"), vocab, width);
        let learned = settings.positions == Positions::Learned;
        let positions = learned.then(|| Embedding::new(&mut scope.at("wpe"), sliding_window.context, width));
        let norm = |wanted: bool, name: &str, scope: &mut Scope<'_>| {
            wanted.then(|| settings.norm(&mut scope.at(name)))
        };
        let first_norm = norm(settings.embed_norm, "ln_e", scope);
        let block = |i| settings.block(i, sliding_window.context, seed, &mut scope.at(&format!("h.{i}")));
        let blocks = (0..settings.layers).map(block).collect();
        let last_norm = norm(!settings.embed_norm, "ln_f", scope);
        let head = match settings.tie {
            true => Linear { weight: tokens.weight, bias: None },
            false => Linear::to_logits(&mut scope.at("lm_head"), width, vocab, false),
        };
        let p = settings.embed_dropout;
        let dropout = (p > 0.0).then_some(Dropout { p, seed, layer: 0 });
        Ok(Net::Attention(Box::new(Decoder {
            sliding_window,
            width,
            vocab,
            tokens,
            positions,
            dropout,
            first_norm,
            blocks,
            last_norm,
            head,
        })))
    }
}
