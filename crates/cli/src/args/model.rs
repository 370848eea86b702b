//! The flags of the model.

use charloom::config::{Activation, Init, ModelConfig, Norm, Positions, Smoothing, parse_hidden};
use charloom::{Config, Result, models};

use super::flags::{Flags, flags};

// clap takes a field of type `Option<Vec<_>>` for a repeated flag; behind an alias a list is one value.
type Widths = Vec<usize>;

/// The model.
#[derive(clap::Args, Default, PartialEq)]
#[command(next_help_heading = "Model")]
pub struct ModelFlags {
    /// mlp, linear, rnn, gru, lstm, wavenet, transformer, bow, ngram; bigram is an ngram of order 2 with k = 1
    /// [default: mlp]
    #[arg(long, value_name = "KIND")]
    model: Option<String>,
    #[command(flatten)]
    settings: SettingFlags,
    #[command(flatten)]
    decoder: DecoderFlags,
}

flags! {
    /// The settings of a model of any kind.
    SettingFlags of model {
        /// Characters the model looks at [default: 3; wavenet 8; transformer and bow the longest word, or 64 of a
        /// text; rnn, gru, lstm 128 of a text; less of a text that is shorter]
        context("T"): usize;
        /// Width of the embedding; 0: one-hot input [default: mlp 6, wavenet 24, others 64]
        embed("E"): usize;
        /// Width of each hidden layer, as in 200,200 [default: mlp 200; rnn, gru, lstm, wavenet 128; bow 64]
        #[arg(value_parser = parse_hidden)]
        hidden("H,..."): Widths;
        /// tanh, relu, gelu, gelu-tanh, squared-relu [default: tanh; a transformer's gelu]
        activation("NAME"): Activation;
        /// none, batch, layer, rms [default: none; a transformer's layer]
        norm("NAME"): Norm;
        /// Share of hidden values dropped in training [default: 0]
        dropout("P"): f64;
        /// Layers of an rnn, gru or lstm [default: 1], or of a transformer [default: 4]
        layers("N"): usize;
        /// Share of the embeddings' values dropped in training [default: 0]
        embed_dropout("P"): f64;
        /// Share of the weights between states dropped in a training step [default: 0]
        recurrent_dropout("P"): f64;
        /// A bias in linear, in an mlp before a norm, in a transformer's layers
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        bias("BOOL"): bool;
        /// unit-normal, kaiming-normal, torch, unit-columns, gpt, normal [default: by the model]
        init("NAME"): Init;
        /// Factor of kaiming-normal before the last layer [default: mlp 5/3 for tanh, else sqrt(2); wavenet 1]
        gain("X"): f64;
        /// Factor of the last layer's weight [default: 0.1]
        output_scale("X"): f64;
        /// Order of an ngram, 1 to 12 [default: 5]
        order("N"): usize;
        /// Smoothing of an ngram: add-k, kneser-ney [default: kneser-ney]
        smoothing("NAME"): Smoothing;
        /// What add-k adds [default: 1]
        k("X"): f64;
    }
}

flags! {
    /// The settings of decoders such as the transformer.
    #[command(next_help_heading = "Transformer")]
    DecoderFlags of model {
        /// How far a window moves on where a text is longer [default: 1 on words, a quarter of the context on a text]
        stride("N"): usize;
        /// Heads of a transformer's attention [default: 4]
        heads("N"): usize;
        /// How a transformer knows a character's place: learned, rotary, none [default: learned]
        positions("NAME"): Positions;
        /// A transformer's logits share the embedding's weight
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        tie("BOOL"): bool;
        /// Whether a transformer's norms scale what they normalize [default: true]
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        norm_weight("BOOL"): bool;
        /// A norm after a transformer's embeddings instead of before its logits
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        embed_norm("BOOL"): bool;
        /// Share of attention's weights dropped in training [default: 0]
        attention_dropout("P"): f64;
        /// Deviation of gpt and normal [default: 0.02]
        init_std("X"): f64;
    }
}

impl ModelFlags {
    /// The kind of model, if `--model` is given.
    pub fn kind(&self) -> Option<&str> {
        self.model.as_deref().map(|kind| if kind == "bigram" { "ngram" } else { kind })
    }

    /// Whether `--context` is given.
    pub fn has_context(&self) -> bool {
        self.settings.context.is_some()
    }

    /// Whether any flag of the model but `--context` is given.
    pub fn has_flags_but_context(&self) -> bool {
        let mut given = self.settings.given().into_iter().chain(self.decoder.given());
        self.model.is_some() || given.any(|flag| flag.key != "context")
    }

    /// Applies the given flags to the configuration.
    ///
    /// # Errors
    /// A flag that the kind of model does not have, or a value out of range.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        let model = &mut config.model;
        // The settings so far, as of a preset, may be of another kind of model: start from this kind's defaults.
        if let Some(kind) = self.kind().filter(|kind| *kind != model.kind) {
            *model = ModelConfig::of(kind);
            config.notebook = None;
        }
        if self.model.as_deref() == Some("bigram") {
            *model = ModelConfig::of("ngram").with("order", 2).with("smoothing", "add-k").with("k", 1.0);
        }
        self.settings.write(config);
        self.decoder.write(config);
        models::check(&config.model)?;
        Ok(())
    }
}
