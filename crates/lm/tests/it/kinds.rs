//! What holds of every kind of model.

use charloom::Checkpoint;
use charloom::config::{Batch, Config, ModelConfig};
use charloom::data::{Corpus, Data, Mode};
use charloom::mix::{Weights, mix_models};
use charloom::models::{self, LanguageModel};
use charloom::train::Trainer;

use crate::fuzz::{model, state};

const TEXT: &str = "anna\nbob\nann\nhannibal\nboba\nanna\nob\nna\nan\nbob\nhob\nlibby\n";

/// Settings with which a kind is small.
fn small(kind: &str, mode: Mode) -> String {
    let settings = match kind {
        "mlp" => "hidden = [6]\nembed = 3\nnorm = 'batch'\ninit = 'torch'",
        "linear" => "context = 2",
        "ngram" => "order = 3",
        "rnn" | "gru" | "lstm" if mode == Mode::Text => "hidden = 5\nembed = 3\ncontext = 6\nlayers = 2",
        "rnn" | "gru" | "lstm" => "hidden = 5\nembed = 0",
        "wavenet" => "context = 4\nembed = 3\nhidden = 4",
        "bow" => "embed = 4\nhidden = 4\ncontext = 5",
        "transformer" => "layers = 2\nheads = 2\nembed = 4\ncontext = 5\ninit_std = 0.5",
        other => panic!("a new kind: say here with which settings {other} is small"),
    };
    format!("[model]\nkind = '{kind}'\n{settings}")
}

/// A model of each kind, trained a little, or counted; and a mixture of them all.
fn checkpoints(mode: Mode) -> (Data, Vec<Checkpoint>) {
    let mut config = Config::default();
    config.data.mode = Some(mode);
    let corpus = Corpus::from_bytes("here", TEXT.as_bytes(), &config.data).unwrap();
    let data = Data::of(corpus, &config.data, None).unwrap();
    let make = |kind: &str| {
        let mut config = Config::from_toml(&small(kind, mode), "test".as_ref()).unwrap();
        config.data.mode = Some(mode);
        config.train.batch = Batch::Size(2);
        if models::has_no_steps(&config).unwrap() {
            let (_, tensors) = models::count(&config, &data).unwrap();
            models::fill(&mut config.model).unwrap();
            let vocab = data.vocab.clone();
            return Checkpoint { config, vocab, step: 1, metrics_bytes: 0, tensors, state: Vec::new() };
        }
        let mut trainer = Trainer::new(&config, &data).unwrap();
        for _ in 0..4 {
            trainer.step().unwrap();
        }
        trainer.checkpoint().unwrap()
    };
    let kinds = models::all().map(|kind| kind.name()).filter(|name| *name != "mixture");
    let mut all: Vec<Checkpoint> = kinds.map(make).collect();
    let mix = |weights| mix_models(all.clone(), &weights, &data.splits.val, &mut |_| Ok(())).unwrap().0;
    let mixtures = [mix(Weights::Equal), mix(Weights::Powers { adapt: None })];
    all.extend(mixtures);
    assert_eq!(all.len(), models::all().count() + 1, "of mixtures the mean and the product");
    (data, all)
}

fn sums_to_1_everywhere(model: &dyn LanguageModel, tokens: &[u32]) {
    let vocab = model.vocab_size();
    let (mut reader, mut all) = (model.reader(), vec![0.0; 2 * vocab]);
    let mut state = reader.start(2, tokens[0]);
    for pair in tokens.windows(2) {
        reader.log_probs(&state, &mut all);
        for of_row in all.chunks_exact(vocab) {
            let sum: f64 = of_row.iter().map(|&p| f64::from(p).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
        reader.read(&mut state, pair);
    }
}

#[test]
fn probabilities_sum_to_1_wherever_a_reader_stands() {
    for mode in [Mode::Lines, Mode::Text] {
        let (data, all) = checkpoints(mode);
        for checkpoint in all {
            println!("{} {mode:?}", checkpoint.config.model.kind);
            let model = models::open(&checkpoint, "here".as_ref()).unwrap();
            sums_to_1_everywhere(&*model, &data.splits.train.tokens().to_vec());
        }
    }
}

/// A file as [`model::file`] takes it: what comes after the digest.
fn seed(checkpoint: &Checkpoint) -> Vec<u8> {
    let bytes = checkpoint.to_bytes().unwrap();
    let header = usize::try_from(u64::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap();
    let digest = bytes.windows(10).position(|window| window == b"\"sha256\":\"").unwrap() + 10;
    [&[1], &bytes[digest + 64..8 + header], b"\n", &bytes[8 + header..]].concat()
}

#[test]
fn a_checkpoint_of_any_kind_with_anything_changed_is_read_or_refused_in_one_line() {
    for mode in [Mode::Lines, Mode::Text] {
        for checkpoint in checkpoints(mode).1 {
            let seed = seed(&checkpoint);
            let read = model::read(&seed).expect("the whole file is read");
            assert_eq!(read.to_bytes().unwrap(), checkpoint.to_bytes().unwrap());
            let header = seed.iter().position(|&byte| byte == b'\n').unwrap();
            let mut x = 0x9e37_79b9_u32;
            let mut below = |n: usize| {
                x ^= x << 13;
                x ^= x >> 17;
                x ^= x << 5;
                x as usize % n
            };
            for turn in 0..42 {
                let mut bytes = seed.clone();
                // Mostly in the header, which says more.
                let at = if turn % 4 == 0 { below(bytes.len()) } else { below(header) };
                match turn % 6 {
                    0 => bytes.truncate(at),
                    1 => bytes[at] ^= 1 << below(8),
                    2 => drop(bytes.remove(at)),
                    3 => bytes.insert(at, b'0' + below(10) as u8),
                    // A number that is another.
                    _ => match bytes[at..].iter().position(u8::is_ascii_digit) {
                        Some(digit) => bytes[at + digit] = b'0' + below(10) as u8,
                        None => bytes[at] = b'9',
                    },
                }
                model::model(&bytes);
                state::state(&bytes);
            }
        }
    }
}

#[test]
fn a_setting_of_any_kind_that_is_far_too_large_or_no_number_is_refused_by_name() {
    for kind in models::all() {
        for setting in kind.settings() {
            let key = setting.key;
            for value in ["1000000000", "-1", "1e300", "nan"] {
                let toml = format!("[model]\nkind = '{}'\n{key} = {value}", kind.name());
                let refused = match Config::from_toml(&toml, "my.toml".as_ref()) {
                    Ok(config) => models::check(&config.model).map(|_| ()).expect_err(&toml),
                    Err(error) => error,
                }
                .to_string();
                assert!(refused.contains(key) && !refused.contains('\n'), "{toml}: {refused}");
            }
        }
    }
}

#[test]
fn a_batch_far_too_large_is_refused_by_every_kind() {
    for mode in [Mode::Lines, Mode::Text] {
        let (data, all) = checkpoints(mode);
        for Checkpoint { mut config, .. } in all {
            if models::has_no_steps(&config).unwrap() {
                continue;
            }
            for batch in [1_000_000_000, usize::MAX] {
                config.train.batch = Batch::Size(batch);
                let refused = Trainer::new(&config, &data).map(|_| ());
                assert!(refused.expect_err("refused").to_string().contains("batch"));
            }
        }
    }
}

#[test]
fn a_kind_of_no_name_is_refused_with_the_names_of_all() {
    let said = models::check(&ModelConfig::of("perceptron")).unwrap_err().to_string();
    assert!(models::all().all(|kind| said.contains(kind.name())), "{said}");
}
