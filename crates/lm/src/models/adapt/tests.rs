use charloom_tensor::{Grads, Pass, Recording};

use super::trees::segments;
use super::*;
use crate::Config;
use crate::config::ModelConfig;
use crate::data::{Data, DataConfig, Mode};
use crate::feed::Shape;
use crate::models::{LanguageModel, Mixture, Net, Neural, SlidingWindow, count, mean_scores, predictions};
use charloom_tensor::rng::TorchGenerator;

fn text(mode: Mode) -> (Data, Neural, Config) {
    let path = Some(charloom_testkit::fixture_path("data/words.txt"));
    let data = Data::load(&DataConfig { path, mode: Some(mode), ..DataConfig::default() }, None).unwrap();
    let mut model =
        ModelConfig::of("mlp").with("hidden", vec![32]).with("norm", "batch").with("dropout", 0.2);
    model.set("context", 4);
    let config = Config { model, ..Config::default() };
    let model = Neural::new(&config, data.vocab.len(), &mut TorchGenerator::new(3)).unwrap();
    (data, model, config)
}

fn scores(model: &dyn LanguageModel, split: &Split, adapt: Adapt<'_>) -> Vec<f32> {
    model.score_adapting(split, &adapt, &mut |_| Ok(())).unwrap().expect("it adapts")
}

#[test]
fn a_rate_of_0_changes_nothing_and_a_good_one_helps_and_the_model_stays_as_it_is() {
    for mode in [Mode::Lines, Mode::Text] {
        let (data, model, _) = text(mode);
        let split = &data.splits.train;
        let fixed = model.score_split(split, &mut |_| Ok(())).unwrap();
        let same = scores(&model, split, Adapt { segment: 7, ..Adapt::new(0.0).unwrap() });
        assert_eq!(fixed.len(), same.len());
        for (a, b) in fixed.iter().zip(&same) {
            assert!((a - b).abs() < 2e-6, "{a} and {b} without a step");
        }
        let before = model.params.values().to_vec();
        let adapted = scores(&model, split, Adapt { segment: 20, ..Adapt::new(0.1).unwrap() });
        assert_eq!(adapted[..20], same[..20], "the first segment is scored before any step");
        let total = |scores: &[f32]| scores.iter().map(|&score| f64::from(score)).sum::<f64>();
        assert!(total(&adapted) > total(&fixed) + 100.0, "{} and {}", total(&adapted), total(&fixed));
        assert_eq!(before, model.params.values());
    }
}

#[test]
fn a_step_is_the_gradient_of_the_segments_mean_loss() {
    // The second segment is scored as by a model that made the first segment's step outside of dynamic
    // evaluation.
    let (data, model, _) = text(Mode::Lines);
    let tokens = data.splits.train.tokens().to_vec();
    let adapted = scores(&model, &data.splits.train, Adapt { segment: 12, ..Adapt::new(0.3).unwrap() });
    let stack = model.stack().unwrap().without_dropout();
    let mut params = model.params.clone();
    let contexts = |range: std::ops::Range<usize>| -> Vec<u32> {
        let examples = data.splits.train.examples(stack.context).unwrap();
        range.flat_map(|i| examples.distinct_context(examples.context_id(i)).collect::<Vec<_>>()).collect()
    };
    let (mut recording, loss) = Recording::new(&params, |tape| {
        let indices = tape.indices(&[12, stack.context], &contexts(0..12));
        stack.logits(tape, indices).cross_entropy(tape.indices(&[12], &tokens[..12])).id()
    });
    let mut grads = Grads::zeros(&params);
    recording.forward(&params, &Pass::evaluation());
    recording.backward(&params, &mut grads, loss, &Pass::evaluation());
    params.values_mut().iter_mut().zip(grads.values()).for_each(|(p, g)| *p -= 0.3 * g);
    let mut stepped = model;
    stepped.params = params;
    let fixed = stepped.score_split(&data.splits.train, &mut |_| Ok(())).unwrap();
    for at in 12..24 {
        assert!((fixed[at] - adapted[at]).abs() < 1e-5, "{at}: {} and {}", fixed[at], adapted[at]);
    }
}

#[test]
fn what_was_learned_is_forgotten_and_steps_are_as_long_as_gradients_are_usual() {
    let (data, model, _) = text(Mode::Text);
    let (train, val) = (&data.splits.train, &data.splits.val);
    let fixed = model.score_split(val, &mut |_| Ok(())).unwrap();
    let total = |scores: &[f32]| scores.iter().map(|&score| f64::from(score)).sum::<f64>();
    // decay 1 returns to the trained weights after each step, so the scores are those without adapting.
    let plain = Adapt { segment: 20, ..Adapt::new(0.1).unwrap() };
    let forgetful = scores(&model, val, Adapt { lr: 0.0, decay: 1.0, ..plain });
    assert!(forgetful.iter().zip(&fixed).all(|(a, b)| (a - b).abs() < 2e-6));
    let kept = scores(&model, val, Adapt { decay: 1e-9, ..plain });
    let plain = scores(&model, val, plain);
    assert!(kept.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-3));
    let rms = Adapt { lr: 3e-3, segment: 20, decay: 1e-3, rms: Some(val) };
    let fixed = model.score_split(train, &mut |_| Ok(())).unwrap();
    let adapted = scores(&model, train, rms);
    assert!(total(&adapted) > total(&fixed) + 50.0, "{} and {}", total(&adapted), total(&fixed));
}

#[test]
fn in_a_mixture_those_adapt_that_can() {
    let (data, model, mut config) = text(Mode::Text);
    config.model = ModelConfig::of("ngram").with("order", 3);
    let (ngram, _) = count(&config, &data).unwrap();
    let (split, adapt) = (&data.splits.val, Adapt::new(0.1).unwrap());
    assert!(ngram.score_adapting(split, &adapt, &mut |_| Ok(())).unwrap().is_none());
    let of_members = vec![scores(&model, split, adapt), ngram.score_split(split, &mut |_| Ok(())).unwrap()];
    let mixture = Mixture::new(vec![(0.4, Box::new(model)), (0.6, ngram)]);
    let all = scores(&mixture, split, adapt);
    assert_eq!(all, mean_scores(&[0.4, 0.6], &of_members));
    // A product needs whole distributions; the scores are the entries of their targets.
    let (log_probs, tokens) =
        predictions(&*mixture.members()[0], split, Some(&adapt), &mut |_| Ok(())).unwrap();
    let vocab = data.vocab.len();
    for ((row, &token), score) in log_probs.chunks_exact(vocab).zip(&tokens).zip(&of_members[0]) {
        assert_eq!(row[token as usize], *score);
        let sum: f64 = row.iter().map(|&p| f64::from(p).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
    let (rows, _) = predictions(&mixture, split, Some(&adapt), &mut |_| Ok(())).unwrap();
    let of_rows = rows.chunks_exact(vocab).zip(&tokens).map(|(row, &token)| row[token as usize]);
    assert!(of_rows.eq(all), "a mean within a product says what it says alone");
}

#[test]
fn a_recurrent_net_adapts_to_a_text_with_its_state_carried_on() {
    let (data, _, mut config) = text(Mode::Text);
    config.model = ModelConfig::of("gru").with("hidden", 24);
    config.train.feed = Some(crate::config::Feed::Streams);
    let model = Neural::new(&config, data.vocab.len(), &mut TorchGenerator::new(3)).unwrap();
    let split = &data.splits.val;
    let fixed = model.score_split(split, &mut |_| Ok(())).unwrap();
    let same = scores(&model, split, Adapt { segment: 7, ..Adapt::new(0.0).unwrap() });
    assert_eq!(fixed.len(), same.len());
    assert!(fixed.iter().zip(&same).all(|(a, b)| (a - b).abs() < 1e-4));
    let total = |scores: &[f32]| scores.iter().map(|&score| f64::from(score)).sum::<f64>();
    let adapted = scores(&model, split, Adapt { segment: 20, ..Adapt::new(0.5).unwrap() });
    assert!(total(&adapted) > total(&fixed) + 20.0, "{} and {}", total(&adapted), total(&fixed));
}

/// Models whose segments read their context anew.
const REREADING: [(&str, Mode); 7] = [
    ("kind = 'gru'\nhidden = 24", Mode::Lines),
    ("kind = 'lstm'\nhidden = 16\nlayers = 2\nrecurrent_dropout = 0.2", Mode::Lines),
    ("kind = 'transformer'\nlayers = 2\nheads = 2\nembed = 16\ndropout = 0.1\ninit_std = 0.3", Mode::Lines),
    ("kind = 'transformer'\nlayers = 1\nheads = 2\nembed = 16\ncontext = 3\nstride = 2", Mode::Lines),
    ("kind = 'bow'\nembed = 16\nhidden = 16", Mode::Lines),
    (
        "kind = 'transformer'\nlayers = 2\nheads = 2\nembed = 16\ncontext = 16\npositions = 'rotary'",
        Mode::Text,
    ),
    ("kind = 'bow'\nembed = 16\nhidden = 16\ncontext = 24", Mode::Text),
];

fn rereading(model: &str, mode: Mode) -> (Data, Neural) {
    let mut config = Config::from_toml(&format!("[model]\n{model}"), "test".as_ref()).unwrap();
    let data = text(mode).0;
    crate::models::fill_from_data(&mut config, &data).unwrap();
    let model = Neural::new(&config, data.vocab.len(), &mut TorchGenerator::new(3)).unwrap();
    (data, model)
}

#[test]
fn words_and_windows_are_scored_as_without_learning_at_a_rate_of_0_and_better_at_a_good_one() {
    for (model, mode) in REREADING {
        println!("{model} {mode:?}");
        let (data, model) = rereading(model, mode);
        let split = &data.splits.train;
        let fixed = model.score_split(split, &mut |_| Ok(())).unwrap();
        let same = scores(&model, split, Adapt { segment: 7, ..Adapt::new(0.0).unwrap() });
        charloom_testkit::assert_close(&same, &fixed, 1e-4, 1e-5);
        let before = model.params.values().to_vec();
        let adapted = scores(&model, split, Adapt { segment: 20, ..Adapt::new(0.1).unwrap() });
        charloom_testkit::assert_close(&adapted[..20], &fixed[..20], 1e-4, 1e-5);
        let total = |scores: &[f32]| scores.iter().map(|&score| f64::from(score)).sum::<f64>();
        assert!(total(&adapted) > total(&fixed) + 100.0, "{} and {}", total(&adapted), total(&fixed));
        assert_eq!(before, model.params.values());
    }
}

/// The gradient of the sum of a sequence's losses, read by itself from its beginning.
fn alone(model: &Neural, sequence: &[u32]) -> Vec<f32> {
    let length = sequence.len() - 1;
    let shape = match &model.net {
        Net::Attention(_) => Shape::Blocks { sequences: 1, length },
        _ => Shape::Streams { streams: 1, length, carried: false },
    };
    let (mut recording, recorded) = Recording::new(&model.params, |tape| model.net.loss(tape, shape));
    for (k, &which) in recorded.inputs.iter().enumerate() {
        recording.set_indices(which, |to| to.copy_from_slice(&sequence[k..][..length]));
    }
    let mut grads = Grads::zeros(&model.params);
    recording.forward(&model.params, &Pass::evaluation());
    recording.backward(&model.params, &mut grads, recorded.loss, &Pass::evaluation());
    grads.values().iter().map(|g| g * length as f32).collect()
}

#[test]
fn a_segments_gradient_is_that_of_its_words_read_one_by_one() {
    for (model, mode) in REREADING.into_iter().filter(|(model, _)| !model.contains("context = 3")) {
        let (data, mut model) = rereading(model, mode);
        let split = &data.splits.train;
        let adapted = scores(&model, split, Adapt { segment: 13, ..Adapt::new(0.3).unwrap() });
        let tokens = split.tokens_with_start().slice(0..14).to_vec();
        let mut gradient = vec![0.0; model.params.values().len()];
        let mut start = 0;
        for at in 1..tokens.len() {
            if at + 1 == tokens.len() || Some(tokens[at]) == split.boundary() {
                gradient.iter_mut().zip(alone(&model, &tokens[start..=at])).for_each(|(sum, g)| *sum += g);
                start = at;
            }
        }
        model.params.values_mut().iter_mut().zip(gradient).for_each(|(p, g)| *p -= 0.3 / 13.0 * g);
        let stepped = model.score_split(split, &mut |_| Ok(())).unwrap();
        charloom_testkit::assert_close(&adapted[13..26], &stepped[13..26], 1e-4, 1e-4);
    }
}

#[test]
fn every_token_is_scored_once_and_in_order_with_as_much_before_it_as_in_an_evaluation() {
    for (mode, context, stride, size) in
        [(Mode::Lines, 30, 1, 7), (Mode::Lines, 3, 1, 5), (Mode::Text, 16, 4, 50), (Mode::Text, 16, 16, 3)]
    {
        let data = text(mode).0;
        let split = &data.splits.val;
        let (tokens, segments) = segments(split, SlidingWindow { context, stride }, size);
        let mut next = 0;
        for (k, spans) in segments.iter().enumerate() {
            for span in spans {
                assert_eq!(span.from + span.scored_from, next);
                assert!(span.to - span.from <= context && next / size == k && (span.to - 1) / size == k);
                let begins = mode == Mode::Lines && tokens[span.from] == 0 || span.from == 0;
                assert!(begins || span.scored_from + 1 > context - stride);
                next = span.to;
            }
        }
        assert_eq!((next, tokens.len()), (tokens.len() - 1, next + 1));
    }
}

#[test]
fn values_out_of_range_are_refused() {
    assert!(Adapt::new(-0.1).unwrap_err().to_string().starts_with("``adapt`` -0.1"));
    assert!(Adapt::new(f64::NAN).is_err());
    let refused = |segment| Adapt { segment, ..Adapt::new(0.1).unwrap() }.check().unwrap_err().to_string();
    assert!(refused(0).starts_with("``adapt_segment`` 0") && refused(4097).contains("4096"));
}
