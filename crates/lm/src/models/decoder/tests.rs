use charloom_tensor::{Grads, Params, Pass, Recording, Tape, rng::TorchGenerator};

use super::{CausalRows, Decoder};
use crate::config::{Batch, Config};
use crate::data::{Corpus, DataConfig, Mode, Split, Tokens, Vocab};
use crate::models::{LanguageModel, Mixture, Net, Neural, Power, score};
use crate::train;

const WORDS: &str = "anna\nbob\nann\nhannibal\nboba\nanna\nob\nna\n";
const TEXT: &str = "the cat sat on the mat, the hat sat on the cat; that is what the cat thought of that";

const MODELS: [&str; 4] = [
    "kind = 'transformer'\nlayers = 2\nheads = 2\nembed = 8\ncontext = 12\nstride = 3\ninit_std = 0.3",
    "kind = 'transformer'\nlayers = 2\nheads = 2\nembed = 8\ncontext = 4\nstride = 1\ninit_std = 0.3\ntie = true",
    "kind = 'transformer'\nlayers = 1\nheads = 1\nembed = 6\ncontext = 5\nstride = 5\npositions = 'rotary'\nnorm = 'rms'\n\
     bias = false\ninit_std = 0.5",
    "kind = 'bow'\nembed = 6\nhidden = 5\ncontext = 5\nstride = 2",
];

/// A model whose parameters are moved off their special initial values such as 0, and a split of words or of
/// a text.
fn ready(model: &str, text: &str, mode: Mode) -> (Neural, Split) {
    let config = DataConfig { mode: Some(mode), ..DataConfig::default() };
    let corpus = Corpus::from_bytes("here", text.as_bytes(), &config).unwrap();
    let vocab = Vocab::of(mode, [&corpus]);
    let config = Config::from_toml(&format!("[model]\n{model}"), "test".as_ref()).unwrap();
    let mut model = Neural::new(&config, vocab.len(), &mut TorchGenerator::new(3)).unwrap();
    let moved = model.params.values_mut().iter_mut().enumerate();
    moved.for_each(|(i, p)| *p += 0.1 * (i as f32 * 0.7).sin());
    (model, Split::of(&corpus, &vocab).unwrap())
}

fn decoder(model: &Neural) -> &Decoder {
    match &model.net {
        Net::Attention(decoder) => decoder,
        _ => panic!("of another kind"),
    }
}

/// The loss of one target after a window that is read by itself, and its gradients.
fn alone(decoder: &Decoder, params: &Params<f64>, window: &[u32], target: u32) -> (f64, Vec<f64>) {
    let n = window.len();
    let (mut recording, loss) = Recording::new(params, |tape: &Tape<'_, f64>| {
        let positions: Vec<u32> = (0..n as u32).collect();
        let inputs = [tape.indices(&[n], window), tape.indices(&[n], &positions)];
        let logits = decoder.logits(tape, inputs, &mut CausalRows::Sequences(n));
        logits.slice(0, n - 1, n).cross_entropy(tape.indices(&[1], &[target])).id()
    });
    let mut grads = Grads::zeros(params);
    recording.forward(params, &Pass::training());
    recording.backward(params, &mut grads, loss, &Pass::training());
    (recording.item(loss), grads.values().to_vec())
}

/// Where the window of the target after these tokens begins: windows move on by `stride`.
fn window(decoder: &Decoder, before: &[u32]) -> usize {
    let (context, stride) = (decoder.sliding_window.context, decoder.sliding_window.stride);
    before.len().saturating_sub(context).div_ceil(stride) * stride
}

#[test]
fn a_tree_has_the_loss_and_gradients_of_each_target_read_alone() {
    for model in MODELS {
        let (model, split) = ready(model, WORDS, Mode::Lines);
        let (decoder, params) = (decoder(&model), model.params.cast::<f64>());
        let config = crate::config::TrainConfig { batch: Batch::Full, ..Default::default() };
        let (mut feed, mut step) = train::feed(&model, &params, &split, &config).unwrap();
        feed.draw(&mut TorchGenerator::new(1));
        step.fill(&*feed);
        let pass = Pass { rows: feed.rows(), counts: feed.counts(), ..Pass::training() };
        let mut grads = Grads::zeros(&params);
        step.recording.forward(&params, &pass);
        step.recording.backward(&params, &mut grads, step.loss, &pass);

        let (mut loss, mut expected, mut n) = (0.0, vec![0.0; grads.values().len()], 0.0);
        for word in split.words() {
            let sequence: Vec<u32> = [&[0], &word.to_vec()[..], &[0]].concat();
            for at in 1..sequence.len() {
                let from = window(decoder, &sequence[..at]);
                let (of_target, gradients) = alone(decoder, &params, &sequence[from..at], sequence[at]);
                loss += of_target;
                expected.iter_mut().zip(gradients).for_each(|(sum, g)| *sum += g);
                n += 1.0;
            }
        }
        expected.iter_mut().for_each(|g| *g /= n);
        charloom_testkit::assert_close(&[step.recording.item(step.loss)], &[loss / n], 1e-12, 0.0);
        charloom_testkit::assert_close(grads.values(), &expected, 1e-12, 1e-13);
        assert!(expected.iter().filter(|g| g.abs() > 1e-6).count() > expected.len() / 3);
    }
}

#[test]
fn a_split_is_scored_as_it_is_read_and_each_target_as_it_is_read_alone() {
    for model in MODELS {
        for (text, mode) in [(WORDS, Mode::Lines), (TEXT, Mode::Text)] {
            let (model, split) = ready(model, text, mode);
            let (decoder, params) = (decoder(&model), model.params.cast::<f64>());
            let scores = model.score_split(&split, &mut |_| Ok(())).unwrap();
            let read = score::score_split(&mut *model.reader(), model.vocab_size(), &split, &mut |_| Ok(()));
            charloom_testkit::assert_close(&scores, &read.unwrap(), 1e-5, 1e-5);
            let sequences: Vec<Vec<u32>> = match mode {
                Mode::Lines => split.words().map(|word| [&[0], &word.to_vec()[..], &[0]].concat()).collect(),
                _ => vec![split.tokens().to_vec()],
            };
            let mut expected = Vec::new();
            for sequence in &sequences {
                for at in 1..sequence.len() {
                    let from = window(decoder, &sequence[..at]);
                    expected.push(-alone(decoder, &params, &sequence[from..at], sequence[at]).0 as f32);
                }
            }
            charloom_testkit::assert_close(&scores, &expected, 1e-4, 1e-5);
        }
    }
}

#[test]
fn a_product_reads_a_long_text_in_the_windows_of_each_member_alone() {
    // Two parts, strides of 3 and 5.
    let text = TEXT.repeat(50);
    let split = ready(MODELS[0], &text, Mode::Text).1;
    for (powers, alone) in [([1.0, 0.0], MODELS[0]), ([0.0, 1.0], MODELS[2])] {
        let member = |model| Box::new(ready(model, &text, Mode::Text).0) as Box<dyn LanguageModel>;
        let power = |base| Power { base, by_entropy: vec![0.0; 2] };
        let members = powers.map(power).into_iter().zip([MODELS[0], MODELS[2]].map(member)).collect();
        let product = Mixture::product(members).score_split(&split, &mut |_| Ok(())).unwrap();
        let alone = member(alone).score_split(&split, &mut |_| Ok(())).unwrap();
        charloom_testkit::assert_close(&product, &alone, 1e-4, 1e-5);
    }
}

#[test]
fn probabilities_sum_to_one_wherever_a_reader_stands() {
    for model in MODELS {
        let (model, split) = ready(model, TEXT, Mode::Text);
        let mut reader = model.reader();
        let mut state = reader.start(2, 1);
        let mut log_probs = vec![0.0; 2 * model.vocab_size()];
        for pair in split.tokens().to_vec().windows(2) {
            reader.read(&mut state, pair);
            reader.log_probs(&state, &mut log_probs);
            for row in log_probs.chunks(model.vocab_size()) {
                assert!((row.iter().map(|&p| f64::from(p).exp()).sum::<f64>() - 1.0).abs() < 1e-5);
            }
            // A row does not depend on the rows beside it.
            let mut alone = vec![0.0; model.vocab_size()];
            reader.log_probs(&state.select(&[1]), &mut alone);
            assert_eq!(alone, log_probs[model.vocab_size()..]);
        }
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (model, said) in [
        ("heads = 3", "``heads`` 3 does not divide ``embed`` 64; each head has an equal share of it"),
        ("embed = 1000000000", "``embed`` 1000000000 is out of range; it must be from 1 to 65536"),
        (
            "context = 4\nlayers = 256\nembed = 65536",
            "choose smaller sizes, such as ``embed`` or ``layers`` or ``context``",
        ),
        (
            "context = 65536\nlayers = 256\nembed = 1024",
            "it must be at most 256 with ``layers`` 256 and ``embed`` 1024; more with less of these",
        ),
        ("context = 8\nstride = 9", "``stride`` 9 is out of range; it must be from 1 to ``context``, 8"),
        ("positions = 'rotary'\nembed = 12", "``positions`` rotary turns pairs"),
        ("norm = 'batch'", "it must be layer or rms"),
        ("hidden = 3", "a model of kind \"transformer\" has no setting \"hidden\""),
    ] {
        let toml = format!("[model]\nkind = 'transformer'\n{model}");
        let config = Config::from_toml(&toml, "test".as_ref()).unwrap();
        let refused = Neural::new(&config, 27, &mut TorchGenerator::new(1)).err().unwrap().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn a_feed_suits_the_model_and_the_data() {
    for (file, toml, said) in [
        ("words.txt", "kind = 'transformer'\n[train]\nfeed = 'random'", "choose words"),
        ("harbour.txt", "kind = 'transformer'\n[train]\nfeed = 'words'", "choose random"),
        ("words.txt", "kind = 'mlp'\n[train]\nfeed = 'words'", "leave it out"),
        ("harbour.txt", "kind = 'transformer'\n[train]\nbatch = 'full'", "``batch`` full is for words"),
        (
            "harbour.txt",
            "kind = 'transformer'\ncontext = 60000",
            "``context`` 60000 is out of range; it must be below",
        ),
    ] {
        let mut config = Config::from_toml(&format!("[model]\n{toml}"), "test".as_ref()).unwrap();
        config.data.path = Some(charloom_testkit::fixture_path(&format!("data/{file}")));
        let data = crate::data::Data::load(&config.data, None).unwrap();
        let refused = train::Trainer::new(&config, &data).err().unwrap().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "to be, or not to be").unwrap();
    for (toml, context) in [("kind = 'bow'", "16"), ("kind = 'bow'\ncontext = 4", "4")] {
        let toml = format!("data.mode = 'text'\n[model]\n{toml}");
        let mut config = Config::from_toml(&toml, "test".as_ref()).unwrap();
        config.data.path = Some(file.path().to_path_buf());
        let data = crate::load_data(&mut config).unwrap();
        assert_eq!(config.model.get("context").as_deref(), Some(context));
        assert!(train::Trainer::new(&config, &data).is_ok());
    }
    let mut config = Config::from_toml("[model]\nkind = 'transformer'", "test".as_ref()).unwrap();
    config.data.path = Some(charloom_testkit::fixture_path("data/words.txt"));
    let data = crate::load_data(&mut config).unwrap();
    let longest = data.splits.train.words().map(Tokens::len).max().unwrap();
    assert_eq!(config.model.get("context"), Some((longest + 1).to_string()));
    assert_eq!(
        (config.model.get("stride").as_deref(), config.train.feed),
        (Some("1"), Some(crate::config::Feed::Words))
    );
}
