//! Mixtures: models of models.

mod kind;
mod weights;

pub use kind::{Member, MixtureSettings};
pub(super) use kind::{MixtureKind, check_size, configurations, count_parameters};
pub use weights::{FittedWeights, fit_weights};

use std::path::Path;

use super::{Adapt, Distributions, LanguageModel, Reach, Reader, State, Tell};
use crate::data::Split;
use crate::files::NamedTensor;
use crate::{Checkpoint, Error, Result};

/// A mixture of models: `p(x) = sum_i w_i p_i(x)`, the weights w at least 0 and their sum 1.
///
/// ```
/// use charloom::models::{LanguageModel, Mixture, NGram};
/// use charloom::config::Smoothing;
/// use charloom::data::{Data, DataConfig};
///
/// let data = Data::load(&DataConfig::default(), None)?;
/// let ngram = |order: usize| -> charloom::Result<Box<dyn LanguageModel>> {
///     let examples = data.splits.train.examples(order - 1)?;
///     Ok(Box::new(NGram::fit(&examples, 27, Some(0), Smoothing::KneserNey, 1.0)?))
/// };
/// let mixture = Mixture::new(vec![(0.5, ngram(3)?), (0.5, ngram(5)?)]);
/// let [both, one] = [&mixture as &dyn LanguageModel, &*ngram(3)?].map(|model| {
///     model.total_loss(&data.splits.val, &mut |_| Ok(())).unwrap().0
/// });
/// assert!(both < one);
/// # Ok::<(), charloom::Error>(())
/// ```
pub struct Mixture {
    members: Vec<Box<dyn LanguageModel>>,
    weights: Vec<f64>,
    /// Their logarithms.
    log_weights: Vec<f64>,
}

impl Mixture {
    /// A mixture of models of one vocabulary, each with its weight.
    ///
    /// # Panics
    /// There is no model, or the vocabularies are of different sizes.
    #[must_use]
    pub fn new(members: Vec<(f64, Box<dyn LanguageModel>)>) -> Self {
        let (weights, members): (Vec<f64>, Vec<Box<dyn LanguageModel>>) = members.into_iter().unzip();
        let sizes = members.iter().map(|member| member.vocab_size());
        assert!(sizes.clone().all(|size| size == members[0].vocab_size()) && !members.is_empty());
        let log_weights = weights.iter().map(|&weight| libm::log(weight)).collect();
        Self { members, weights, log_weights }
    }

    /// The models.
    #[must_use]
    pub fn members(&self) -> &[Box<dyn LanguageModel>] {
        &self.members
    }

    /// The weight of each.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The mixture's logarithm of a probability, from its members'.
    fn mix(&self, of_members: impl Iterator<Item = f32> + Clone) -> f32 {
        let terms = of_members.zip(&self.log_weights).map(|(p, w)| f64::from(p) + w);
        log_sum_exp(terms) as f32
    }

    /// The mixture's scores of a split, from its members'.
    ///
    /// # Panics
    /// If not each member has as many.
    #[must_use]
    pub fn mix_scores(&self, of_members: &[Vec<f32>]) -> Vec<f32> {
        let all = 0..of_members[0].len();
        all.map(|at| self.mix(of_members.iter().map(move |scores| scores[at]))).collect()
    }
}

/// `log(sum_i exp(x_i))`, shifted by the largest, so that no sum is 0 that is not.
fn log_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        // Of nothing but minus infinity, or NaN.
        return terms.sum();
    }
    most + libm::log(terms.map(|x| libm::exp(x - most)).sum())
}

impl LanguageModel for Mixture {
    fn vocab_size(&self) -> usize {
        self.members[0].vocab_size()
    }

    fn reach(&self) -> Reach {
        self.members.iter().map(|member| member.reach()).reduce(farther).expect("there is a member")
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        let members = self.members.iter().map(|member| member.reader()).collect();
        Box::new(MixtureReader { mixture: self, members, vocab: self.vocab_size(), scratch: Vec::new() })
    }

    fn score_split(&self, split: &Split, tell: Tell<'_>) -> Result<Vec<f32>> {
        let count = self.members.len() as f64;
        let scores = self
            .members
            .iter()
            .enumerate()
            .map(|(i, member)| member.score_split(split, &mut |share| tell((i as f64 + share) / count)));
        Ok(self.mix_scores(&scores.collect::<Result<Vec<_>>>()?))
    }

    fn score_adapting(&self, split: &Split, adapt: &Adapt<'_>, tell: Tell<'_>) -> Result<Option<Vec<f32>>> {
        let count = self.members.len() as f64;
        let adapted = self.members.iter().enumerate().map(|(i, member)| {
            member.score_adapting(split, adapt, &mut |share| tell((i as f64 + share) / count))
        });
        let adapted = adapted.collect::<Result<Vec<_>>>()?;
        if adapted.iter().all(Option::is_none) {
            return Ok(None);
        }
        let all = self.members.iter().zip(adapted).map(|(member, adapted)| match adapted {
            Some(scores) => Ok(scores),
            None => member.score_split(split, &mut |_| Ok(())),
        });
        Ok(Some(self.mix_scores(&all.collect::<Result<Vec<_>>>()?)))
    }
}

/// How far a mixture of two looks.
fn farther(one: Reach, other: Reach) -> Reach {
    match (one, other) {
        (Reach::Unbounded, _) | (_, Reach::Unbounded) => Reach::Unbounded,
        (Reach::Window(a), Reach::Window(b)) => Reach::Window(a.max(b)),
        (Reach::Window(a) | Reach::AtMost(a), Reach::Window(b) | Reach::AtMost(b)) => Reach::AtMost(a.max(b)),
    }
}

/// Reads with every member; each keeps the memo that it has alone.
struct MixtureReader<'m> {
    mixture: &'m Mixture,
    members: Vec<Box<dyn Reader + 'm>>,
    vocab: usize,
    /// Each member's distributions, one member after another.
    scratch: Vec<f32>,
}

impl Reader for MixtureReader<'_> {
    fn start(&mut self, n: usize, first: u32) -> State {
        let members = self.members.iter_mut().map(|member| member.start(n, first)).collect();
        State { rows: n, members, ..State::default() }
    }

    fn read(&mut self, state: &mut State, tokens: &[u32]) {
        for (member, state) in self.members.iter_mut().zip(&mut state.members) {
            member.read(state, tokens);
        }
    }

    fn log_probs(&mut self, state: &State, out: &mut [f32]) {
        let Self { mixture, members, scratch, .. } = self;
        let size = out.len();
        scratch.resize(members.len() * size, 0.0);
        let of_members = scratch.chunks_exact_mut(size.max(1));
        members.iter_mut().zip(&state.members).zip(of_members).for_each(|((m, s), out)| m.log_probs(s, out));
        for (at, out) in out.iter_mut().enumerate() {
            *out = mixture.mix(scratch[at..].iter().step_by(size).copied());
        }
    }

    fn distributions(&mut self, state: &State, vocab: usize, known: &mut Distributions) {
        let Self { mixture, members, .. } = self;
        debug_assert_eq!(vocab, self.vocab);
        known.mixed(
            [state.rows, members.len(), vocab],
            |i, known| members[i].distributions(&state.members[i], vocab, known),
            |rows, out| {
                for (at, out) in out.iter_mut().enumerate() {
                    *out = mixture.mix(rows.iter().map(move |row| row[at]));
                }
            },
        );
    }
}

/// What a member's tensors are called in the file of the mixture.
pub(crate) fn place(member: usize) -> String {
    format!("members.{member}.")
}

/// The checkpoints of a mixture's members, one after another, each with its weight.
///
/// # Errors
/// A tensor that belongs to no member.
pub(super) fn parts(checkpoint: &Checkpoint, path: &Path) -> Result<impl Iterator<Item = (f64, Checkpoint)>> {
    let members = configurations(&checkpoint.config)?;
    let places: Vec<String> = (0..members.len()).map(place).collect();
    let is_placed = |tensor: &&NamedTensor| places.iter().any(|place| tensor.name.starts_with(place));
    if let Some(stray) = checkpoint.tensors.iter().find(|tensor| !is_placed(tensor)) {
        let message = format!("the tensor {} belongs to none of the {} members", stray.name, members.len());
        return Err(Error::model(path, message));
    }
    Ok(members.into_iter().zip(places).map(|((weight, config), place)| {
        let own = |tensor: &NamedTensor| {
            let name = tensor.name.strip_prefix(&place)?.to_owned();
            Some(NamedTensor { name, ..tensor.clone() })
        };
        let part = Checkpoint {
            config,
            vocab: checkpoint.vocab.clone(),
            step: checkpoint.step,
            metrics_bytes: 0,
            tensors: checkpoint.tensors.iter().filter_map(own).collect(),
            state: Vec::new(),
        };
        (weight, part)
    }))
}

/// The model of a mixture's checkpoint, whose configuration is checked.
///
/// # Errors
/// As [`open`](super::open), with the member's number.
pub(super) fn open(checkpoint: &Checkpoint, path: &Path) -> Result<Mixture> {
    let open = |(i, (weight, part)): (usize, (f64, Checkpoint))| {
        let model = super::open(&part, path).map_err(|error| match error {
            Error::Model { path, message } => Error::model(path, format!("member {i}: {message}")),
            other => Error::model(path, format!("member {i}: {other}")),
        })?;
        Ok((weight, model))
    };
    Ok(Mixture::new(parts(checkpoint, path)?.enumerate().map(open).collect::<Result<_>>()?))
}

#[cfg(test)]
mod tests;
