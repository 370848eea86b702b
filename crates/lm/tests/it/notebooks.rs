//! What the notebooks print, as torch 2.15 computes it (`fixtures/notebooks`, `docs/notebooks.md`).

use charloom::config::{NotebookConfig, RandomStream};
use charloom::data::{Data, Mode, Split, Vocab};
use charloom::evaluation::evaluate;
use charloom::files::NamedTensor;
use charloom::models::{self, LanguageModel};
use charloom::sample::{Sampler, notebook};
use charloom::train::Trainer;
use charloom::{Checkpoint, Config, load_data, presets};
use charloom_tensor::rng::TorchGenerator;
use charloom_testkit::{assert_close, fixture, shared_data};
use serde::Deserialize;

/// The configuration of a preset on names.txt, and its data.
fn preset(name: &str, change: impl FnOnce(&mut Config)) -> (Config, Data) {
    let mut config = Config::layered(Some(presets::get(name).expect("a preset").toml), None).expect("valid");
    config.data.path = Some(shared_data("names.txt"));
    change(&mut config);
    let data = load_data(&mut config).expect("names");
    (config, data)
}

/// Where a generator stands: its next four numbers modulo 2^27.
fn position(mut generator: TorchGenerator) -> [u32; 4] {
    let mut next = [0; 4];
    generator.randint_into(1 << 27, &mut next);
    next
}

/// Trains up to the last of these steps; the minibatch losses at them.
fn losses(trainer: &mut Trainer, at: &[(u64, f64)]) -> Vec<f32> {
    let last = at.last().expect("some steps").0;
    let all: Vec<f32> = (0..=last).map(|_| trainer.step().expect("a step")).collect();
    at.iter().map(|&(step, _)| all[step as usize]).collect()
}

/// Trains up to the last of these steps, whose losses are expected so closely.
fn check_losses(trainer: &mut Trainer, expected: &[(u64, f64)], within: f64) {
    let seen = losses(trainer, expected);
    let expected: Vec<f64> = expected.iter().map(|&(_, loss)| loss).collect();
    assert_close(&seen[..1], &expected[..1], 1e-5, 0.0);
    assert_close(&seen, &expected, 0.0, within);
}

fn loss(model: &dyn LanguageModel, split: &Split) -> f64 {
    evaluate(model, split).expect("finite").expect("judged").loss
}

/// The names that the notebook's way to draw gives from a checkpoint.
fn names(checkpoint: &Checkpoint) -> Vec<String> {
    let model = models::open(checkpoint, "a checkpoint".as_ref()).expect("a model");
    let (options, generator) = notebook(checkpoint).expect("a notebook's way");
    let sampler = Sampler::new(&*model, &checkpoint.vocab, options, None).expect("a sampler");
    sampler.with_generator(generator).map(|sample| sample.expect("a name").text).collect()
}

#[derive(Deserialize)]
struct Deep {
    words: [usize; 3],
    firsts: [String; 3],
    examples: [usize; 3],
    position_after: Positions,
    trained: DeepRun,
    frozen: DeepRun,
    printed: Printed,
}

#[derive(Deserialize)]
struct Positions {
    parameters: [u32; 4],
    training: [u32; 4],
}

#[derive(Deserialize)]
struct DeepRun {
    losses: Vec<(u64, f64)>,
    splits: [f64; 3],
    exponential: Vec<String>,
}

#[derive(Deserialize)]
struct Printed {
    names: Vec<String>,
}

fn deep(freeze: &[String], data: impl FnOnce(&Data)) -> Trainer {
    let (config, read) = preset("deep-batchnorm", |config| config.train.freeze = freeze.to_vec());
    data(&read);
    Trainer::new(&config, &read).expect("a training")
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn the_deep_nets_one_generator_draws_split_parameters_and_batches() {
    let golden: Deep = fixture("notebooks/deep.json");
    let check_data = |data: &Data| {
        let splits = [&data.splits.train, &data.splits.val, &data.splits.test];
        assert_eq!(splits.map(|split| split.words().count()), golden.words);
        assert_eq!(splits.map(|split| split.tokens().len()), golden.examples);
        let first = splits.map(|split| data.vocab.decode(split.words().next().expect("a word")));
        assert_eq!(first, golden.firsts);
    };
    let mut trainer = deep(&[], check_data);
    let generator = trainer.checkpoint().expect("finite").generator().expect("a generator");
    assert_eq!(position(generator), golden.position_after.parameters);
    let up_to = |run: &DeepRun, last: u64| {
        run.losses.iter().copied().filter(|(step, _)| *step <= last).collect::<Vec<_>>()
    };
    check_losses(&mut trainer, &up_to(&golden.trained, 500), 1e-3);

    let freeze = ["embedding.weight".to_owned()];
    let mut trainer = deep(&freeze, |_| {});
    let before = trainer.weights().expect("finite").tensor("embedding.weight").cloned();
    check_losses(&mut trainer, &up_to(&golden.frozen, 200), 1e-3);
    assert_eq!(trainer.weights().expect("finite").tensor("embedding.weight").cloned(), before);
}

#[test]
#[ignore = "some minutes: cargo test --release -p charloom --test it -- --ignored notebooks"]
fn the_deep_net_ends_as_printed() {
    let golden: Deep = fixture("notebooks/deep.json");
    for (freeze, run, printed) in
        [(vec!["embedding".to_owned()], &golden.frozen, 10), (vec![], &golden.trained, 2)]
    {
        let mut read = None;
        let mut trainer = deep(&freeze, |data| read = Some(data.clone()));
        check_losses(&mut trainer, &run.losses, 2e-3);
        let checkpoint = trainer.checkpoint().expect("finite");
        assert_eq!(position(checkpoint.generator().expect("a generator")), golden.position_after.training);
        let splits = read.expect("read").splits;
        let splits = [splits.train, splits.val, splits.test].map(|split| loss(trainer.model(), &split));
        assert_close(&splits, &run.splits, 0.0, 2e-3);
        let drawn = names(&checkpoint);
        println!("{splits:?} {drawn:?}");
        assert!(
            drawn.iter().filter(|name| golden.printed.names.contains(name)).count() >= printed,
            "{drawn:?}"
        );
        let equal = drawn.iter().zip(&run.exponential).filter(|(ours, torchs)| ours == torchs).count();
        assert!(equal >= 8, "{equal}");
    }
}

#[derive(Deserialize)]
struct Single {
    single_layer: SingleRun,
    mlp_2d: SingleRun,
}

#[derive(Deserialize)]
struct SingleRun {
    losses: Vec<(u64, f64)>,
    val: Option<f64>,
    exponential: Vec<String>,
    cumulative: Vec<String>,
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn the_smaller_nets_of_000_train_and_draw_as_in_torch() {
    let golden: Single = fixture("notebooks/single.json");
    // From step 100 on, rounding decides how the plane's net goes on (in torch f32 and f64 are 2.2 apart at step 500),
    // and with it the names.
    for (name, run, losses, equal) in
        [("single-layer", &golden.single_layer, 21, 10), ("mlp-2d", &golden.mlp_2d, 3, 0)]
    {
        let (config, data) = preset(name, |_| {});
        let mut trainer = Trainer::new(&config, &data).expect("a training");
        check_losses(&mut trainer, &run.losses[..losses], 1e-3);
        while trainer.steps_done() < config.train.steps {
            trainer.step().expect("a step");
        }
        if let Some(val) = run.val {
            assert_close(&[loss(trainer.model(), &data.splits.val)], &[val], 0.0, 0.1);
        }
        let mut checkpoint = trainer.checkpoint().expect("finite");
        assert_eq!(names(&checkpoint)[..equal], run.exponential[..equal], "{name}");
        checkpoint.config.notebook.as_mut().expect("a notebook").stream = RandomStream::TorchCdf;
        assert_eq!(names(&checkpoint)[..equal], run.cumulative[..equal], "{name}");
    }
}

#[derive(Deserialize)]
struct Bengio {
    printed: Printed,
    runs: Vec<BengioRun>,
    weights: Weights,
}

#[derive(Deserialize)]
struct BengioRun {
    losses: Vec<(u64, f64)>,
    train: f64,
    val: f64,
    exponential: Vec<String>,
    cumulative: Vec<String>,
}

#[derive(Deserialize)]
struct Weights {
    #[serde(rename = "C")]
    c: Packed,
    #[serde(rename = "W1")]
    w1: Packed,
    b1: Packed,
    #[serde(rename = "W2")]
    w2: Packed,
    b2: Packed,
}

#[derive(Deserialize)]
struct Packed {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Packed {
    fn tensor(self, name: &str) -> NamedTensor {
        NamedTensor::f32(name, &self.shape, self.data)
    }

    /// (in, out) as (out, in)
    fn turned(self) -> Self {
        let (rows, columns) = (self.shape[0], self.shape[1]);
        let data = (0..columns)
            .flat_map(|j| (0..rows).map(move |i| (i, j)))
            .map(|(i, j)| self.data[i * columns + j]);
        Self { shape: vec![columns, rows], data: data.collect() }
    }
}

#[test]
fn all_names_of_001_are_torchs_on_the_same_weights() {
    let Bengio { runs, weights, .. } = fixture("notebooks/bengio_printed.json");
    let mut config =
        Config::layered(Some(presets::get("bengio-printed").expect("a preset").toml), None).expect("valid");
    models::fill(&mut config.model).expect("valid");
    let Weights { c, w1, b1, w2, b2 } = weights;
    let mut checkpoint = Checkpoint {
        config,
        vocab: Vocab::new(Mode::Lines, 'a'..='z'),
        step: 200_000,
        metrics_bytes: 0,
        tensors: vec![
            c.tensor("embedding.weight"),
            w1.turned().tensor("layers.0.weight"),
            b1.tensor("layers.0.bias"),
            w2.turned().tensor("layers.2.weight"),
            b2.tensor("layers.2.bias"),
        ],
        state: Vec::new(),
    };
    assert_eq!(names(&checkpoint), runs[0].exponential);
    checkpoint.config.notebook.as_mut().expect("a notebook").stream = RandomStream::TorchCdf;
    assert_eq!(names(&checkpoint), runs[0].cumulative);
    // Without a seed of their own, names go on with the training's generator, which is not in it.
    checkpoint.config.notebook = Some(NotebookConfig { samples: 1, stream: RandomStream::Torch, seed: None });
    assert!(notebook(&checkpoint).unwrap_err().to_string().contains("last.safetensors"));
    checkpoint.config.notebook = None;
    assert!(notebook(&checkpoint).unwrap_err().to_string().contains("no [notebook]"));
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn names_of_001_come_out_of_a_training() {
    let golden: Bengio = fixture("notebooks/bengio_printed.json");
    let (config, data) = preset("bengio-printed", |_| {});
    let mut trainer = Trainer::new(&config, &data).expect("a training");
    check_losses(&mut trainer, &golden.runs[0].losses[..12], 1e-3);
    while trainer.steps_done() < config.train.steps {
        trainer.step().expect("a step");
    }
    let splits = [&data.splits.train, &data.splits.val].map(|split| loss(trainer.model(), split));
    assert_close(&splits, &[golden.runs[0].train, golden.runs[0].val], 0.0, 0.01);
    let drawn = names(&trainer.checkpoint().expect("finite"));
    let printed = drawn.iter().filter(|name| golden.printed.names.contains(name)).count();
    println!("{splits:?} {drawn:?}");
    assert!(drawn.len() == 20 && printed >= 5, "{printed} of {drawn:?}");
}

#[derive(Deserialize)]
struct Stack {
    runs: Vec<StackRun>,
}

#[derive(Deserialize)]
struct StackRun {
    bug: bool,
    torch_norm: bool,
    parameters: u64,
    losses: Vec<(u64, f64)>,
    train: f64,
    test: f64,
}

/// 003's stack with its bug and without, as torch's own norm has it.
fn layers() -> Vec<(StackRun, Trainer, Data)> {
    let runs = fixture::<Stack>("notebooks/stack.json").runs.into_iter().filter(|run| run.torch_norm);
    runs.map(|run| {
        let freeze =
            if run.bug { vec!["layers.0.weight".to_owned(), "layers.3.weight".to_owned()] } else { vec![] };
        let frozen: u64 = if run.bug { 21 * 200 + 200 * 27 } else { 0 };
        let (config, data) = preset("layers", |config| config.train.freeze = freeze);
        let all = models::parameters(&config, data.vocab.len()).expect("valid").expect("neural");
        assert_eq!(all - frozen, run.parameters);
        let trainer = Trainer::new(&config, &data).expect("a training");
        (run, trainer, data)
    })
    .collect()
}

#[test]
#[ignore = "reads names.txt, which is no part of the repository, in ../shared/data"]
fn the_stack_of_003_learns_with_its_bug_and_without() {
    let runs = layers();
    assert_eq!(runs.len(), 2);
    for (run, mut trainer, _) in runs {
        check_losses(&mut trainer, &run.losses[..12], 1e-3);
    }
}

#[test]
#[ignore = "a minute: cargo test --release -p charloom --test it -- --ignored notebooks"]
fn the_stack_of_003_ends_as_printed() {
    for (run, mut trainer, data) in layers() {
        for _ in 0..trainer.config().train.steps {
            trainer.step().expect("a step");
        }
        let splits = [&data.splits.train, &data.splits.test].map(|split| loss(trainer.model(), split));
        println!("bug {}: {splits:?}", run.bug);
        assert_close(&splits, &[run.train, run.test], 0.0, 0.01);
        let printed = [2.391, 2.390];
        assert!(!run.bug || splits.iter().zip(printed).all(|(ours, theirs)| (ours - theirs).abs() < 0.01));
    }
}

#[derive(Deserialize)]
struct Unfinished {
    printed: f32,
    lanes: usize,
    seeds: Vec<Case>,
    seed_2: Bits,
}

#[derive(Deserialize)]
struct Case {
    seed: u64,
    without: Compared,
    with_: Compared,
}

#[derive(Deserialize)]
struct Compared {
    exact: bool,
    difference: f32,
}

#[derive(Deserialize)]
struct Bits {
    norm_logits: Vec<i32>,
    d_norm_logits: Vec<i32>,
    d_logits: Vec<i32>,
    d_logit_maxes: Vec<i32>,
}

#[test]
fn the_printed_difference_of_004_is_that_of_the_missing_term() {
    let Unfinished { printed, lanes, seeds, seed_2 } = fixture("notebooks/unfinished.json");
    let floats = |bits: &[i32]| bits.iter().map(|&bits| f32::from_bits(bits as u32)).collect::<Vec<f32>>();
    let [norm_logits, without, right] =
        [&seed_2.norm_logits, &seed_2.d_norm_logits, &seed_2.d_logits].map(|bits| floats(bits));
    // torch's sum of a row: what is left over behind the whole vectors, one by one, then each lane of the vectors' sum.
    let sum = |row: &[f32]| {
        let (whole, rest) = row.split_at(row.len() / lanes * lanes);
        let mut sums = vec![0.0f32; lanes];
        whole.chunks_exact(lanes).for_each(|chunk| sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x));
        rest.iter().chain(&sums).fold(0.0f32, |sum, x| sum + x)
    };
    let maxes: Vec<f32> = without.chunks_exact(27).map(|row| -sum(row)).collect();
    assert_eq!(maxes, floats(&seed_2.d_logit_maxes));
    let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert_eq!(largest(&without, &right), printed);
    let mut with = without.clone();
    for ((row, norm), max) in with.chunks_exact_mut(27).zip(norm_logits.chunks_exact(27)).zip(&maxes) {
        let top = norm.iter().position(|&x| x == 0.0).expect("a largest logit");
        row[top] += max;
    }
    assert_eq!(largest(&with, &right), 0.0);
    let seed_2 = seeds.iter().find(|case| case.seed == 2).expect("seed 2");
    assert!(!seed_2.without.exact && seed_2.without.difference == printed && seed_2.with_.difference == 0.0);
    assert!(seeds.iter().all(|case| case.with_.exact && !case.without.exact));
}
