use serde::{Deserialize, Serialize};

use super::{Power, farther};
use crate::config::{ModelConfig, Setting, TrainConfig};
use crate::models::{Kind, Learning, Reach};
use crate::{Config, Error, Result, choices, settings};

/// Its name in `[model] kind`.
const NAME: &str = "mixture";
/// The most members, nested ones included.
const MAX_MEMBERS: usize = 64;
/// How deep mixtures may be nested.
const MAX_DEPTH: usize = 4;
/// The rounding error allowed in the sum of weights.
const TOLERANCE: f64 = 1e-6;

/// The largest absolute value of a power's coefficients.
const MAX_POWER: f64 = 1e3;

choices! {
    /// How a mixture combines its members' probabilities: as a linear or a logarithmic opinion pool.
    OpinionPool {
        /// Their mean, by weights from 0 to 1 whose sum is 1.
        Mean = "mean",
        /// Their product, by powers.
        Product = "product",
    }
}

settings! {
    /// The settings of a mixture.
    pub MixtureSettings {
        /// What becomes of the members' probabilities, which charloom mix writes
        pool: OpinionPool = OpinionPool::Mean, "mean or product", |_| true;
        /// The models that it is made of, which charloom mix writes
        members: Vec<Member> = Vec::new(), "one or more", |_| true;
    }
}

/// A member of a mixture: its weight, and the model and training settings of its own run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its weight in a mean; in a product, its power where all entropies are 0.
    pub weight: f64,
    /// In a product, how its power grows with each member's entropy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_entropy: Vec<f64>,
    /// The model.
    pub model: ModelConfig,
    /// How it was trained; None for a model that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainConfig>,
}

impl Member {
    /// Its power in a product.
    #[must_use]
    pub fn power(self) -> Power {
        Power { base: self.weight, by_entropy: self.by_entropy }
    }
}

/// A mixture as a kind of model.
pub(in crate::models) struct MixtureKind;

impl Kind for MixtureKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn settings(&self) -> &'static [Setting] {
        <MixtureSettings as crate::config::Settings>::SETTINGS
    }

    fn fill(&self, model: &mut ModelConfig) -> Result<Reach> {
        fill(model, MAX_DEPTH, &mut { MAX_MEMBERS })
    }

    fn learning(&self) -> Learning<'_> {
        Learning::OfMembers
    }
}

/// As [`Kind::fill`], of a mixture that may have `depth` levels of mixtures and `left` more members.
fn fill(model: &mut ModelConfig, depth: usize, left: &mut usize) -> Result<Reach> {
    let mut settings: MixtureSettings = model.read()?;
    let refuse = |message: String| Err(Error::setting("model.members", message));
    if settings.members.is_empty() {
        return Err(Error::setting(
            "model",
            format!("{NAME} is made of runs by charloom mix; train its members"),
        ));
    }
    *left = match left.checked_sub(settings.members.len()) {
        Some(left) => left,
        None => return refuse(format!("are more than {MAX_MEMBERS}; mix fewer models")),
    };
    let mut reach = Reach::Window(0);
    let (pool, count) = (settings.pool, settings.members.len());
    for (i, member) in settings.members.iter_mut().enumerate() {
        if let Some(wrong) = wrong_weight(pool, member, count) {
            return refuse(format!(": member {i}: {wrong}"));
        }
        let own = if member.model.kind == NAME {
            if depth == 1 {
                return refuse(format!(
                    "hold mixtures more than {MAX_DEPTH} deep; mix their members instead"
                ));
            }
            fill(&mut member.model, depth - 1, left)
        } else {
            crate::models::fill(&mut member.model)
        };
        let config = Config { train: member.train.clone().unwrap_or_default(), ..Config::default() };
        let own = own.and_then(|own| config.validate().map(|()| own));
        reach = farther(reach, own.map_err(|error| of_member(i, error))?);
    }
    let sum: f64 = settings.members.iter().map(|member| member.weight).sum();
    if pool == OpinionPool::Mean && (sum - 1.0).abs() > TOLERANCE {
        return refuse(format!(": the sum of their weights is {sum}, not 1"));
    }
    model.write(&settings)?;
    Ok(reach)
}

/// What is wrong with the weight of a member among `count`, if something is.
fn wrong_weight(pool: OpinionPool, member: &Member, count: usize) -> Option<String> {
    let Member { weight, by_entropy, .. } = member;
    let is_power = |power: &f64| power.abs() <= MAX_POWER;
    match pool {
        OpinionPool::Mean if !(0.0..=1.0).contains(weight) => {
            Some(format!("the weight {weight} is not from 0 to 1"))
        }
        OpinionPool::Mean if !by_entropy.is_empty() => Some("a mean knows no ``by_entropy``".to_owned()),
        OpinionPool::Product if by_entropy.len() != count => {
            Some(format!("``by_entropy`` has {} numbers for {count} members", by_entropy.len()))
        }
        OpinionPool::Product if !by_entropy.iter().chain([weight]).all(is_power) => {
            Some(format!("a power is not from -{MAX_POWER} to {MAX_POWER}"))
        }
        _ => None,
    }
}

/// Names the member in an error about its setting, which is in the file and has no flag.
fn of_member(i: usize, error: Error) -> Error {
    match error {
        Error::Setting { key, message } => {
            let key = key.strip_prefix("model.").unwrap_or(&key);
            Error::setting(format!("model.members.{i}.{key}"), message)
        }
        other => Error::setting(format!("model.members.{i}"), format!(": {other}")),
    }
}

/// The whole configuration of each member; empty if the model is no mixture.
///
/// # Errors
/// As [`Kind::fill`].
pub(in crate::models) fn configurations(config: &Config) -> Result<Vec<Config>> {
    if config.model.kind != NAME {
        return Ok(Vec::new());
    }
    let settings: MixtureSettings = config.model.read()?;
    let of_member = |member: Member| {
        let train = member.train.unwrap_or_default();
        Config { data: config.data.clone(), model: member.model, train, notebook: None }
    };
    Ok(settings.members.into_iter().map(of_member).collect())
}

/// A member of a mixture, as [`members`] lists it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberSummary {
    /// Its number from 0; of one in a mixture's mixture, after that one's: `1.0`.
    pub member: String,
    /// The kind of its model.
    pub model: String,
    /// As [`Member::weight`].
    pub weight: f64,
    /// As [`Member::by_entropy`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_entropy: Vec<f64>,
    /// Its trained parameters; None for a model that counts.
    pub parameters: Option<u64>,
}

impl MemberSummary {
    /// Rows for people, the first of them the columns' names, `head` and what a member's weight is.
    #[must_use]
    pub fn table(members: &[Self], head: &str) -> Vec<Vec<String>> {
        let weight = if Self::is_product(members) { "base power" } else { "weight" };
        let mut table = vec![[head, weight, "parameters"].map(str::to_owned).to_vec()];
        table.extend(members.iter().map(|Self { member, model, weight, parameters, .. }| {
            let parameters = parameters.map_or_else(|| "-".to_owned(), |count| count.to_string());
            vec![format!("{member} ({model})"), format!("{weight:.4}"), parameters]
        }));
        table
    }

    /// Whether the mixture of these members is a product.
    fn is_product(members: &[Self]) -> bool {
        members.iter().any(|member| !member.by_entropy.is_empty() && !member.member.contains('.'))
    }

    /// How `charloom mix` combines runs as these members are: its flags after the runs.
    #[must_use]
    pub fn flags(members: &[Self]) -> String {
        if Self::is_product(members) {
            return "--product".to_owned();
        }
        let own = members.iter().filter(|member| !member.member.contains('.'));
        format!("--weights {}", own.map(|member| member.weight.to_string()).collect::<Vec<_>>().join(","))
    }
}

/// The members of a mixture, after each mixture its own; none if the model is no mixture.
///
/// # Errors
/// As [`parameters`](crate::models::parameters).
pub fn members(config: &Config, vocab: usize) -> Result<Vec<MemberSummary>> {
    if config.model.kind != NAME {
        return Ok(Vec::new());
    }
    let MixtureSettings { members: weighed, .. } = config.model.read()?;
    let mut listed = Vec::new();
    for (i, (of, config)) in weighed.into_iter().zip(configurations(config)?).enumerate() {
        let Member { weight, by_entropy, model, .. } = of;
        let parameters = crate::models::parameters(&config, vocab)?;
        listed.push(MemberSummary {
            member: i.to_string(),
            model: model.kind,
            weight,
            by_entropy,
            parameters,
        });
        let own = members(&config, vocab)?.into_iter();
        listed.extend(own.map(|own| MemberSummary { member: format!("{i}.{}", own.member), ..own }));
    }
    Ok(listed)
}

/// The members' trained parameters in all; None if all members count.
///
/// # Errors
/// As [`parameters`](crate::models::parameters).
pub(in crate::models) fn count_parameters(config: &Config, vocab: usize) -> Result<Option<u64>> {
    let mut all: Option<u64> = None;
    for member in configurations(config)? {
        if let Some(own) = crate::models::parameters(&member, vocab)? {
            all = Some(all.unwrap_or(0).saturating_add(own));
        }
    }
    Ok(all)
}

/// Checks each member's sizes.
///
/// # Errors
/// As [`check_sizes`](crate::models::check_sizes).
pub(in crate::models) fn check_size(config: &Config, vocab: usize) -> Result<()> {
    configurations(config)?.iter().try_for_each(|member| crate::models::check_sizes(member, vocab))
}
