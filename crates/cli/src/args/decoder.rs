//! The flags of decoders such as the transformer.

use charloom::config::{ModelConfig, Positions, Value};

#[derive(clap::Args, Default, PartialEq)]
#[command(next_help_heading = "Transformer")]
pub struct DecoderFlags {
    /// How far a window moves on where a text is longer [default: 1 on words, a quarter of the context on a text]
    #[arg(long, value_name = "N")]
    stride: Option<usize>,
    /// Heads of a transformer's attention [default: 4]
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// How a transformer knows a character's place: learned, rotary, none [default: learned]
    #[arg(long, value_name = "NAME")]
    positions: Option<Positions>,
    /// A transformer's logits share the embedding's weight
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tie: Option<bool>,
    /// Whether a transformer's norms scale what they normalize [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    norm_weight: Option<bool>,
    /// A norm after a transformer's embeddings instead of before its logits
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    embed_norm: Option<bool>,
    /// Share of attention's weights dropped in training [default: 0]
    #[arg(long, value_name = "P")]
    attention_dropout: Option<f64>,
    /// Deviation of gpt and normal [default: 0.02]
    #[arg(long, value_name = "X")]
    init_std: Option<f64>,
}

impl DecoderFlags {
    /// Applies the given flags to the model's configuration.
    pub fn apply(&self, model: &mut ModelConfig) {
        let mut set =
            |key: &str, value: Option<Value>| value.into_iter().for_each(|value| model.set(key, value));
        set("stride", self.stride.map(Value::from));
        set("heads", self.heads.map(Value::from));
        set("positions", self.positions.map(|word| word.word().into()));
        set("tie", self.tie.map(Value::from));
        set("norm_weight", self.norm_weight.map(Value::from));
        set("embed_norm", self.embed_norm.map(Value::from));
        set("attention_dropout", self.attention_dropout.map(Value::from));
        set("init_std", self.init_std.map(Value::from));
    }
}
