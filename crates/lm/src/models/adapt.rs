//! Dynamic evaluation: what a model has read, and was judged on, it learns from before it reads on.

use charloom_tensor::{Grads, NodeId, Params, Pass, Recording, Rows};

use super::net::{Net, Recorded};
use super::{Stack, Tell};
use crate::data::Split;
use crate::feed::Shape;
use crate::{Error, Result};

/// How a model learns from what it reads: after every `segment` characters, each judged before, it makes a step along the
/// gradient g of their mean loss, and back towards the weights that it was trained to:
///
/// - the plain rule: `p -= lr g - decay (p0 - p)`
/// - with `rms`: `p -= lr g / (r + 1e-3) - min(1, decay r / mean(r)) (p0 - p)`, r the root of g's mean square over the training
///   split's first segments.
///
/// # Source
/// Krause, Kahembwe, Murray and Renals 2018, "Dynamic evaluation of neural sequence models", sections 4 and 5; without dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapt<'s> {
    /// The learning rate.
    pub lr: f64,
    /// The characters of a step.
    pub segment: usize,
    /// How fast what was learned is forgotten, a share of it a step.
    pub decay: f64,
    /// The training split, for the rule with `rms`.
    pub rms: Option<&'s Split>,
}

/// The characters of a step where none are named.
pub const SEGMENT: usize = 50;
/// The most.
const MAX_SEGMENT: usize = 4096;
/// How many segments of the training split the mean squares are taken over.
const MEASURED: usize = 1000;
/// What is added to a root mean square before it divides.
const EPS: f32 = 1e-3;

impl Adapt<'_> {
    /// The plain rule with this learning rate and the usual segments.
    ///
    /// # Errors
    /// As [`Adapt::check`].
    pub fn new(lr: f64) -> Result<Self> {
        let adapt = Self { lr, segment: SEGMENT, decay: 0.0, rms: None };
        adapt.check().map(|()| adapt)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn check(&self) -> Result<()> {
        if !(0.0..=1e3).contains(&self.lr) {
            return Err(Error::out_of_range("adapt", self.lr, "from 0 to 1000"));
        }
        if !(1..=MAX_SEGMENT).contains(&self.segment) {
            let limit = format!("from 1 to {MAX_SEGMENT}");
            return Err(Error::out_of_range("adapt_segment", self.segment, limit));
        }
        if !(0.0..=1.0).contains(&self.decay) {
            return Err(Error::out_of_range("adapt_decay", self.decay, "from 0 to 1"));
        }
        Ok(())
    }
}

/// Judges a segment: its recording, loss and pass, and how many characters it has.
type Judge<'j> = &'j mut dyn FnMut(&mut Recording<f32>, NodeId, &Pass<'_>, usize) -> Result<()>;

/// A copy of a model's parameters that learns from segments, one after another.
struct Learner<'a> {
    adapt: &'a Adapt<'a>,
    params: Params<f32>,
    grads: Grads<f32>,
    /// The parameters as they were trained.
    trained: &'a Params<f32>,
    /// The sum of squared gradients of the segments that they are measured on, and how many those are.
    squares: Vec<f32>,
    measured: usize,
    /// Of each parameter, once they are: the root of its mean square, and the share of what it learned that it forgets.
    roots: Vec<[f32; 2]>,
    /// The logarithm of each judged character's probability.
    scores: Vec<f32>,
}

impl<'a> Learner<'a> {
    /// `read` has the learner judge every segment of a split, or so many.
    fn score(
        trained: &'a Params<f32>,
        split: &Split,
        adapt: &'a Adapt<'a>,
        tell: Tell<'_>,
        mut read: impl FnMut(&Split, usize, Judge<'_>) -> Result<()>,
    ) -> Result<Vec<f32>> {
        let grads = Grads::zeros(trained);
        let (squares, roots, scores) = (Vec::new(), Vec::new(), Vec::new());
        let params = trained.clone();
        let mut learner = Self { adapt, params, grads, trained, squares, measured: 0, roots, scores };
        if let Some(train) = adapt.rms {
            learner.squares = vec![0.0; trained.values().len()];
            read(train, MEASURED, &mut |recording, loss, pass, _| {
                learner.measure(recording, loss, pass);
                Ok(())
            })?;
            learner.take_roots();
        }
        let judged = split.tokens().len();
        read(split, usize::MAX, &mut |recording, loss, pass, count| {
            recording.forward(&learner.params, pass);
            learner.scores.extend(recording.costs(loss)[..count].iter().map(|cost| -cost));
            learner.learn(recording, loss, pass);
            tell(learner.scores.len() as f64 / judged as f64)
        })?;
        Ok(learner.scores)
    }

    fn measure(&mut self, recording: &mut Recording<f32>, loss: NodeId, pass: &Pass<'_>) {
        recording.forward(&self.params, pass);
        recording.backward(&self.params, &mut self.grads, loss, pass);
        self.squares.iter_mut().zip(self.grads.values()).for_each(|(sum, g)| *sum += g * g);
        self.measured += 1;
    }

    fn take_roots(&mut self) {
        let segments = self.measured.max(1) as f32;
        let roots: Vec<f32> = self.squares.iter().map(|sum| (sum / segments).sqrt()).collect();
        let mean = (roots.iter().map(|&r| f64::from(r)).sum::<f64>() / roots.len().max(1) as f64) as f32;
        let decay = self.adapt.decay as f32;
        let forgets = |r: f32| if mean > 0.0 { (decay * r / mean).min(1.0) } else { decay };
        self.roots = roots.into_iter().map(|r| [r, forgets(r)]).collect();
    }

    fn learn(&mut self, recording: &mut Recording<f32>, loss: NodeId, pass: &Pass<'_>) {
        let Self { adapt, params, grads, trained, roots, .. } = self;
        let (lr, decay) = (adapt.lr as f32, adapt.decay as f32);
        if adapt.rms.is_none() && decay == 0.0 {
            return recording.descend(params, grads, loss, lr, pass);
        }
        recording.backward(params, grads, loss, pass);
        let all = params.values_mut().iter_mut().zip(trained.values()).zip(grads.values());
        for (i, ((p, p0), g)) in all.enumerate() {
            let (step, forgets) = roots.get(i).map_or((*g, decay), |[r, forgets]| (g / (r + EPS), *forgets));
            *p += forgets * (p0 - *p) - lr * step;
        }
    }
}

/// The scores of a split by layers over a window; what they have become by the end is discarded.
///
/// # Errors
/// Only those of `tell`.
pub(super) fn score_windows(
    params: &Params<f32>,
    stack: &Stack,
    split: &Split,
    adapt: &Adapt<'_>,
    tell: Tell<'_>,
) -> Result<Vec<f32>> {
    let (stack, length) = (stack.without_dropout(), stack.context);
    let (mut recording, ([contexts, targets], loss)) = Recording::new(params, |tape| {
        let rows = tape.axis(adapt.segment);
        let inputs = [tape.index_rows(rows, &[length]), tape.index_rows(rows, &[])];
        (inputs, stack.logits(tape, inputs[0]).cross_entropy(inputs[1]).id())
    });
    recording.fuse(&[loss]);
    Learner::score(params, split, adapt, tell, |split, most, judge| {
        let (judged, first) = match (split.boundary(), split.tokens().split_first()) {
            (_, None) => return Ok(()),
            (Some(boundary), _) => (split.tokens(), boundary),
            (None, Some((&first, rest))) => (rest, first),
        };
        let mut window = vec![first; length];
        for segment in judged.chunks(adapt.segment).take(most) {
            recording.set_indices(contexts, |to| {
                for (&token, to) in segment.iter().zip(to.chunks_exact_mut(length.max(1))) {
                    to.copy_from_slice(&window);
                    if Some(token) == split.boundary() {
                        window.fill(token);
                    } else {
                        window.rotate_left(1);
                        window[length - 1] = token;
                    }
                }
            });
            recording.set_indices(targets, |to| to[..segment.len()].copy_from_slice(segment));
            let rows = [Rows::First(segment.len())];
            judge(&mut recording, loss, &Pass { rows: &rows, ..Pass::evaluation() }, segment.len())?;
        }
        Ok(())
    })
}

/// The recording of a segment of so many characters.
type Segment = (usize, Recording<f32>, Recorded);

/// The scores of a running text by a net that carries its state on, and learns from each segment by itself; what it has
/// become by the end is discarded.
///
/// # Errors
/// Only those of `tell`.
pub(super) fn score_streams(
    params: &Params<f32>,
    net: &Net,
    split: &Split,
    adapt: &Adapt<'_>,
    tell: Tell<'_>,
) -> Result<Vec<f32>> {
    let record = |length: usize| {
        let (mut recording, recorded) =
            Recording::new(params, |tape| net.loss(tape, Shape::Streams { streams: 1, length }));
        let states = recorded.carried.iter().map(|&[_, states]| states);
        recording.fuse(&states.chain([recorded.loss]).collect::<Vec<_>>());
        (length, recording, recorded)
    };
    let (mut whole, mut rest): (Option<Segment>, Option<Segment>) = (None, None);
    Learner::score(params, split, adapt, tell, |split, most, judge| {
        let tokens = split.tokens();
        let mut states: Vec<Vec<f32>> = Vec::new();
        let judged = tokens.len().saturating_sub(1);
        for at in (0..judged).step_by(adapt.segment).take(most) {
            let length = adapt.segment.min(judged - at);
            let recorded = if length == adapt.segment { &mut whole } else { &mut rest };
            if recorded.as_ref().is_none_or(|(recorded, ..)| *recorded != length) {
                *recorded = Some(record(length));
            }
            let Some((_, recording, Recorded { inputs, loss, carried })) = recorded else { continue };
            for (k, &which) in inputs.iter().enumerate() {
                recording.set_indices(which, |to| to.copy_from_slice(&tokens[at + k..][..length]));
            }
            for (k, &[first, _]) in carried.iter().enumerate() {
                recording.set(first, |to| match states.get(k) {
                    Some(state) => to.copy_from_slice(state),
                    None => to.fill(0.0),
                });
            }
            judge(recording, *loss, &Pass::evaluation(), length)?;
            let last = |&[first, all]: &[NodeId; 2]| {
                let width = recording.shape(first).len();
                recording.with_data(all, |all| all[all.len() - width..].to_vec())
            };
            states = carried.iter().map(last).collect();
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::config::ModelConfig;
    use crate::data::{Data, DataConfig, Mode};
    use crate::models::{LanguageModel, Mixture, Neural, count};
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
            assert_eq!(adapted[..20], same[..20], "the first segment is judged before any step");
            let total = |scores: &[f32]| scores.iter().map(|&score| f64::from(score)).sum::<f64>();
            assert!(total(&adapted) > total(&fixed) + 100.0, "{} and {}", total(&adapted), total(&fixed));
            assert_eq!(before, model.params.values());
        }
    }

    #[test]
    fn a_step_is_the_gradient_of_the_segments_mean_loss() {
        // Scores of the second segment after one step are those of a model that made the step by itself.
        let (data, model, _) = text(Mode::Lines);
        let tokens = data.splits.train.tokens();
        let adapted = scores(&model, &data.splits.train, Adapt { segment: 12, ..Adapt::new(0.3).unwrap() });
        let stack = model.stack().unwrap().without_dropout();
        let mut params = model.params.clone();
        let contexts = |range: std::ops::Range<usize>| -> Vec<u32> {
            let examples = data.splits.train.examples(stack.context).unwrap();
            range.flat_map(|i| examples.distinct_context(examples.class(i)).collect::<Vec<_>>()).collect()
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
        // What is forgotten at once is never used.
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
        let of_members =
            vec![scores(&model, split, adapt), ngram.score_split(split, &mut |_| Ok(())).unwrap()];
        let mixture = Mixture::new(vec![(0.4, Box::new(model)), (0.6, ngram)]);
        assert_eq!(scores(&mixture, split, adapt), mixture.mix_scores(&of_members));
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
        let words = text(Mode::Lines).0;
        let none = model.score_adapting(&words.splits.val, &Adapt::new(0.1).unwrap(), &mut |_| Ok(()));
        assert!(none.unwrap().is_none(), "words are not one text");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(Adapt::new(-0.1).unwrap_err().to_string().starts_with("``adapt`` -0.1"));
        assert!(Adapt::new(f64::NAN).is_err());
        let refused =
            |segment| Adapt { segment, ..Adapt::new(0.1).unwrap() }.check().unwrap_err().to_string();
        assert!(refused(0).starts_with("``adapt_segment`` 0") && refused(4097).contains("4096"));
    }
}
