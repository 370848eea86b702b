//! What a study found: the order of its trials, how much each setting matters, and tables.

use serde::Serialize;
use serde_json::Value;

use super::space::{Domain, Setting, Space};
use super::trials::{State, Trial};

/// The number of groups for the values of a setting that is a range.
const GROUPS: usize = 4;

/// How much a setting matters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Importance {
    /// The setting.
    pub name: String,
    /// The share of the trials' differences that this setting explains by itself, from 0 to 1; `None` if
    /// there are too few trials.
    pub share: Option<f64>,
}

/// The trials from the lowest validation loss up: those trained to their end first, then the others.
#[must_use]
pub fn sorted(trials: &[Trial]) -> Vec<&Trial> {
    let rank =
        |trial: &&Trial| (trial.state != State::Done, trial.loss.unwrap_or(f64::INFINITY), trial.number);
    let mut trials: Vec<&Trial> = trials.iter().collect();
    trials.sort_by(|a, b| {
        let ((a0, a1, a2), (b0, b1, b2)) = (rank(a), rank(b));
        a0.cmp(&b0).then(a1.total_cmp(&b1)).then(a2.cmp(&b2))
    });
    trials
}

/// The trial of the lowest validation loss among those trained to their end.
#[must_use]
pub fn best(trials: &[Trial]) -> Option<&Trial> {
    sorted(trials).into_iter().find(|trial| trial.state == State::Done && trial.loss.is_some())
}

/// How much each setting matters, the most important first.
///
/// Trials are ranked by their loss, so that a few very bad ones do not outweigh the rest, and grouped by the
/// setting's value (a range in four groups of equal size). The share is Kelley's epsilon squared,
/// `(SS_between - (k - 1) MS_within) / SS_total`, which is 0 on average for a setting without influence.
/// Trials without the setting and unfinished trials are left out of its share.
///
/// # Source
/// Kelley 1935, An unbiased correlation ratio measure.
///
/// ```
/// use charloom_sweep::{Domain, Setting, Space, State, Trial, best, importance};
///
/// let choices = |name: &str| Setting {
///     name: name.to_owned(),
///     domain: Domain::Choices(vec![1.into(), 2.into()]),
///     when: None,
/// };
/// let space = Space { settings: vec![choices("embed"), choices("batch")] };
/// // Only `embed` matters.
/// let trials: Vec<Trial> = (0..8)
///     .map(|number| {
///         let (embed, batch) = (1 + number % 2, 1 + number / 4);
///         let settings = [("embed".to_owned(), embed.into()), ("batch".to_owned(), batch.into())];
///         let settings = settings.into_iter().collect();
///         let loss = Some(2.0 + embed as f64 + number as f64 / 1000.0);
///         let (deviation, seconds, error, seeds, curve) = (None, None, None, Vec::new(), Vec::new());
///         let (state, steps, attempts) = (State::Done, 100, 1);
///         Trial { number, state, settings, loss, deviation, steps, seconds, attempts, error, seeds, curve }
///     })
///     .collect();
/// let all = importance(&space, &trials);
/// assert!(all[0].name == "embed" && all[0].share > Some(0.7) && all[1].share < Some(0.1));
/// assert_eq!(best(&trials).unwrap().number, 0);
/// ```
#[must_use]
pub fn importance(space: &Space, trials: &[Trial]) -> Vec<Importance> {
    let finished: Vec<&Trial> = sorted(trials).into_iter().filter(|t| t.state != State::Running).collect();
    let mut all: Vec<Importance> = space
        .settings
        .iter()
        .map(|setting| {
            let values = finished.iter().filter_map(|trial| trial.settings.get(&setting.name)).collect();
            Importance { name: setting.name.clone(), share: share(setting, values) }
        })
        .collect();
    all.sort_by(|a, b| b.share.unwrap_or(-1.0).total_cmp(&a.share.unwrap_or(-1.0)));
    all
}

/// The share of a setting; `values` are in the order of their trials' ranks.
fn share(setting: &Setting, values: Vec<&Value>) -> Option<f64> {
    let group = |value: &Value| match &setting.domain {
        Domain::Choices(choices) => choices.iter().position(|choice| choice == value),
        _ => {
            let value = value.as_f64()?;
            let below = values.iter().filter(|other| other.as_f64().is_some_and(|x| x < value)).count();
            Some(below * GROUPS / values.len())
        }
    };
    let mut groups: std::collections::BTreeMap<usize, (f64, f64)> = std::collections::BTreeMap::new();
    for (rank, value) in values.iter().enumerate() {
        let (n, sum) = groups.entry(group(value)?).or_default();
        (*n, *sum) = (*n + 1.0, *sum + rank as f64);
    }
    let (n, k) = (values.len() as f64, groups.len() as f64);
    if k < 2.0 || n <= k {
        return None;
    }
    let mean = (n - 1.0) / 2.0;
    // SS_total of the ranks 0 to n - 1.
    let total = n * (n * n - 1.0) / 12.0;
    let between: f64 = groups.values().map(|(n, sum)| n * (sum / n - mean).powi(2)).sum();
    let within = (total - between) / (n - k);
    Some(((between - (k - 1.0) * within) / total).clamp(0.0, 1.0))
}

/// All trials as comma-separated values: a row each, the settings as columns.
#[must_use]
pub fn csv(space: &Space, trials: &[Trial]) -> String {
    let names = space.settings.iter().map(|setting| setting.name.as_str());
    let head: Vec<String> = ["number", "state", "loss", "deviation", "steps", "seconds", "attempts"]
        .into_iter()
        .chain(names)
        .chain(["error"])
        .map(quoted)
        .collect();
    let mut text = head.join(",") + "\n";
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for trial in sorted(trials) {
        let mut cells = vec![
            trial.number.to_string(),
            trial.state.to_string(),
            number(trial.loss),
            number(trial.deviation),
            trial.steps.to_string(),
            number(trial.seconds),
            trial.attempts.to_string(),
        ];
        cells.extend(space.settings.iter().map(|s| quoted(&shown(trial.settings.get(&s.name)))));
        cells.push(quoted(trial.error.as_deref().unwrap_or_default()));
        text += &(cells.join(",") + "\n");
    }
    text
}

/// A setting's value as text; words have no quotes.
#[must_use]
pub fn shown(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(word)) => word.clone(),
        Some(value) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
