//! Pictures of a study.

use serde_json::Value;

use super::results::{best, shown, sorted};
use super::space::{Domain, Setting, Space};
use super::trials::{State, Trial};
use charloom_plot::{Figure, Lines, Series};

const LOSS: &str = "validation loss, nats per character";

/// The validation loss of each trial, and the lowest so far.
#[must_use]
pub fn progress(trials: &[Trial]) -> Figure {
    let done: Vec<(f64, f64)> = trials
        .iter()
        .filter(|t| t.state == State::Done)
        .filter_map(|t| Some((t.number as f64, t.loss?)))
        .collect();
    let mut lowest = f64::INFINITY;
    let so_far = done.iter().map(|&(number, loss)| {
        lowest = lowest.min(loss);
        (number, lowest)
    });
    let series =
        vec![series("best so far", 0, so_far.collect()), series("trial", 1, apart(done.iter().copied()))];
    Figure::Lines(Lines {
        title: "The best trial so far".to_owned(),
        x_label: "trial".to_owned(),
        y_label: LOSS.to_owned(),
        series,
        ..Lines::default()
    })
}

/// The validation loss of each trial trained to its end, against the setting's value; pruned trials have
/// another colour.
#[must_use]
pub fn against(setting: &Setting, trials: &[Trial]) -> Figure {
    let of = |state| {
        let of = trials.iter().filter(move |trial| trial.state == state);
        apart(of.filter_map(|trial| Some((coordinate(setting, trial)?, trial.loss?))))
    };
    let pruned = of(State::Pruned);
    let mut all = vec![series("trained to the end", 0, of(State::Done))];
    if !pruned.is_empty() {
        all.push(series("pruned", 1, pruned));
    }
    let (x_label, x_names) = axis(setting);
    Figure::Lines(Lines {
        title: format!("Loss against {}", setting.name),
        x_label,
        x_names,
        y_label: LOSS.to_owned(),
        series: all,
    })
}

/// Parallel coordinates: a vertical axis from lowest to highest for each setting and for the loss, and a line
/// across them for each trial. The best tenth is highlighted; a line has a gap at a setting that its trial
/// lacks. Settings with one value are left out.
#[must_use]
pub fn parallel(space: &Space, trials: &[Trial]) -> Figure {
    let done: Vec<&Trial> = sorted(trials).into_iter().filter(|t| t.state == State::Done).collect();
    let settings: Vec<&Setting> = space.settings.iter().filter(|setting| varies(setting, trials)).collect();
    let mut axes: Vec<Vec<Option<f64>>> = settings
        .iter()
        .map(|setting| done.iter().map(|trial| coordinate(setting, trial)).collect())
        .collect();
    axes.push(done.iter().map(|trial| trial.loss).collect());
    for axis in &mut axes {
        let values = || axis.iter().flatten();
        let low = values().copied().fold(f64::INFINITY, f64::min);
        let high = values().copied().fold(f64::NEG_INFINITY, f64::max);
        let scaled = |x: f64| if high > low { (x - low) / (high - low) } else { 0.5 };
        axis.iter_mut().for_each(|value| *value = value.map(scaled));
    }
    let line = |trial: usize| {
        let points =
            axes.iter().enumerate().map(move |(x, axis)| (x as f64, axis[trial].unwrap_or(f64::NAN)));
        points.chain([(f64::NAN, f64::NAN)])
    };
    let tenth = done.len().div_ceil(10);
    let others = Series { faint: true, ..series("others", 1, (tenth..done.len()).flat_map(line).collect()) };
    let best = series("the best tenth", 0, (0..tenth).flat_map(line).collect());
    let names = settings.iter().map(|setting| axis(setting).0).chain(["loss".to_owned()]);
    Figure::Lines(Lines {
        title: "Settings and loss of each trial".to_owned(),
        x_names: names.collect(),
        y_label: "lowest to highest".to_owned(),
        series: vec![others, best],
        ..Lines::default()
    })
}

/// All pictures, with their names.
#[must_use]
pub fn figures(space: &Space, trials: &[Trial]) -> Vec<(String, Figure)> {
    if best(trials).is_none() {
        return Vec::new();
    }
    let settings = space.settings.iter().filter(|setting| varies(setting, trials));
    let settings = settings.map(|setting| (setting.name.clone(), against(setting, trials)));
    let first = [("progress".to_owned(), progress(trials)), ("parallel".to_owned(), parallel(space, trials))];
    first.into_iter().chain(settings).collect()
}

/// A trial's coordinate on a setting's axis.
fn coordinate(setting: &Setting, trial: &Trial) -> Option<f64> {
    let value = trial.settings.get(&setting.name)?;
    match &setting.domain {
        Domain::Choices(choices) if !choices.iter().all(Value::is_number) => {
            choices.iter().position(|choice| choice == value).map(|i| i as f64)
        }
        Domain::Int { log: true, .. } | Domain::Float { log: true, .. } => value.as_f64().map(f64::log10),
        _ => value.as_f64(),
    }
}

/// The label of a setting's axis, and the names of its values if they are not numbers.
fn axis(setting: &Setting) -> (String, Vec<String>) {
    match &setting.domain {
        Domain::Choices(choices) if !choices.iter().all(Value::is_number) => {
            (setting.name.clone(), choices.iter().map(|choice| shown(Some(choice))).collect())
        }
        Domain::Int { log: true, .. } | Domain::Float { log: true, .. } => {
            (format!("log10 of {}", setting.name), Vec::new())
        }
        _ => (setting.name.clone(), Vec::new()),
    }
}

/// Whether the trials have different values of the setting.
fn varies(setting: &Setting, trials: &[Trial]) -> bool {
    let mut values = trials.iter().filter_map(|trial| trial.settings.get(&setting.name));
    values.next().is_some_and(|first| values.any(|value| value != first))
}

/// Points with gaps between them, so that none is joined to the next.
fn apart(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    points.flat_map(|point| [point, (f64::NAN, f64::NAN)]).collect()
}

fn series(name: &str, color: usize, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), color, faint: false, points }
}
