//! The flags of the training.

use std::path::PathBuf;

use charloom::config::{
    Batch, Feed, Generator, Schedule, TeacherConfig, parse_freeze, parse_lr_at, parse_lr_drops,
};
use charloom::{Config, Error, Result, models};

use super::flags::{Flags, Given, flags};
use super::optimizer::OptimizerFlags;

// clap takes a field of type `Option<Vec<_>>` for a repeated flag; behind an alias a list is one value.
type Drops = Vec<(f64, f64)>;
type Stages = Vec<(u64, f64)>;
type Names = Vec<String>;

/// The training.
#[derive(clap::Args, Default, PartialEq)]
#[command(next_help_heading = "Training")]
pub struct TrainFlags {
    #[command(flatten)]
    pub batches: BatchFlags,
    #[command(flatten)]
    rates: RateFlags,
    #[command(flatten)]
    pub start: StartFlags,
    #[command(flatten)]
    evaluations: EvaluationFlags,
    /// A finished run to learn from besides the text: with words it is asked once for each beginning of a word, with
    /// a running text once for each character of the training split, all of which it reads as an evaluation does
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

flags! {
    /// The steps, and the batches that they learn from.
    pub BatchFlags of train {
        /// Updates [default: 200000]
        pub steps("N"): u64;
        /// Examples of a step, or full [default: 32]
        batch("B"): Batch;
        /// How batches are drawn: words; streams or random pieces of a running text [default: as suits model and
        /// data]
        feed("NAME"): Feed;
    }
}

flags! {
    /// The learning rate.
    RateFlags of train {
        /// Learning rate [default: 0.1]
        lr("X"): f64;
        /// After the fraction AT of the steps, multiply the learning rate by BY [default: 0.5:0.1]
        #[arg(value_parser = parse_lr_drops)]
        lr_drops("AT:BY,..."): Drops, "it is of --schedule drops",
            |config| config.train.schedule == Schedule::Drops;
        /// From step STEP on, the rate RATE: 100001:.001,150001:.01 [default: none]
        #[arg(value_parser = parse_lr_at)]
        lr_at("STEP:RATE,..."): Stages, "it is of --schedule stages",
            |config| config.train.schedule == Schedule::Stages;
        /// constant, drops, stages (of --lr-at), cosine, linear, wsd [default: drops]
        schedule("NAME"): Schedule;
        /// Learning rate that cosine, linear and wsd fall to [default: 0]
        lr_min("X"): f64, "it is of --schedule cosine, linear and wsd",
            |config| matches!(config.train.schedule, Schedule::Cosine | Schedule::Linear | Schedule::Wsd);
        /// Share of the run in which the learning rate rises from 0 [default: 0]
        warmup("X"): f64;
        /// The warm-up as a number of steps [default: 0]
        warmup_steps("N"): u64;
        /// Share of the run in which wsd falls [default: 0.2]
        decay("X"): f64, "it is of --schedule wsd", |config| config.train.schedule == Schedule::Wsd;
    }
}

flags! {
    /// What the training begins with.
    pub StartFlags of train {
        /// Begin with the weights of this run, and with its model where no preset or configuration says another
        pub init_from("RUN"): PathBuf;
        /// Parameters that stay as drawn, or layers of which all do: embedding.weight,layers.0 [default: none]
        #[arg(value_parser = parse_freeze)]
        freeze("NAME,..."): Names;
        /// separate: one for the split, one for parameters and minibatches; shared: one for both, and samples go on
        /// with it [default: separate]
        generator("NAME"): Generator;
        /// Seed of parameters and minibatches [default: 2147483647]
        seed("N"): u64;
    }
}

flags! {
    /// Evaluations and the metrics' log during training.
    EvaluationFlags of train {
        /// Steps between evaluations [default: a twentieth of the run, or more to keep them to a tenth of the time]
        eval_every("N"): u64;
        /// Characters of the training split that an evaluation judges; 0: all [default: all, or the validation
        /// split's number]
        eval_size("N"): usize;
        /// Steps between lines of the metrics [default: a thousandth of the run]
        log_every("N"): u64;
        /// Stop after this many evaluations without a better validation loss; 0: never [default: 0]
        patience("N"): u64;
    }
}

/// The keys of the learning rate's flags.
pub const RATES: &[&str] = RateFlags::KEYS;
/// The keys of the flags of evaluations and of the metrics' log.
pub const EVALUATIONS: &[&str] = EvaluationFlags::KEYS;
/// The keys of the flags of other runs, whose weights or distributions a training uses.
pub const RUNS: &[&str] = &["init_from", "teacher", "teacher_weight", "teacher_temperature"];
/// The keys of the optimizer's flags.
pub const OPTIMIZER: &[&str] = OptimizerFlags::KEYS;

impl TrainFlags {
    /// Applies the given flags to the configuration.
    ///
    /// # Errors
    /// A flag that has no effect with the other settings.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        self.batches.write(config);
        self.rates.apply(config);
        self.start.write(config);
        self.evaluations.write(config);
        self.optimizer.write(config);
        self.apply_teacher(config)?;
        self.check(config)
    }

    fn apply_teacher(&self, config: &mut Config) -> Result<()> {
        if let Some(path) = &self.teacher {
            config.train.teacher =
                Some(TeacherConfig { path: path.clone(), sha256: None, weight: 0.5, temperature: 1.0 });
        }
        let none = |key| Err(Error::setting(key, "has no effect: there is no ``teacher``"));
        match &mut config.train.teacher {
            Some(teacher) => {
                teacher.weight = self.teacher_weight.unwrap_or(teacher.weight);
                teacher.temperature = self.teacher_temperature.unwrap_or(teacher.temperature);
            }
            None if self.teacher_weight.is_some() => return none("teacher_weight"),
            None if self.teacher_temperature.is_some() => return none("teacher_temperature"),
            None => {}
        }
        Ok(())
    }

    /// The flags that are given, in the order of `--help`.
    fn given(&self) -> impl Iterator<Item = Given> {
        let teacher = [
            ("teacher", self.teacher.is_some()),
            ("teacher_weight", self.teacher_weight.is_some()),
            ("teacher_temperature", self.teacher_temperature.is_some()),
        ];
        let teacher = teacher.into_iter().filter_map(|(key, is_given)| is_given.then_some(Given::new(key)));
        let before = [self.batches.given(), self.rates.given(), self.start.given(), self.evaluations.given()];
        before.into_iter().flatten().chain(teacher).chain(self.optimizer.given())
    }

    /// Refuses each flag of these keys that is given, since it has no effect for the reason `why`.
    ///
    /// # Errors
    /// One of them is given; the message names the first.
    pub fn refuse(&self, keys: &[&[&str]], why: &str) -> Result<()> {
        let is_one = |flag: &Given| keys.iter().any(|keys| keys.contains(&flag.key));
        self.given().find(is_one).map_or(Ok(()), |flag| Err(flag.without_effect(why)))
    }

    fn check(&self, config: &Config) -> Result<()> {
        let mut given = self.given();
        if models::has_no_steps(config)? {
            let Some(flag) = given.next() else { return Ok(()) };
            models::refuse_mixture(config)?;
            let why = format!("a model of kind {:?} is counted in one pass", config.model.kind);
            return Err(flag.without_effect(&why));
        }
        given.try_for_each(|flag| flag.check(config))
    }
}

impl RateFlags {
    fn apply(&self, config: &mut Config) {
        let train = &mut config.train;
        // Drops and stages choose the schedule, unless `--schedule` does.
        if self.lr_drops.is_some() {
            train.schedule = Schedule::Drops;
        }
        if self.lr_at.is_some() {
            train.schedule = Schedule::Stages;
        }
        // A flag for one form of the warmup replaces the configuration's other form.
        if self.warmup.is_some() != self.warmup_steps.is_some() {
            (train.warmup, train.warmup_steps) = (0.0, 0);
        }
        self.write(config);
    }
}
