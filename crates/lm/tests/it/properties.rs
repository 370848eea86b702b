//! What holds of any checkpoint, configuration and vocabulary, and what is sampled against exact probabilities.

use std::path::Path;

use charloom::Checkpoint;
use charloom::config::{
    Activation, Batch, Config, DecayOn, Generator, ModelConfig, Norm, NotebookConfig, Optimizer,
    RandomStream, Schedule, Smoothing, TrainConfig,
};
use charloom::data::Corpus;
use charloom::data::Examples;
use charloom::data::Split;
use charloom::data::Vocab;
use charloom::data::{DataConfig, Mode, Normalize, Shuffle};
use charloom::files::NamedTensor;
use charloom::models::{LanguageModel, NGram, State};
use charloom::sample::{SampleOptions, Sampler};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// A whole number of TOML.
fn whole() -> impl Strategy<Value = u64> {
    0..=i64::MAX as u64
}

fn data() -> impl Strategy<Value = DataConfig> {
    let path = || option::of("\\PC{1,12}".prop_map(Into::into));
    let words = (
        option::of(select(vec![Mode::Lines, Mode::Text])),
        select(vec![Shuffle::Python, Shuffle::Torch, Shuffle::None]),
        option::of(select(vec![Normalize::Nfc, Normalize::Nfkd])),
    );
    (
        path(),
        option::of("[0-9a-f]{64}"),
        words,
        option::of(0.0..0.5),
        whole(),
        path(),
        path(),
        any::<[bool; 2]>(),
    )
        .prop_map(
            |(path, sha256, (mode, shuffle, normalize), part, split_seed, val, test, [dedupe, lossy])| {
                let split = part.map(|part: f64| [1.0 - 2.0 * part, part, part]);
                DataConfig {
                    path,
                    sha256: sha256.clone(),
                    mode,
                    split,
                    split_seed,
                    shuffle,
                    val_sha256: sha256.clone().filter(|_| val.is_some()),
                    test_sha256: sha256.clone().filter(|_| test.is_some()),
                    val,
                    test,
                    dedupe,
                    lossy,
                    normalize,
                }
            },
        )
}

fn model() -> impl Strategy<Value = ModelConfig> {
    let words = (
        select(vec!["mlp", "linear", "ngram"]),
        select(vec![Activation::Tanh, Activation::Relu, Activation::Gelu]),
        select(vec![Norm::None, Norm::Batch, Norm::Layer]),
        select(vec![Smoothing::AddK, Smoothing::KneserNey]),
    );
    let sizes = (1usize..=1024, 0usize..100, vec(1usize..100, 0..5), 1usize..=12);
    (words, sizes, 0.0..1.0, any::<bool>(), option::of(1e-9..=1000.0), 0.0..=1000.0, 1e-300..=1e6).prop_map(
        |(
            (kind, activation, norm, smoothing),
            (context, embed, hidden, order),
            dropout,
            bias,
            gain,
            scale,
            k,
        )| {
            let model = ModelConfig::of(kind);
            match kind {
                "ngram" => model.with("order", order).with("smoothing", smoothing).with("k", k),
                "linear" => model.with("context", context).with("bias", bias).with("output_scale", scale),
                _ => {
                    let model = model.with("context", context).with("embed", embed).with("hidden", hidden);
                    let model = model.with("activation", activation).with("norm", norm);
                    let model = model.with("dropout", dropout).with("bias", bias).with("output_scale", scale);
                    gain.into_iter().fold(model, |model, gain| model.with("gain", gain))
                }
            }
        },
    )
}

fn train() -> impl Strategy<Value = TrainConfig> {
    let schedules = [
        Schedule::Constant,
        Schedule::Drops,
        Schedule::Stages,
        Schedule::Cosine,
        Schedule::Linear,
        Schedule::Wsd,
    ]
    .to_vec();
    let words = (
        select(vec![Optimizer::Sgd, Optimizer::AdamW, Optimizer::RmsProp, Optimizer::Muon]),
        select(schedules),
    );
    let batch = prop_oneof![(2usize..1000).prop_map(Batch::Size), Just(Batch::Full)];
    let every = || option::of(1..=i64::MAX as u64);
    (
        (0u64..=1 << 40, batch, words, 0.0..=1e30, vec((0.0..=1.0, 0.0..=1000.0), 0..4)),
        (0.0..=1.0, 0.0..=1.0, 0.0..=1000.0, 0.0..1.0, 0.0..1.0, 0.0..1.0, 1e-300..=1.0, 0.0..=1e6),
        (whole(), every(), option::of(0..=i64::MAX as usize), every(), whole()),
        (any::<bool>(), any::<bool>(), 0.0..1.0, 0.0..=1e6, 1u64..=1 << 20, 0.0..1.0),
        (vec((0u64..=1 << 40, 0.0..=1e30), 0..4), vec("[a-z.0-9]{1,9}", 0..3), any::<bool>()),
    )
        .prop_map(
            |(first, second, (seed, eval_every, eval_size, log_every, patience), third, fourth)| {
                let (nesterov, on_matrices, alpha, clip_value, accumulate, ema) = third;
                let (mut lr_at, freeze, shared) = fourth;
                lr_at.sort_by_key(|&(at, _)| at);
                let (steps, batch, (optimizer, schedule), lr, lr_drops) = first;
                let (warmup, decay, weight_decay, momentum, beta1, beta2, eps, clip) = second;
                TrainConfig {
                    steps,
                    batch,
                    feed: None,
                    optimizer,
                    lr,
                    schedule,
                    lr_drops,
                    lr_at,
                    warmup,
                    decay,
                    weight_decay,
                    momentum,
                    beta1,
                    beta2,
                    eps,
                    clip,
                    freeze,
                    generator: if shared { Generator::Shared } else { Generator::Separate },
                    nesterov,
                    decay_on: if on_matrices { DecayOn::Matrices } else { DecayOn::All },
                    alpha,
                    clip_value,
                    accumulate,
                    ema,
                    lr_min: lr / 2.0,
                    warmup_steps: 0,
                    init_from: None,
                    seeds: 1,
                    teacher: None,
                    seed,
                    eval_every,
                    eval_size,
                    log_every,
                    patience,
                }
            },
        )
}

fn config() -> impl Strategy<Value = Config> {
    let stream = select(vec![RandomStream::Words, RandomStream::Torch, RandomStream::TorchCdf]);
    let notebook = (whole(), stream, option::of(whole()));
    let notebook = notebook.prop_map(|(samples, stream, seed)| NotebookConfig { samples, stream, seed });
    (data(), model(), train(), option::of(notebook)).prop_map(|(data, model, train, notebook)| Config {
        data,
        model,
        train,
        notebook,
    })
}

fn vocab() -> impl Strategy<Value = Vocab> {
    (select(vec![Mode::Lines, Mode::Text]), vec(any::<char>(), 1..30))
        .prop_map(|(mode, characters)| Vocab::new(mode, characters))
}

/// A tensor of any type and shape, its numbers any bits that are finite.
fn tensor() -> impl Strategy<Value = NamedTensor> {
    (".{0,12}", vec(0usize..4, 0..4), vec(any::<u64>(), 27), 0..5).prop_map(|(name, shape, bits, kind)| {
        let bits = &bits[..shape.iter().product()];
        let f32 = |bits: &u64| Some(f32::from_bits(*bits as u32)).filter(|x| x.is_finite()).unwrap_or(-0.0);
        let f64 = |bits: &u64| Some(f64::from_bits(*bits)).filter(|x| x.is_finite()).unwrap_or(-0.0);
        match kind {
            0 => NamedTensor::f32(name, &shape, bits.iter().map(f32).collect()),
            1 => NamedTensor::f64(name, &shape, bits.iter().map(f64).collect()),
            2 => NamedTensor::u8(name, &shape, bits.iter().map(|&bits| bits as u8).collect()),
            3 => NamedTensor::u32(name, &shape, bits.iter().map(|&bits| bits as u32).collect()),
            _ => NamedTensor::u64(name, &shape, bits.to_vec()),
        }
    })
}

/// In the order of names, without those that come again.
fn named(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors.dedup_by(|a, b| a.name == b.name);
    tensors
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_configuration_comes_back_from_its_text(mut config in config(), mode in select(vec![Mode::Lines, Mode::Text])) {
        let path = Path::new("config.toml");
        config.validate().expect("all is within its limits");
        prop_assert_eq!(&Config::from_toml(&config.to_toml(), path).expect("its text"), &config);
        config.resolve(mode);
        prop_assert_eq!(&Config::from_toml(&config.to_toml(), path).expect("its text"), &config);
    }

    #[test]
    fn a_checkpoint_comes_back_from_its_bytes(
        (config, vocab) in (config(), vocab()),
        (tensors, state) in (vec(tensor(), 0..5).prop_map(named), vec(tensor(), 0..5).prop_map(named)),
        (step, metrics_bytes) in any::<(u64, u64)>(),
    ) {
        prop_assume!(charloom::models::parameters(&config, vocab.len()).unwrap().is_none_or(|count| count <= 1 << 20));
        let checkpoint = Checkpoint { config, vocab, step, metrics_bytes, tensors, state };
        let bytes = checkpoint.to_bytes().expect("its bytes");
        let mut back = Checkpoint::from_bytes(&bytes, Path::new("m")).expect("its bytes");
        prop_assert_eq!(&bytes, &back.to_bytes().expect("its bytes"));
        // They lie in the order in which they were saved, but for empty ones, which have no place.
        (back.tensors, back.state) = (named(back.tensors), named(back.state));
        prop_assert_eq!(back, checkpoint);
    }

    #[test]
    fn a_vocabulary_comes_back_from_its_text(vocab in vocab()) {
        let text = serde_json::to_string(&vocab).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Vocab>(&text).expect("JSON"), vocab);
    }

    #[test]
    fn an_unknown_character_is_named_with_its_place(vocab in vocab(), known in vec(any::<usize>(), 0..9), c: char) {
        let characters = &vocab.characters()[usize::from(vocab.boundary().is_some())..];
        prop_assume!(!characters.contains(&c));
        let mut text: String = known.iter().map(|i| characters[i % characters.len()]).collect();
        let tokens = vocab.encode(&text).expect("its own characters");
        prop_assert_eq!(vocab.decode(&tokens), text.as_str());
        text.push(c);
        let unknown = vocab.encode(&text).expect_err("not its own");
        prop_assert_eq!((unknown.character, unknown.position), (c, known.len() + 1));
    }
}

/// How likely counts at least as far off as these are, by chance, with these shares expected: Pearson's test.
fn chance(counts: &[u64], expected: &[f64]) -> f64 {
    let total = counts.iter().sum::<u64>() as f64;
    let (mut distance, mut tokens) = (0.0, 0);
    for (&count, &share) in counts.iter().zip(expected) {
        if share == 0.0 {
            assert_eq!(count, 0, "drawn though it cannot be: {counts:?} {expected:?}");
        } else {
            let expected = share * total;
            assert!(expected > 5.0, "too few draws to tell: {expected}");
            distance += (count as f64 - expected).powi(2) / expected;
            tokens += 1;
        }
    }
    if tokens == 1 {
        1.0
    } else {
        1.0 - ChiSquared::new(f64::from(tokens - 1)).expect("above 0").cdf(distance)
    }
}

/// By the definitions: p^(1 / temperature), of the k likeliest, of the likeliest that together have at least p.
fn exact(log_probs: &[f32], temperature: f64, top_k: usize, top_p: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..log_probs.len()).collect();
    order.sort_by(|&a, &b| log_probs[b].total_cmp(&log_probs[a]));
    if top_k > 0 {
        order.truncate(top_k);
    }
    let mut weights = vec![0.0; log_probs.len()];
    for &token in &order {
        weights[token] = (f64::from(log_probs[token]) / temperature).exp();
    }
    let total: f64 = weights.iter().sum();
    let mut before = 0.0;
    for token in order {
        let weight = weights[token];
        // One is kept if those before it are not enough.
        if top_p < 1.0 && before >= top_p * total {
            weights[token] = 0.0;
        }
        before += weight;
    }
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

fn bigram() -> (Vocab, NGram) {
    let names = "anna\nbob\ncarla\ndan\nada\nabba\nnora\nbarbara\nara\nclara\ndora\nnana\noona\nbo\na";
    let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
    let corpus = Corpus::from_bytes("here", names.as_bytes(), &config).expect("a corpus");
    let vocab = Vocab::of(Mode::Lines, [&corpus]);
    let examples = Examples::new(&Split::of(&corpus, &vocab).expect("a split"), 1).expect("examples");
    let model = NGram::fit(&examples, vocab.len(), Some(0), Smoothing::AddK, 0.5).expect("a model");
    (vocab, model)
}

/// How often each token follows each one in the samples (V, V).
fn follows(options: &SampleOptions) -> Vec<Vec<u64>> {
    let (vocab, model) = bigram();
    let mut counts = vec![vec![0; vocab.len()]; vocab.len()];
    for sample in Sampler::new(&model, &vocab, options.clone(), None).expect("good options") {
        let sample = sample.expect("a sample");
        let mut before = 0;
        for &token in sample.tokens.iter().chain([0].iter().filter(|_| !sample.truncated)) {
            counts[before][token as usize] += 1;
            before = token as usize;
        }
    }
    counts
}

/// The least chance over all tokens that were met often, were the samples drawn at `temperature`.
fn least_chance(options: &SampleOptions, temperature: f64) -> f64 {
    let (vocab, model) = bigram();
    let mut row = vec![0.0; vocab.len()];
    let mut least = 1.0f64;
    let mut scored = 0;
    for (token, counts) in follows(options).iter().enumerate() {
        if counts.iter().sum::<u64>() > 2000 {
            let state = State { rows: 1, tokens: vec![token as u32], ..State::default() };
            model.reader().log_probs(&state, &mut row);
            least = least.min(chance(counts, &exact(&row, temperature, options.top_k, options.top_p)));
            scored += 1;
        }
    }
    assert!(scored > 0, "no token was met often enough");
    least
}

#[test]
fn what_is_drawn_has_the_exact_distribution() {
    for stream in [RandomStream::Words, RandomStream::Torch, RandomStream::TorchCdf] {
        for seed in [1, 2] {
            let n = if stream == RandomStream::Words { 20_000 } else { 5000 };
            let plain = SampleOptions { n, seed, stream, max_length: 40, ..SampleOptions::default() };
            for temperature in [1.0, 0.7, 1.6] {
                for (top_k, top_p) in [(0, 1.0), (3, 1.0), (1, 1.0), (0, 0.8), (4, 0.7), (100, 0.999)] {
                    let options = SampleOptions { temperature, top_k, top_p, ..plain.clone() };
                    let chance = least_chance(&options, temperature);
                    // The least of up to 8 tokens, in 72 cases.
                    assert!(chance > 1e-5, "{options:?}: {chance:e}");
                }
            }
            // It would be noticed if the temperature were a fifth off.
            assert!(least_chance(&plain, 1.2) < 1e-8);
        }
    }
}
