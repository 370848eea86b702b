use charloom_tensor::ops::Targets;
use charloom_tensor::rng::TorchGenerator;
use charloom_tensor::{Grads, Params, Pass, Recording};
use charloom_testkit::{assert_close, fixture_path};

use crate::Config;
use crate::config::{Batch, Feed};
use crate::data::{Data, Tokens};
use crate::models::{LanguageModel, Net, Neural};
use crate::train::{StepRecording, Trainer};

const KINDS: [&str; 3] = ["rnn", "gru", "lstm"];

fn config(model: &str, data: &str) -> Config {
    let mut config = Config::from_toml(model, "test".as_ref()).unwrap();
    config.data.path = Some(fixture_path(data));
    config
}

fn words(kind: &str, more: &str) -> (Config, Data) {
    let toml = format!("[model]\nkind = '{kind}'\nhidden = 7\n{more}\n[train]\nbatch = 24\nseed = 3");
    let config = config(&toml, "data/words.txt");
    let data = Data::load(&config.data, None).unwrap();
    (config, data)
}

fn text(kind: &str, more: &str) -> (Config, Data) {
    let toml =
        format!("[model]\nkind = '{kind}'\nhidden = 7\ncontext = 9\n{more}\n[train]\nbatch = 5\nlr = 0");
    let config = config(&toml, "data/harbour.txt");
    let data = Data::load(&config.data, None).unwrap();
    (config, data)
}

fn run(
    recording: &mut Recording<f64>,
    params: &Params<f64>,
    loss: charloom_tensor::NodeId,
    pass: &Pass<'_>,
) -> Vec<f64> {
    recording.forward(params, pass);
    let mut grads = Grads::zeros(params);
    recording.backward(params, &mut grads, loss, pass);
    [&[recording.item(loss)], grads.values()].concat()
}

#[test]
fn a_trie_words_apart_and_padded_words_give_the_same_loss_and_gradients() {
    for (kind, more) in
        KINDS.into_iter().flat_map(|kind| ["layers = 2", "embed = 0"].map(|more| (kind, more)))
    {
        let (config, data) = words(kind, more);
        let split = &data.splits.train;
        let model = Neural::new(&config, data.vocab.len(), &mut TorchGenerator::new(5)).unwrap();
        let params = model.params.cast::<f64>();
        let fed = [true, false].map(|merged| {
            let mut feed = model.net.feed(split, &config.train, merged).unwrap();
            assert_eq!(feed.merges(), merged);
            let mut step = StepRecording::new(&params, &model.net, feed.shape());
            feed.draw(&mut TorchGenerator::new(8));
            step.fill(&*feed);
            let pass = Pass { rows: feed.rows(), counts: feed.counts(), ..Pass::training() };
            (run(&mut step.recording, &params, step.loss, &pass), feed.rows()[0].used())
        });
        // The same words, each padded to the longest; padding is not scored.
        let all: Vec<Vec<u32>> = split.words().map(Tokens::to_vec).collect();
        let mut drawn = vec![0; 24];
        TorchGenerator::new(8).randint_into(all.len() as u32, &mut drawn);
        let boundary = split.boundary().unwrap();
        let longest = 1 + drawn.iter().map(|&i| all[i as usize].len()).max().unwrap();
        let at = |i: u32, t: usize| all[i as usize].get(t).copied();
        let each = |f: &dyn Fn(usize, u32, u32) -> u32| -> Vec<u32> {
            (0..longest)
                .flat_map(|t| drawn.iter().enumerate().map(move |(b, &i)| f(t, b as u32, i)))
                .collect()
        };
        let before = |t: usize| t.checked_sub(1);
        let tokens = each(&|t, _, i| before(t).and_then(|t| at(i, t)).unwrap_or(boundary));
        let parents = each(&|t, b, _| before(t).unwrap_or(0) as u32 * 24 + b);
        let targets = each(&|t, _, i| match t.cmp(&all[i as usize].len()) {
            std::cmp::Ordering::Less => all[i as usize][t],
            std::cmp::Ordering::Equal => boundary,
            std::cmp::Ordering::Greater => u32::MAX,
        });
        let Net::Recurrent(net) = &model.net else { unreachable!() };
        let (mut padded, loss) = Recording::new(&params, |tape| {
            let indices = |data: &[u32]| tape.indices(&[data.len()], data);
            let (_, logits) = net.read(tape, indices(&tokens), Some(indices(&parents)), &[]);
            let targets = Targets { tokens: indices(&targets), rows: None, ignore_index: Some(u32::MAX) };
            logits.cross_entropy(targets).id()
        });
        let padded = run(&mut padded, &params, loss, &Pass::training());
        assert!(fed[0].1 < fed[1].1 && fed[1].1 < tokens.len(), "{:?} of {}", fed.map(|f| f.1), tokens.len());
        for (other, _) in &fed {
            assert_close(other, &padded, 1e-12, 1e-14);
        }
    }
}

#[test]
fn gradients_are_right_on_words_and_on_streams() {
    for kind in KINDS {
        let more = "layers = 2\nembed = 3\ndropout = 0.2\nembed_dropout = 0.1\nrecurrent_dropout = 0.3";
        for (config, data) in [words(kind, more), words(kind, "embed = 0"), text(kind, "layers = 2")] {
            let report = crate::gradcheck::gradcheck(&config, &data, &Default::default()).unwrap();
            assert!(report.passed, "{report:#?}");
        }
    }
}

#[test]
fn streams_are_read_on_from_where_the_last_batch_ended() {
    for kind in KINDS {
        let (config, data) = text(kind, "layers = 2");
        let mut trainer = Trainer::new(&config, &data).unwrap();
        let losses: Vec<f32> = (0..3).map(|_| trainer.step().unwrap()).collect();
        let tokens = data.splits.train.tokens().to_vec();
        let each = (tokens.len() - 1) / 5;
        let model = trainer.model();
        let (mut reader, vocab) = (model.reader(), model.vocab_size());
        let mut out = vec![0.0; vocab];
        let mut sums = [0.0; 3];
        for stream in 0..5 {
            let tokens = &tokens[stream * each..];
            let mut state = reader.start(1, tokens[0]);
            for (i, &next) in tokens[1..=27].iter().enumerate() {
                reader.log_probs(&state, &mut out);
                sums[i / 9] -= out[next as usize] / 45.0;
                reader.read(&mut state, &[next]);
            }
        }
        assert_close(&losses, &sums, 1e-5, 0.0);
    }
}

#[test]
fn names_and_shapes_are_torchs() {
    let (config, _) = words("lstm", "layers = 2\nembed = 3");
    let model = Neural::new(&config, 5, &mut TorchGenerator::new(1)).unwrap();
    let named: Vec<_> = model.tensors().into_iter().map(|tensor| (tensor.name, tensor.shape)).collect();
    let expected: [(&str, &[usize]); 11] = [
        ("embedding.weight", &[5, 3]),
        ("rnn.weight_ih_l0", &[28, 3]),
        ("rnn.weight_hh_l0", &[28, 7]),
        ("rnn.bias_ih_l0", &[28]),
        ("rnn.bias_hh_l0", &[28]),
        ("rnn.weight_ih_l1", &[28, 7]),
        ("rnn.weight_hh_l1", &[28, 7]),
        ("rnn.bias_ih_l1", &[28]),
        ("rnn.bias_hh_l1", &[28]),
        ("output.weight", &[5, 7]),
        ("output.bias", &[5]),
    ];
    assert_eq!(named, expected.map(|(name, shape)| (name.to_owned(), shape.to_vec())));
}

#[test]
fn what_does_not_fit_the_feed_is_refused() {
    let refusal = |(mut config, _): (Config, Data), feed: Option<Feed>| {
        config.train.feed = feed;
        crate::load_data(&mut config).unwrap_err().to_string()
    };
    for (asked, feed, said) in [
        (words("gru", "context = 8"), None, "``context`` 8 has no effect: words are read whole"),
        (
            words("gru", ""),
            Some(Feed::Streams),
            "``feed`` streams: a model of kind \"gru\" is not trained so on lines",
        ),
        (text("gru", ""), Some(Feed::Words), "choose streams"),
        (words("mlp", "embed = 2"), Some(Feed::Words), "leave it out"),
    ] {
        let refused = refusal(asked, feed);
        assert!(refused.contains(said), "{refused}");
    }
    let (mut config, _) = text("gru", "");
    config.model = config.model.with("context", 10_000);
    let data = crate::load_data(&mut config).unwrap();
    let refused = Trainer::new(&config, &data).err().expect("refused").to_string();
    assert!(refused.contains("5 streams of 863, fewer than the 10000 of ``context``"), "{refused}");
    // Without a context, as many as there are.
    let default_of = |batch: usize| {
        let (mut config, _) = text("gru", "");
        config.model.unset("context");
        config.train.batch = Batch::Size(batch);
        let data = crate::load_data(&mut config).unwrap();
        (config.model.get("context"), Trainer::new(&config, &data).err().map(|error| error.to_string()))
    };
    assert_eq!(default_of(5), (Some("128".to_owned()), None));
    assert_eq!(default_of(863), (Some("5".to_owned()), None));
    let refused = default_of(5000).1.expect("refused");
    assert!(refused.contains("choose a smaller ``batch``, or give more text"), "{refused}");
}
