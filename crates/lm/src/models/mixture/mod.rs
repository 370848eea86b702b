//! Mixtures: means or products of several models' distributions.

mod kind;
mod powers;
mod product;
mod weights;

pub use kind::{Member, MemberSummary, MixtureSettings, OpinionPool, members};
pub(super) use kind::{MixtureKind, check_size, configurations, count_parameters};
pub use powers::{Predictions, fit_powers};
pub use product::Power;
pub use weights::{FittedWeights, fit_weights};

use std::path::Path;

use super::score::{Visit, predict_split, scored_count};
use super::{Adapt, Distributions, LanguageModel, Progress, Reach, Reader, SlidingWindow, State, score};
use crate::data::{Split, memory};
use crate::files::NamedTensor;
use crate::{Checkpoint, Error, Result};
use product::Scratch;

/// A mixture of models: the mean of their probabilities `p(x) = sum_i w_i p_i(x)` with weights w of sum 1, or
/// their product `p(x) ~ prod_i p_i(x)^{w_i}` with powers w as [`Power`] says.
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
    rule: Rule,
}

/// How the members' distributions become one.
enum Rule {
    /// Their weighted mean; these are the logarithms of the weights.
    Mean(Vec<f64>),
    /// Their product.
    Product(Vec<Power>),
}

impl Rule {
    /// The mixture's log-probabilities, from a row of each member.
    fn combine(&self, of_members: &[&[f32]], scratch: &mut Scratch, out: &mut [f32]) {
        match self {
            Self::Mean(log_weights) => {
                for (at, out) in out.iter_mut().enumerate() {
                    *out = mean(log_weights, of_members.iter().map(move |row| row[at]));
                }
            }
            Self::Product(powers) => product::multiply(powers, of_members, scratch, out),
        }
    }
}

/// The logarithm of a weighted mean of probabilities, from their logarithms.
fn mean(log_weights: &[f64], of_members: impl Iterator<Item = f32> + Clone) -> f32 {
    log_sum_exp(of_members.zip(log_weights).map(|(p, w)| f64::from(p) + w)) as f32
}

impl Mixture {
    /// The weighted mean of models of one vocabulary.
    ///
    /// # Panics
    /// There is no model, or the vocabularies are of different sizes.
    #[must_use]
    pub fn new(members: Vec<(f64, Box<dyn LanguageModel>)>) -> Self {
        let (weights, members): (Vec<f64>, Vec<Box<dyn LanguageModel>>) = members.into_iter().unzip();
        Self::with(members, Rule::Mean(weights.into_iter().map(libm::log).collect()))
    }

    /// The product of models of one vocabulary.
    ///
    /// # Panics
    /// As [`Mixture::new`], or a power does not depend on as many entropies as there are models.
    #[must_use]
    pub fn product(members: Vec<(Power, Box<dyn LanguageModel>)>) -> Self {
        let (powers, members): (Vec<Power>, Vec<Box<dyn LanguageModel>>) = members.into_iter().unzip();
        assert!(powers.iter().all(|power| power.by_entropy.len() == members.len()));
        Self::with(members, Rule::Product(powers))
    }

    fn with(members: Vec<Box<dyn LanguageModel>>, rule: Rule) -> Self {
        let sizes = members.iter().map(|member| member.vocab_size());
        assert!(sizes.clone().all(|size| size == members[0].vocab_size()) && !members.is_empty());
        Self { members, rule }
    }

    /// The models.
    #[must_use]
    pub fn members(&self) -> &[Box<dyn LanguageModel>] {
        &self.members
    }

    /// Calls `f` for each member in turn; `progress` is called with the share of all members' work done.
    fn map_members<T>(
        &self,
        progress: Progress<'_>,
        mut f: impl FnMut(&dyn LanguageModel, Progress<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.members.len() as f64;
        let members = self.members.iter().enumerate();
        members.map(|(i, member)| f(&**member, &mut |share| progress((i as f64 + share) / count))).collect()
    }
}

/// The scores of a weighted mean, from its members'.
///
/// # Panics
/// If members differ in their number of scores.
#[must_use]
pub fn mean_scores(weights: &[f64], of_members: &[Vec<f32>]) -> Vec<f32> {
    let log_weights: Vec<f64> = weights.iter().map(|&weight| libm::log(weight)).collect();
    mean_of(&log_weights, of_members)
}

fn mean_of(log_weights: &[f64], of_members: &[Vec<f32>]) -> Vec<f32> {
    let all = 0..of_members[0].len();
    all.map(|at| mean(log_weights, of_members.iter().map(move |scores| scores[at]))).collect()
}

/// The log-probabilities of each scored token of a split and the token itself; with `adapt`, by dynamic
/// evaluation if the model can adapt.
///
/// # Shapes
/// (N, V), (N)
///
/// # Errors
/// More than fits into memory; those of `progress`.
pub fn predictions(
    model: &dyn LanguageModel,
    split: &Split,
    adapt: Option<&Adapt<'_>>,
    progress: Progress<'_>,
) -> Result<(Vec<f32>, Vec<u32>)> {
    let (vocab, count) = (model.vocab_size(), scored_count(split));
    let bytes = (count as u64).saturating_mul(4 * (vocab as u64 + 1));
    memory::check(bytes, memory::available()).map_err(|message| {
        let message = format!(": {count} distributions of {vocab} characters take {message}; use less text");
        Error::setting("product", message)
    })?;
    let (mut log_probs, mut tokens) = (vec![0.0; count * vocab], vec![0; count]);
    let mut visit = |place: usize, token: u32, row: &[f32]| {
        log_probs[place * vocab..][..vocab].copy_from_slice(row);
        tokens[place] = token;
    };
    match adapt {
        Some(adapt) if model.can_adapt(split) => {
            model.predict_adapting(split, adapt, &mut visit, progress)?
        }
        _ => predict_split(&mut *model.reader(), vocab, split, &mut visit, progress)?,
    }
    Ok((log_probs, tokens))
}

/// `log(sum_i exp(x_i))`, shifted by the largest x, so that exp does not underflow.
fn log_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        // All terms are minus infinity or NaN, and so is their sum.
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
        Box::new(MixtureReader {
            mixture: self,
            members,
            vocab: self.vocab_size(),
            of_members: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    fn score_split(&self, split: &Split, progress: Progress<'_>) -> Result<Vec<f32>> {
        match &self.rule {
            Rule::Mean(log_weights) => {
                let scores =
                    self.map_members(progress, |member, progress| member.score_split(split, progress))?;
                Ok(mean_of(log_weights, &scores))
            }
            Rule::Product(_) => score::score_split(&mut *self.reader(), self.vocab_size(), split, progress),
        }
    }

    fn predict_adapting(
        &self,
        split: &Split,
        adapt: &Adapt<'_>,
        visit: Visit<'_>,
        progress: Progress<'_>,
    ) -> Result<()> {
        let all =
            self.map_members(progress, |member, progress| predictions(member, split, Some(adapt), progress))?;
        let (vocab, mut scratch) = (self.vocab_size(), Scratch::default());
        let mut out = vec![0.0; vocab];
        for (place, &token) in all[0].1.iter().enumerate() {
            let rows: Vec<&[f32]> = all.iter().map(|(own, _)| &own[place * vocab..][..vocab]).collect();
            self.rule.combine(&rows, &mut scratch, &mut out);
            visit(place, token, &out);
        }
        Ok(())
    }

    fn can_adapt(&self, split: &Split) -> bool {
        self.members.iter().any(|member| member.can_adapt(split))
    }

    fn score_adapting(
        &self,
        split: &Split,
        adapt: &Adapt<'_>,
        progress: Progress<'_>,
    ) -> Result<Option<Vec<f32>>> {
        let Rule::Mean(log_weights) = &self.rule else {
            return score::score_adapting(self, split, adapt, progress);
        };
        if !self.can_adapt(split) {
            return Ok(None);
        }
        // A mean needs only the scores of each member, not whole distributions.
        let scores = self.map_members(progress, |member, progress| {
            match member.score_adapting(split, adapt, progress)? {
                Some(scores) => Ok(scores),
                None => member.score_split(split, progress),
            }
        })?;
        Ok(Some(mean_of(log_weights, &scores)))
    }
}

/// The reach of a mixture of two models.
fn farther(one: Reach, other: Reach) -> Reach {
    match (one, other) {
        (Reach::Unbounded, _) | (_, Reach::Unbounded) => Reach::Unbounded,
        (Reach::Window(a), Reach::Window(b)) => Reach::Window(a.max(b)),
        (Reach::Window(a) | Reach::AtMost(a), Reach::Window(b) | Reach::AtMost(b)) => Reach::AtMost(a.max(b)),
    }
}

/// Reads with every member; each has its own cache of distributions, as it does by itself.
struct MixtureReader<'m> {
    mixture: &'m Mixture,
    members: Vec<Box<dyn Reader + 'm>>,
    vocab: usize,
    /// The log-probabilities of all sequences, one member after another.
    of_members: Vec<f32>,
    scratch: Scratch,
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
        let Self { mixture, members, vocab, of_members, scratch } = self;
        let size = out.len();
        of_members.resize(members.len() * size, 0.0);
        let outs = of_members.chunks_exact_mut(size.max(1));
        members.iter_mut().zip(&state.members).zip(outs).for_each(|((m, s), out)| m.log_probs(s, out));
        for (row, out) in out.chunks_exact_mut(*vocab).enumerate() {
            let members = of_members.chunks_exact(size);
            let rows: Vec<&[f32]> = members.map(|member| &member[row * *vocab..][..*vocab]).collect();
            mixture.rule.combine(&rows, scratch, out);
        }
    }

    fn distributions(&mut self, state: &State, vocab: usize, known: &mut Distributions) {
        let Self { mixture, members, scratch, .. } = self;
        debug_assert_eq!(vocab, self.vocab);
        known.mixed(
            [state.rows, members.len(), vocab],
            |i, known| members[i].distributions(&state.members[i], vocab, known),
            |rows, out| mixture.rule.combine(rows, scratch, out),
        );
    }

    fn sliding_window(&self) -> SlidingWindow {
        let all = self.members.iter().map(|member| member.sliding_window());
        all.reduce(|one, other| SlidingWindow {
            context: one.context.max(other.context),
            stride: common_multiple(one.stride, other.stride),
        })
        .expect("there is a member")
    }
}

/// The least common multiple.
fn common_multiple(one: usize, other: usize) -> usize {
    let mut multiples = (1..=other).map(|n| one.saturating_mul(n));
    multiples.find(|multiple| multiple % other == 0).unwrap_or(usize::MAX)
}

/// The prefix of a member's tensors in the mixture's file.
pub(crate) fn member_prefix(member: usize) -> String {
    format!("members.{member}.")
}

/// The checkpoints of a mixture's members, one after another.
///
/// # Errors
/// A tensor that belongs to no member.
fn member_checkpoints(checkpoint: &Checkpoint, path: &Path) -> Result<impl Iterator<Item = Checkpoint>> {
    let members = configurations(&checkpoint.config)?;
    let prefixes: Vec<String> = (0..members.len()).map(member_prefix).collect();
    let is_members = |tensor: &&NamedTensor| prefixes.iter().any(|prefix| tensor.name.starts_with(prefix));
    if let Some(stray) = checkpoint.tensors.iter().find(|tensor| !is_members(tensor)) {
        let message = format!("the tensor {} belongs to none of the {} members", stray.name, members.len());
        return Err(Error::model(path, message));
    }
    Ok(members.into_iter().zip(prefixes).map(|(config, prefix)| {
        let own = |tensor: &NamedTensor| {
            let name = tensor.name.strip_prefix(&prefix)?.to_owned();
            Some(NamedTensor { name, ..tensor.clone() })
        };
        Checkpoint {
            config,
            vocab: checkpoint.vocab.clone(),
            step: checkpoint.step,
            metrics_bytes: 0,
            tensors: checkpoint.tensors.iter().filter_map(own).collect(),
            state: Vec::new(),
        }
    }))
}

/// The model of a mixture's checkpoint, whose configuration is checked.
///
/// # Errors
/// As [`open`](super::open), with the member's number.
pub(super) fn open(checkpoint: &Checkpoint, path: &Path) -> Result<Mixture> {
    let open = |(i, member): (usize, Checkpoint)| {
        super::open(&member, path).map_err(|error| match error {
            Error::Model { path, message } => Error::model(path, format!("member {i}: {message}")),
            other => Error::model(path, format!("member {i}: {other}")),
        })
    };
    let members: Vec<_> =
        member_checkpoints(checkpoint, path)?.enumerate().map(open).collect::<Result<_>>()?;
    let MixtureSettings { pool, members: settings } = checkpoint.config.model.read()?;
    let settings = settings.into_iter();
    Ok(match pool {
        OpinionPool::Mean => Mixture::new(settings.map(|member| member.weight).zip(members).collect()),
        OpinionPool::Product => {
            Mixture::product(settings.map(|member| member.power()).zip(members).collect())
        }
    })
}

#[cfg(test)]
mod product_tests;
#[cfg(test)]
mod tests;
