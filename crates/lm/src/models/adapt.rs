//! Dynamic evaluation: what a model has read, and was judged on, it learns from before it reads on.

mod streams;
#[cfg(test)]
mod tests;
mod trees;
mod windows;

use charloom_tensor::{Grads, NodeId, Params, Pass, Recording};

use super::{See, Tell};
use crate::data::Split;
use crate::{Error, Result, words};

pub(super) use streams::judge_streams;
pub(super) use trees::judge_trees;
pub(super) use windows::judge_windows;

words! {
    /// The rule that a model that adapts makes its steps by: see [`Adapt`].
    AdaptRule {
        /// Along the gradient.
        Plain = "plain",
        /// By the size that each gradient has on the training split.
        Rms = "rms",
    }
}

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
const SEGMENT: usize = 50;
/// The most.
const MAX_SEGMENT: usize = 4096;
/// How many segments of the training split the mean squares are taken over.
const MEASURED: usize = 1000;
/// What is added to a root mean square before it divides.
const EPS: f32 = 1e-3;

impl<'s> Adapt<'s> {
    /// The plain rule with this learning rate and the usual segments.
    ///
    /// # Errors
    /// As [`Adapt::check`].
    pub fn new(lr: f64) -> Result<Self> {
        let adapt = Self { lr, segment: SEGMENT, decay: 0.0, rms: None };
        adapt.check().map(|()| adapt)
    }

    /// With this learning rate, and what else is asked for: the usual segments, the plain rule and no decay where nothing is. `train`
    /// gives the training split to the rule that measures it.
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

/// Judges a segment: its recording, loss and pass, and which of the loss's examples each of its characters is.
type Judge<'j> =
    &'j mut dyn FnMut(&mut Recording<f32>, NodeId, &Pass<'_>, &mut dyn Iterator<Item = usize>) -> Result<()>;

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
}

impl<'a> Learner<'a> {
    /// `read` has the learner judge every segment of a split, or so many; `see` is told of each character.
    ///
    /// # Errors
    /// Those of `read` and `tell`.
    fn judge(
        trained: &'a Params<f32>,
        split: &Split,
        adapt: &'a Adapt<'a>,
        see: See<'_>,
        tell: Tell<'_>,
        mut read: impl FnMut(&Split, usize, Judge<'_>) -> Result<()>,
    ) -> Result<()> {
        let grads = Grads::zeros(trained);
        let (squares, roots) = (Vec::new(), Vec::new());
        let params = trained.clone();
        let mut learner = Self { adapt, params, grads, trained, squares, measured: 0, roots };
        if let Some(train) = adapt.rms {
            learner.squares = vec![0.0; trained.values().len()];
            read(train, MEASURED, &mut |recording, loss, pass, _| {
                learner.measure(recording, loss, pass);
                Ok(())
            })?;
            learner.take_roots();
        }
        let (judged, mut place, mut log_probs) = (split.tokens().len(), 0, Vec::new());
        read(split, usize::MAX, &mut |recording, loss, pass, examples| {
            recording.forward(&learner.params, pass);
            for example in examples {
                let (token, probs) = recording.probs(loss, example);
                log_probs.clear();
                log_probs.extend(probs.iter().map(|&p| libm::logf(p)));
                log_probs[token as usize] = -recording.costs(loss)[example];
                see(place, token, &log_probs);
                place += 1;
            }
            learner.learn(recording, loss, pass);
            tell(place as f64 / judged as f64)
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
