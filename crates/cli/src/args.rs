//! The flags of the data, the model and the training: one for each key of a configuration.

mod data;
mod decoder;
mod optimizer;

use std::path::PathBuf;

use charloom::config::{
    Activation, Batch, Feed, Generator, Init, ModelConfig, Norm, Schedule, Smoothing, TeacherConfig, Value,
    parse_freeze, parse_hidden, parse_lr_at, parse_lr_drops,
};
use charloom::{Config, Error, Result, models, presets};
pub use data::DataFlags;
use decoder::DecoderFlags;
pub use optimizer::OPTIMIZER;
use optimizer::OptimizerFlags;

// clap takes a field of type `Option<Vec<_>>` for a repeated flag; behind an alias a list is one value.
type Widths = Vec<usize>;
type Drops = Vec<(f64, f64)>;
type Stages = Vec<(u64, f64)>;
type Names = Vec<String>;

/// The model and its training.
#[derive(clap::Args, Default, PartialEq)]
#[command(next_help_heading = "Model")]
pub struct ModelFlags {
    /// mlp, linear, rnn, gru, lstm, wavenet, transformer, bow, ngram; bigram is an ngram of order 2 with k = 1
    /// [default: mlp]
    #[arg(long, value_name = "KIND", value_parser = parse_model)]
    model: Option<ModelWord>,
    /// Characters the model looks at [default: 3; wavenet 8; transformer and bow the longest word, or 64 of a text]
    #[arg(long, value_name = "T")]
    context: Option<usize>,
    /// Width of the embedding; 0: one-hot input [default: mlp 6, wavenet 24, others 64]
    #[arg(long, value_name = "E")]
    embed: Option<usize>,
    /// Width of each hidden layer, as in 200,200 [default: mlp 200; rnn, gru, lstm, wavenet 128; bow 64]
    #[arg(long, value_name = "H,...", value_parser = parse_hidden)]
    hidden: Option<Widths>,
    /// tanh, relu, gelu, gelu-tanh, squared-relu [default: tanh; a transformer's gelu]
    #[arg(long, value_name = "NAME")]
    activation: Option<Activation>,
    /// none, batch, layer, rms [default: none; a transformer's layer]
    #[arg(long, value_name = "NAME")]
    norm: Option<Norm>,
    /// Share of hidden values dropped in training [default: 0]
    #[arg(long, value_name = "P")]
    dropout: Option<f64>,
    /// Layers of an rnn, gru or lstm [default: 1], or of a transformer [default: 4]
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
    /// Share of the embeddings' values dropped in training [default: 0]
    #[arg(long, value_name = "P")]
    embed_dropout: Option<f64>,
    /// Share of the weights between states dropped in a training step [default: 0]
    #[arg(long, value_name = "P")]
    recurrent_dropout: Option<f64>,
    /// A bias in linear, in an mlp before a norm, in a transformer's layers
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    bias: Option<bool>,
    /// unit-normal, kaiming-normal, torch, unit-columns, gpt, normal [default: by the model]
    #[arg(long, value_name = "NAME")]
    init: Option<Init>,
    /// Factor of kaiming-normal before the last layer [default: mlp 5/3 for tanh, else sqrt(2); wavenet 1]
    #[arg(long, value_name = "X")]
    gain: Option<f64>,
    /// Factor of the last layer's weight [default: 0.1]
    #[arg(long, value_name = "X")]
    output_scale: Option<f64>,
    /// Order of an ngram, 1 to 12 [default: 5]
    #[arg(long, value_name = "N")]
    order: Option<usize>,
    /// Smoothing of an ngram: add-k, kneser-ney [default: kneser-ney]
    #[arg(long, value_name = "NAME")]
    smoothing: Option<Smoothing>,
    /// What add-k adds [default: 1]
    #[arg(long, value_name = "X")]
    k: Option<f64>,
    #[command(flatten)]
    decoder: DecoderFlags,
}

/// The training.
#[derive(clap::Args, Default, PartialEq)]
#[command(next_help_heading = "Training")]
pub struct TrainFlags {
    /// Updates [default: 200000]
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Examples of a step, or full [default: 32]
    #[arg(long, value_name = "B")]
    batch: Option<Batch>,
    /// How batches are drawn: words; streams or random pieces of a running text [default: as suits model and data]
    #[arg(long, value_name = "NAME")]
    feed: Option<Feed>,
    /// Learning rate [default: 0.1]
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// After the fraction AT of the steps, multiply the learning rate by BY [default: 0.5:0.1]
    #[arg(long, value_name = "AT:BY,...", value_parser = parse_lr_drops)]
    lr_drops: Option<Drops>,
    /// From step STEP on, the rate RATE: 100001:.001,150001:.01 [default: none]
    #[arg(long, value_name = "STEP:RATE,...", value_parser = parse_lr_at)]
    lr_at: Option<Stages>,
    /// constant, drops, stages (of --lr-at), cosine, linear, wsd [default: drops]
    #[arg(long, value_name = "NAME")]
    schedule: Option<Schedule>,
    /// Learning rate that cosine, linear and wsd fall to [default: 0]
    #[arg(long, value_name = "X")]
    lr_min: Option<f64>,
    /// Share of the run in which the learning rate rises from 0 [default: 0]
    #[arg(long, value_name = "X")]
    warmup: Option<f64>,
    /// The warm-up as a number of steps [default: 0]
    #[arg(long, value_name = "N")]
    warmup_steps: Option<u64>,
    /// Share of the run in which wsd falls [default: 0.2]
    #[arg(long, value_name = "X")]
    decay: Option<f64>,
    /// Begin with the weights of this run, and with its model where no preset or configuration says another
    #[arg(long, value_name = "RUN")]
    pub init_from: Option<PathBuf>,
    /// Parameters that stay as drawn, or layers of which all do: embedding.weight,layers.0 [default: none]
    #[arg(long, value_name = "NAME,...", value_parser = parse_freeze)]
    freeze: Option<Names>,
    /// separate: one for the split, one for parameters and minibatches; shared: one for both, and samples go on
    /// with it [default: separate]
    #[arg(long, value_name = "NAME")]
    generator: Option<Generator>,
    /// Seed of parameters and minibatches [default: 2147483647]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Steps between evaluations [default: a twentieth of the run, or more to keep them to a tenth of the time]
    #[arg(long, value_name = "N")]
    eval_every: Option<u64>,
    /// Characters of the training split that an evaluation judges; 0: all [default: all, or the validation split's
    /// number]
    #[arg(long, value_name = "N")]
    eval_size: Option<usize>,
    /// Steps between lines of the metrics [default: a thousandth of the run]
    #[arg(long, value_name = "N")]
    log_every: Option<u64>,
    /// Stop after this many evaluations without a better validation loss; 0: never [default: 0]
    #[arg(long, value_name = "N")]
    patience: Option<u64>,
    /// A finished run to learn from besides the text; with words it is asked once for each beginning of a word
    #[arg(long, value_name = "RUN")]
    teacher: Option<PathBuf>,
    /// How much of the loss is that under the teacher's distributions [default: 0.5]
    #[arg(long, value_name = "W")]
    teacher_weight: Option<f64>,
    /// What the teacher's log-probabilities are divided by; above 1 evens them out [default: 1]
    #[arg(long, value_name = "X")]
    teacher_temperature: Option<f64>,
    #[command(flatten)]
    optimizer: OptimizerFlags,
}

#[derive(Clone, PartialEq)]
struct ModelWord {
    kind: String,
    is_bigram: bool,
}

fn parse_model(word: &str) -> std::result::Result<ModelWord, String> {
    if word == "bigram" {
        return Ok(ModelWord { kind: "ngram".to_owned(), is_bigram: true });
    }
    Ok(ModelWord { kind: word.to_owned(), is_bigram: false })
}

/// The configuration that `--preset` and `--config` make.
pub fn base(preset: Option<&str>, file: Option<&std::path::Path>) -> Result<Config> {
    let preset = preset.map(presets::get).transpose()?;
    charloom::read_config(preset.map(|preset| preset.toml), file)
}

/// Overwrites a setting if its flag is given.
fn set<T: Clone>(place: &mut T, flag: Option<&T>) {
    if let Some(value) = flag {
        place.clone_from(value);
    }
}

/// Overwrites an optional setting if its flag is given.
fn put<T: Clone>(place: &mut Option<T>, flag: Option<&T>) {
    if flag.is_some() {
        *place = flag.cloned();
    }
}

impl ModelFlags {
    /// The kind of model, if `--model` is given.
    pub fn kind(&self) -> Option<&str> {
        self.model.as_ref().map(|word| word.kind.as_str())
    }

    /// Whether any flag of the model but `--context` is given.
    pub fn has_flags_but_context(&self) -> bool {
        *self != Self { context: self.context, ..Self::default() }
    }

    /// Applies the given flags to the configuration.
    ///
    /// # Errors
    /// A flag that the kind of model does not have, or a value out of range.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        let model = &mut config.model;
        if let Some(word) = &self.model {
            // The settings so far, as of a preset, are of another kind of model: start from this kind's
            // defaults.
            if word.kind != model.kind {
                *model = ModelConfig::of(&word.kind);
                config.notebook = None;
            }
            if word.is_bigram {
                *model = ModelConfig::of("ngram").with("order", 2).with("smoothing", "add-k").with("k", 1.0);
            }
        }
        let mut set =
            |key: &str, value: Option<Value>| value.into_iter().for_each(|value| model.set(key, value));
        set("context", self.context.map(Value::from));
        set("embed", self.embed.map(Value::from));
        set("hidden", self.hidden.clone().map(Value::from));
        set("activation", self.activation.map(|word| word.word().into()));
        set("norm", self.norm.map(|word| word.word().into()));
        set("dropout", self.dropout.map(Value::from));
        set("layers", self.layers.map(Value::from));
        set("embed_dropout", self.embed_dropout.map(Value::from));
        set("recurrent_dropout", self.recurrent_dropout.map(Value::from));
        set("bias", self.bias.map(Value::from));
        set("init", self.init.map(|word| word.word().into()));
        set("gain", self.gain.map(Value::from));
        set("output_scale", self.output_scale.map(Value::from));
        set("order", self.order.map(Value::from));
        set("smoothing", self.smoothing.map(|word| word.word().into()));
        set("k", self.k.map(Value::from));
        self.decoder.apply(model);
        models::check(model)?;
        Ok(())
    }
}

impl TrainFlags {
    /// Applies the given flags to the configuration.
    ///
    /// # Errors
    /// A flag that has no effect with the other settings.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        let train = &mut config.train;
        set(&mut train.steps, self.steps.as_ref());
        set(&mut train.batch, self.batch.as_ref());
        put(&mut train.feed, self.feed.as_ref());
        set(&mut train.lr, self.lr.as_ref());
        if let Some(drops) = &self.lr_drops {
            train.lr_drops.clone_from(drops);
            train.schedule = Schedule::Drops;
        }
        if let Some(stages) = &self.lr_at {
            train.lr_at.clone_from(stages);
            train.schedule = Schedule::Stages;
        }
        set(&mut train.schedule, self.schedule.as_ref());
        set(&mut train.lr_min, self.lr_min.as_ref());
        // A flag for one form of the warmup replaces the configuration's other form.
        if self.warmup.is_some() != self.warmup_steps.is_some() {
            (train.warmup, train.warmup_steps) = (0.0, 0);
        }
        set(&mut train.warmup, self.warmup.as_ref());
        set(&mut train.warmup_steps, self.warmup_steps.as_ref());
        set(&mut train.decay, self.decay.as_ref());
        put(&mut train.init_from, self.init_from.as_ref());
        set(&mut train.freeze, self.freeze.as_ref());
        set(&mut train.generator, self.generator.as_ref());
        set(&mut train.seed, self.seed.as_ref());
        put(&mut train.eval_every, self.eval_every.as_ref());
        put(&mut train.eval_size, self.eval_size.as_ref());
        put(&mut train.log_every, self.log_every.as_ref());
        set(&mut train.patience, self.patience.as_ref());
        self.optimizer.apply(train);
        if let Some(path) = &self.teacher {
            train.teacher =
                Some(TeacherConfig { path: path.clone(), sha256: None, weight: 0.5, temperature: 1.0 });
        }
        let of_teacher = [
            ("teacher_weight", self.teacher_weight.is_some()),
            ("teacher_temperature", self.teacher_temperature.is_some()),
        ];
        if let Some(teacher) = &mut train.teacher {
            set(&mut teacher.weight, self.teacher_weight.as_ref());
            set(&mut teacher.temperature, self.teacher_temperature.as_ref());
        } else if let Some((key, _)) = of_teacher.into_iter().find(|(_, given)| *given) {
            return Err(Error::setting(key, "has no effect: there is no ``teacher``"));
        }
        self.check(config)
    }

    /// The names of the flags that are given.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("--steps", self.steps.is_some()),
            ("--batch", self.batch.is_some()),
            ("--feed", self.feed.is_some()),
            ("--lr", self.lr.is_some()),
            ("--lr-drops", self.lr_drops.is_some()),
            ("--lr-at", self.lr_at.is_some()),
            ("--schedule", self.schedule.is_some()),
            ("--lr-min", self.lr_min.is_some()),
            ("--warmup", self.warmup.is_some()),
            ("--warmup-steps", self.warmup_steps.is_some()),
            ("--decay", self.decay.is_some()),
            ("--init-from", self.init_from.is_some()),
            ("--freeze", self.freeze.is_some()),
            ("--generator", self.generator.is_some()),
            ("--seed", self.seed.is_some()),
            ("--eval-every", self.eval_every.is_some()),
            ("--eval-size", self.eval_size.is_some()),
            ("--log-every", self.log_every.is_some()),
            ("--patience", self.patience.is_some()),
            ("--teacher", self.teacher.is_some()),
        ];
        let given = given.into_iter().chain(self.optimizer.given());
        given.filter_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// Refuses each of `flags` that is given, since it has no effect for the reason `why`.
    ///
    /// # Errors
    /// One of `flags` is given; the message names the first.
    pub fn refuse(&self, flags: &[&[&str]], why: &str) -> Result<()> {
        let is_one = |flag: &&str| flags.iter().any(|flags| flags.contains(flag));
        self.given().find(is_one).map_or(Ok(()), |flag| Err(without_effect(flag, why)))
    }

    fn check(&self, config: &Config) -> Result<()> {
        let (train, mut given) = (&config.train, self.given());
        if models::counts(config)? {
            let why = format!("a model of kind {:?} is counted in one pass", config.model.kind);
            return given.next().map_or(Ok(()), |flag| Err(without_effect(flag, &why)));
        }
        let falls = matches!(train.schedule, Schedule::Cosine | Schedule::Linear | Schedule::Wsd);
        let effects = [
            ("--lr-drops", train.schedule == Schedule::Drops, "it is of --schedule drops"),
            ("--lr-at", train.schedule == Schedule::Stages, "it is of --schedule stages"),
            ("--decay", train.schedule == Schedule::Wsd, "it is of --schedule wsd"),
            ("--lr-min", falls, "it is of --schedule cosine, linear and wsd"),
        ];
        let effects = effects.into_iter().chain(OptimizerFlags::effects(train));
        let without: Vec<_> = effects.filter(|(_, has_effect, _)| !has_effect).collect();
        let at_fault = given.find_map(|flag| without.iter().find(|(other, ..)| *other == flag));
        at_fault.map_or(Ok(()), |(flag, _, why)| Err(without_effect(flag, why)))
    }
}

/// The flags of the learning rate.
pub const RATES: &[&str] =
    &["--lr", "--lr-drops", "--lr-at", "--schedule", "--lr-min", "--warmup", "--warmup-steps", "--decay"];
/// The flags of evaluations and of the metrics' log during training.
pub const EVALUATIONS: &[&str] = &["--eval-every", "--eval-size", "--log-every", "--patience"];

fn without_effect(flag: &str, why: &str) -> Error {
    Error::usage(format!("{flag} has no effect: {why}"))
}
