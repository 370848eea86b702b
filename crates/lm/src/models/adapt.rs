//! Dynamic evaluation: a model scores a segment, learns from it, then goes on to the next.

mod streams;
#[cfg(test)]
mod tests;
mod trees;
mod windows;

use charloom_tensor::{Grads, NodeId, Params, Pass, Recording};

use super::{Progress, Visit};
use crate::data::Split;
use crate::{Error, Result, choices};

pub(super) use streams::predict_streams;
pub(super) use trees::predict_trees;
pub(super) use windows::predict_windows;

choices! {
    /// The update rule of dynamic evaluation: see [`Adapt`].
    AdaptRule {
        /// Plain gradient descent.
        Plain = "plain",
        /// Each gradient is divided by its root mean square on the training split.
        Rms = "rms",
    }
}

/// How a model adapts: after every `segment` scored characters it makes a step along the gradient g of their
/// mean loss, and a step back towards the weights p0 that it was trained to:
///
/// - the plain rule: `p -= lr g - decay (p0 - p)`
/// - with `rms`: `p -= lr g / (r + 1e-3) - min(1, decay r / mean(r)) (p0 - p)`, r the root mean square of g
///   over the training split's first 1000 segments.
///
/// # Source
/// Krause, Kahembwe, Murray and Renals 2018, "Dynamic evaluation of neural sequence models", sections 4 and
/// 5; without dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapt<'s> {
    /// The learning rate.
    pub lr: f64,
    /// The characters of a segment.
    pub segment: usize,
    /// The share of p0 - p that a step adds back: how fast what was learned is forgotten.
    pub decay: f64,
    /// The training split, for the rule with `rms`.
    pub rms: Option<&'s Split>,
}

/// The default `segment`.
const SEGMENT: usize = 50;
/// The largest `segment`.
const MAX_SEGMENT: usize = 4096;
/// The most segments of the training split over which mean squares are taken.
const MAX_MEASURED: usize = 1000;
/// Added to the root mean square that a gradient is divided by.
const EPS: f32 = 1e-3;

impl<'s> Adapt<'s> {
    /// The plain rule with this learning rate, segments of 50 and no decay.
    ///
    /// # Errors
    /// As [`Adapt::check`].
    pub fn new(lr: f64) -> Result<Self> {
        let adapt = Self { lr, segment: SEGMENT, decay: 0.0, rms: None };
        adapt.check().map(|()| adapt)
    }

    /// The learning rate and the other values given; by default segments of 50, the plain rule and no decay.
    /// `train` is called for the training split if the rule measures it.
    ///
    /// # Errors
    /// As [`Adapt::check`], and those of `train`.
    pub fn with(
        lr: f64,
        segment: Option<usize>,
        rule: Option<AdaptRule>,
        decay: Option<f64>,
        train: impl FnOnce() -> Result<&'s Split>,
    ) -> Result<Self> {
        let rms = if rule == Some(AdaptRule::Rms) { Some(train()?) } else { None };
        let adapt = Self { lr, segment: segment.unwrap_or(SEGMENT), decay: decay.unwrap_or(0.0), rms };
        adapt.check().map(|()| adapt)
    }

    /// The rule of its steps.
    #[must_use]
    pub fn rule(&self) -> AdaptRule {
        if self.rms.is_some() { AdaptRule::Rms } else { AdaptRule::Plain }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first value that is out of range.
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

/// Called for each segment with its recording, loss and pass, and the index in the loss of each of its
/// characters.
type OnSegment<'j> =
    &'j mut dyn FnMut(&mut Recording<f32>, NodeId, &Pass<'_>, &mut dyn Iterator<Item = usize>) -> Result<()>;

/// A copy of a model's parameters that learns from segments, one after another.
struct Learner<'a> {
    adapt: &'a Adapt<'a>,
    params: Params<f32>,
    grads: Grads<f32>,
    /// The parameters as they were trained.
    trained: &'a Params<f32>,
    /// The sum of squared gradients over segments of the training split, and the number of these segments.
    squares: Vec<f32>,
    measured: usize,
    /// For each parameter r and the share of p0 - p that a step adds back; empty for the plain rule.
    roots: Vec<[f32; 2]>,
}

impl<'a> Learner<'a> {
    /// `each_segment(split, most, on_segment)` calls `on_segment` for each segment of a split, at most `most`;
    /// `visit` is called for each scored character.
    ///
    /// # Errors
    /// Those of `each_segment` and `progress`.
    fn predict(
        trained: &'a Params<f32>,
        split: &Split,
        adapt: &'a Adapt<'a>,
        visit: Visit<'_>,
        progress: Progress<'_>,
        mut each_segment: impl FnMut(&Split, usize, OnSegment<'_>) -> Result<()>,
    ) -> Result<()> {
        let grads = Grads::zeros(trained);
        let (squares, roots) = (Vec::new(), Vec::new());
        let params = trained.clone();
        let mut learner = Self { adapt, params, grads, trained, squares, measured: 0, roots };
        if let Some(train) = adapt.rms {
            learner.squares = vec![0.0; trained.values().len()];
            each_segment(train, MAX_MEASURED, &mut |recording, loss, pass, _| {
                learner.measure(recording, loss, pass);
                Ok(())
            })?;
            learner.take_roots();
        }
        let (scored, mut place, mut log_probs) = (split.tokens().len(), 0, Vec::new());
        each_segment(split, usize::MAX, &mut |recording, loss, pass, examples| {
            recording.forward(&learner.params, pass);
            for example in examples {
                let (token, probs) = recording.probs(loss, example);
                log_probs.clear();
                log_probs.extend(probs.iter().map(|&p| libm::logf(p)));
                log_probs[token as usize] = -recording.losses(loss)[example];
                visit(place, token, &log_probs);
                place += 1;
            }
            learner.learn(recording, loss, pass);
            progress(place as f64 / scored as f64)
        })
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
