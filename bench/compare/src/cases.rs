//! The cases of the comparison: models, data, and charloom's goals.

use protocol::Task;

/// Where a case's text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `names.txt`.
    Names,
    /// Tiny Shakespeare.
    Shakespeare,
    /// Random words over the given number of characters, the boundary included.
    Synthetic(usize),
}

/// A goal for charloom's speed.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The column of charloom's that has the goal.
    pub ours: &'static str,
    /// How many times as fast as `torch` (eager, one thread) it should be at least.
    pub ratio: f64,
}

/// A case of the comparison.
#[derive(Clone, Debug)]
pub struct Definition {
    /// A short name, for `--only`.
    pub name: String,
    /// One line about it.
    pub about: String,
    /// Its text.
    pub source: Source,
    /// Its configuration, as charloom's TOML.
    pub config: String,
    /// The task that is timed.
    pub task: Task,
    /// The largest difference of the peers' losses after the first steps, relative to the loss.
    pub tolerance: f64,
    /// The goals.
    pub goals: Vec<Goal>,
    /// The sweep that it belongs to, and the value of the size that is swept.
    pub sweep: Option<(&'static str, usize)>,
}

/// Adding in another order makes at most this difference after ten steps.
const ROUNDING: f64 = 1e-3;

fn goal(ours: &'static str, ratio: f64) -> Goal {
    Goal { ours, ratio }
}

fn step(name: impl Into<String>, about: impl Into<String>, config: String) -> Definition {
    Definition {
        name: name.into(),
        about: about.into(),
        source: Source::Names,
        config,
        task: Task::Step,
        tolerance: ROUNDING,
        goals: Vec::new(),
        sweep: None,
    }
}

/// Notebook 001's net: T characters of E numbers each, H tanh neurons.
fn mlp(context: usize, embed: usize, hidden: usize, batch: usize) -> String {
    format!("[model]\ncontext = {context}\nembed = {embed}\nhidden = [{hidden}]\n[train]\nbatch = {batch}\n")
}

/// A preset with minibatches from a separate generator, as the peers' are.
fn preset(name: &str) -> String {
    let preset = charloom::presets::get(name).expect("a built-in preset");
    preset.toml.replace("generator = \"shared\"\n", "")
}

/// All cases.
pub fn all() -> Vec<Definition> {
    let mut all = vec![
        step("single-layer", "one 27 x 27 matrix, all of names.txt at once", preset("single-layer")),
        Definition {
            goals: vec![goal("train", 15.0), goal("train-2", 22.0)],
            ..step("mlp-32", "3 x 10 -> 200 tanh -> 27, B = 32", mlp(3, 10, 200, 32))
        },
        step("mlp-128", "the same, B = 128", mlp(3, 10, 200, 128)),
        Definition {
            goals: vec![goal("train", 10.0), goal("train-2", 14.0)],
            ..step("mlp-1024", "the same, B = 1024", mlp(3, 10, 200, 1024))
        },
        step("mlp-4096", "the same, B = 4096", mlp(3, 10, 200, 4096)),
        step(
            "batchnorm",
            "004's net: 3 x 10 -> 200, BatchNorm, tanh -> 27, B = 32",
            preset("manual-backprop"),
        ),
        Definition {
            goals: vec![goal("charloom", 3.7), goal("charloom-2", 6.0)],
            ..step("deep", "8 x 10 -> 6 x (200, BatchNorm, tanh) -> 27, B = 32", preset("deep-batchnorm"))
        },
        Definition {
            source: Source::Shakespeare,
            goals: vec![goal("charloom", 20.0)],
            ..step("gelu", "one-hot 65 -> 128 gelu -> 65, B = 1024", preset("shakespeare-mlp"))
        },
        step(
            "adamw",
            "mlp-32 with AdamW",
            mlp(3, 10, 200, 32) + "optimizer = \"adamw\"\nlr = 0.001\nweight_decay = 0.01\n",
        ),
        Definition {
            // Each peer's dropout drops other values.
            tolerance: 0.15,
            goals: vec![goal("charloom", 3.0)],
            ..step(
                "outside",
                "outside the fused patterns: 3 x 10 -> 200, LayerNorm, relu, dropout 0.1 -> 27, B = 32",
                mlp(3, 10, 200, 32)
                    .replace("[train]", "activation = \"relu\"\nnorm = \"layer\"\ndropout = 0.1\n[train]"),
            )
        },
    ];
    let whole = |name: &str, about: &str, task, ratio: Option<f64>| Definition {
        task,
        goals: ratio.map(|ratio| goal("charloom", ratio)).into_iter().collect(),
        ..step(name, about, mlp(3, 10, 200, 32))
    };
    all.extend([
        whole("evaluate", "loss of the whole training split, T = 3", Task::Evaluate, Some(300.0)),
        whole(
            "sample",
            "10,000 names, one after the other where a peer has a loop",
            Task::Sample,
            Some(100.0),
        ),
        whole("sample-batched", "10,000 names, side by side", Task::SampleBatched, None),
        whole("score", "log-likelihood of each name of the training split", Task::Score, None),
    ]);
    let sweep = |name: &'static str, size: usize, source, config| Definition {
        source,
        sweep: Some((name, size)),
        ..step(format!("{name}-{size}"), format!("mlp-32 with {name} {size}"), config)
    };
    all.extend([50, 100, 400, 800, 1600].map(|h| sweep("hidden", h, Source::Names, mlp(3, 10, h, 32))));
    all.extend([1, 2, 6, 12, 24].map(|t| sweep("context", t, Source::Names, mlp(t, 10, 200, 32))));
    all.extend([8, 64, 512, 8192].map(|b| sweep("batch", b, Source::Names, mlp(3, 10, 200, b))));
    all.extend(
        [27, 100, 500, 1000, 5000].map(|v| sweep("vocab", v, Source::Synthetic(v), mlp(3, 10, 200, 32))),
    );
    all
}

/// The operations of a step's matrix products: forward, the weights' gradient, and the inputs' gradient if
/// needed.
///
/// # Units
/// Floating-point operations, a multiplication and an addition counted as two.
pub fn flops(case: &protocol::Case) -> f64 {
    let batch = if case.batch == 0 { case.examples } else { case.batch } as f64;
    let inputs = case.context * if case.embed > 0 { case.embed } else { case.vocab };
    let widths: Vec<usize> =
        [inputs].into_iter().chain(case.hidden.iter().copied()).chain([case.vocab]).collect();
    let products = widths.windows(2).enumerate().map(|(i, pair)| {
        let passes = if i == 0 && case.embed == 0 { 2.0 } else { 3.0 };
        passes * 2.0 * batch * pair[0] as f64 * pair[1] as f64
    });
    products.sum()
}
