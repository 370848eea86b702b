use charloom_nn::{Dropout, Embedding, Init, Initializer, Linear, Scope};
use charloom_tensor::rng::TorchGenerator;
use charloom_tensor::{Grads, Params, Pass, Recording};

use super::*;
use crate::config::{Config, TrainConfig};
use crate::data::{Corpus, DataConfig, Vocab};
use crate::models::Neural;
use crate::train::{self, StepRecording};

const WORDS: &str = "anna\nbob\nann\nhannibal\nboba\nanna\nob\nna\nan\nbob\n";

/// Models of each kind that is fed by words or windows, some of them with dropout or norms.
const MODELS: [&str; 11] = [
    "kind = 'mlp'\nhidden = [7, 6]\nembed = 3\ncontext = 3\nnorm = 'layer'\ninit = 'torch'",
    "kind = 'mlp'\nhidden = [7]\nembed = 0\ncontext = 2\nnorm = 'batch'\ninit = 'torch'",
    "kind = 'linear'\ncontext = 2",
    "kind = 'wavenet'\ncontext = 4\nembed = 3\nhidden = 5",
    "kind = 'rnn'\nhidden = 5\nembed = 3",
    "kind = 'gru'\nhidden = 4\nembed = 0\nlayers = 2\nrecurrent_dropout = 0.3",
    "kind = 'lstm'\nhidden = 4\nembed = 3\nlayers = 2",
    "kind = 'transformer'\nlayers = 2\nheads = 2\nembed = 8\ncontext = 12\ninit_std = 0.3",
    "kind = 'transformer'\nlayers = 2\nheads = 2\nembed = 8\ncontext = 12\nstride = 1\ninit_std = 0.3\ntie = true\n\
     norm = 'rms'\npositions = 'rotary'\nbias = false\nembed_norm = true\nactivation = 'squared-relu'",
    "kind = 'bow'\nembed = 5\nhidden = 4\ncontext = 12",
    "own",
];

/// `h' = tanh(E[x] + dropout(W h))`, with the logits `V h'`.
struct Own {
    embedding: Embedding,
    hidden: Linear,
    output: Linear,
    dropout: f64,
}

impl RecurrentCell for Own {
    fn state_width(&self) -> usize {
        4
    }

    fn step<'t, E: charloom_tensor::Element>(
        &self,
        tape: &'t Tape<'t, E>,
        tokens: Indices,
        state: Var<'t, E>,
    ) -> [Var<'t, E>; 2] {
        let mut before = self.hidden.forward(state);
        if self.dropout > 0.0 {
            before = Dropout { p: self.dropout, seed: 1, layer: 0 }.forward(before);
        }
        let next = (self.embedding.forward(tape, tokens) + before).tanh();
        [next, self.output.forward(next)]
    }
}

fn own(vocab: usize, dropout: f64, scope: &mut Scope<'_>) -> Net {
    Net::cell(Own {
        embedding: Embedding::new(&mut scope.at("embedding"), vocab, 4),
        hidden: Linear::new(&mut scope.at("hidden"), 4, 4, true),
        output: Linear::new(&mut scope.at("output"), 4, vocab, true),
        dropout,
    })
}

fn split() -> (Split, usize) {
    let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
    let corpus = Corpus::from_bytes("here", WORDS.as_bytes(), &config).unwrap();
    let vocab = Vocab::of(Mode::Lines, [&corpus]);
    (Split::of(&corpus, &vocab).unwrap(), vocab.len())
}

/// Layers, and parameters moved off their special initial values such as 0.
fn ready(model: &str, vocab: usize) -> (Net, Params<f64>) {
    let (net, mut params) = if model == "own" {
        let mut params = Params::<f32>::new();
        let mut generator = TorchGenerator::new(3);
        let init = Initializer::new(Init::Torch, &mut generator);
        let net = own(vocab, 0.0, &mut Scope::draw(&mut params, init));
        (net, params.cast::<f64>())
    } else {
        let config = Config::from_toml(&format!("[model]\n{model}"), "test".as_ref()).unwrap();
        let Neural { net, params, .. } = Neural::new(&config, vocab, &mut TorchGenerator::new(3)).unwrap();
        (net, params.cast::<f64>())
    };
    params.values_mut().iter_mut().enumerate().for_each(|(i, p)| *p += 0.1 * (i as f64 * 0.7).sin());
    (net, params)
}

/// The loss of a feed's next batch and its gradients, without dropout; None if merging its rows is not exact.
fn of_batch(net: &Net, params: &Params<f64>, feed: &mut dyn Feed) -> Option<(f64, Vec<f64>)> {
    let mut step = StepRecording::new(params, net, feed.shape());
    if feed.merges() && !step.recording.is_mergeable() {
        return None;
    }
    feed.draw(&mut TorchGenerator::new(11));
    step.fill(feed);
    // BatchNorm takes the batch's own statistics only in training.
    let training = !matches!(net, Net::Recurrent(_));
    let pass = Pass { training, rows: feed.rows(), counts: feed.counts(), ..Pass::default() };
    let mut grads = Grads::zeros(params);
    step.recording.forward(params, &pass);
    step.recording.backward(params, &mut grads, step.loss, &pass);
    Some((step.recording.item(step.loss), grads.values().to_vec()))
}

/// The loss of all words and its gradients, each word read by itself.
fn one_by_one(net: &Net, params: &Params<f64>, split: &Split) -> (f64, Vec<f64>) {
    let (mut loss, mut sum, mut n) = (0.0, vec![0.0; params.values().len()], 0.0);
    for word in split.words() {
        let sequence: Vec<u32> = [&[0], &word.to_vec()[..], &[0]].concat();
        let length = sequence.len() - 1;
        let mut fed = Vec::new();
        let (mut recording, node) = Recording::new(params, |tape: &Tape<'_, f64>| {
            let (inputs, targets) =
                (tape.indices(&[length], &sequence[..length]), tape.indices(&[length], &sequence[1..]));
            match net {
                Net::Cell(cell) => {
                    let mut state = tape.input(&[1, cell.width()], &vec![0.0; cell.width()]);
                    let mut all = Vec::new();
                    for &token in &sequence[..length] {
                        let [next, logits] = cell.step_f64(tape, tape.indices(&[1], &[token]), state);
                        state = next;
                        all.push(logits);
                    }
                    Var::cat(&all, 0).cross_entropy(targets).id()
                }
                Net::Recurrent(net) => {
                    let parents: Vec<u32> = (0..length).map(|i| i.saturating_sub(1) as u32).collect();
                    let parents = tape.indices(&[length], &parents);
                    net.read(tape, inputs, Some(parents), &[]).1.cross_entropy(targets).id()
                }
                _ => {
                    let recorded = net.loss(tape, Shape::Blocks { sequences: 1, length });
                    fed = recorded.inputs;
                    recorded.loss
                }
            }
        });
        for (k, which) in fed.into_iter().enumerate() {
            recording.set_indices(which, |to| to.copy_from_slice(&sequence[k..][..length]));
        }
        let (pass, mut grads) = (Pass::evaluation(), Grads::zeros(params));
        recording.forward(params, &pass);
        recording.backward(params, &mut grads, node, &pass);
        let count = length as f64;
        loss += count * recording.item(node);
        sum.iter_mut().zip(grads.values()).for_each(|(sum, g)| *sum += count * g);
        n += count;
    }
    sum.iter_mut().for_each(|g| *g /= n);
    (loss / n, sum)
}

fn same(found: &(f64, Vec<f64>), expected: &(f64, Vec<f64>)) {
    charloom_testkit::assert_close(&[found.0], &[expected.0], 1e-12, 0.0);
    charloom_testkit::assert_close(&found.1, &expected.1, 1e-12, 1e-13);
    assert!(expected.1.iter().filter(|g| g.abs() > 1e-6).count() > expected.1.len() / 4);
}

#[test]
fn equal_rows_once_each_row_for_itself_and_words_one_by_one_have_the_same_loss_and_gradients() {
    let (split, vocab) = split();
    for model in MODELS {
        println!("{model}");
        let (net, params) = ready(model, vocab);
        for batch in [Batch::Full, Batch::Size(7)] {
            let train = TrainConfig { batch, ..TrainConfig::default() };
            let [merged, apart] = [true, false]
                .map(|merged| of_batch(&net, &params, &mut *net.feed(&split, &train, merged).unwrap()));
            let apart = apart.expect("nothing is merged");
            same(&merged.expect("without dropout rows can be merged"), &apart);
            if batch == Batch::Full && net.stack().is_none() {
                same(&apart, &one_by_one(&net, &params, &split));
            }
        }
    }
}

#[test]
fn a_cell_of_ones_own_may_drop_values() {
    let (split, vocab) = split();
    let mut params = Params::<f32>::new();
    let mut generator = TorchGenerator::new(3);
    let init = Initializer::new(Init::Torch, &mut generator);
    let net = own(vocab, 0.5, &mut Scope::draw(&mut params, init));
    let model = Neural::of(params, net, vocab);
    let train = TrainConfig { batch: Batch::Size(5), ..TrainConfig::default() };
    let (feed, _) = train::feed::<f32>(&model, &model.params, &split, &train).unwrap();
    assert!(!feed.merges());
}

#[test]
fn random_pieces_of_a_text_have_the_loss_of_each_read_alone_with_a_state_of_zeros() {
    let config = DataConfig { mode: Some(Mode::Text), ..DataConfig::default() };
    let corpus = Corpus::from_bytes("here", WORDS.as_bytes(), &config).unwrap();
    let vocab = Vocab::of(Mode::Text, [&corpus]);
    let split = Split::of(&corpus, &vocab).unwrap();
    for model in &MODELS[4..7] {
        let (net, params) = ready(&format!("{model}\ncontext = 9"), vocab.len());
        let train =
            TrainConfig { batch: Batch::Size(4), feed: Some(config::Feed::Random), ..TrainConfig::default() };
        let mut feed = net.feed(&split, &train, true).unwrap();
        let found = of_batch(&net, &params, &mut *feed).unwrap();
        let mut offsets = [0; 4];
        TorchGenerator::new(11).randint_into((split.tokens().len() - 9) as u32, &mut offsets);
        let Net::Recurrent(layers) = &net else { panic!("of another kind") };
        let mut expected = (0.0, vec![0.0; params.values().len()]);
        for offset in offsets {
            let piece = split.tokens().slice(offset as usize..offset as usize + 10).to_vec();
            let (mut recording, loss) = Recording::new(&params, |tape: &Tape<'_, f64>| {
                let parents: Vec<u32> = (0..9u32).map(|i| i.saturating_sub(1)).collect();
                let [tokens, targets, parents] =
                    [&piece[..9], &piece[1..], &parents[..]].map(|data| tape.indices(&[9], data));
                layers.read(tape, tokens, Some(parents), &[]).1.cross_entropy(targets).id()
            });
            let mut grads = Grads::zeros(&params);
            recording.forward(&params, &Pass::evaluation());
            recording.backward(&params, &mut grads, loss, &Pass::evaluation());
            expected.0 += recording.item(loss) / 4.0;
            expected.1.iter_mut().zip(grads.values()).for_each(|(sum, g)| *sum += g / 4.0);
        }
        same(&found, &expected);
    }
}
