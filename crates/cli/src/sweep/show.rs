//! Printing a study.

use charloom::{Error, Result};
use charloom_sweep::{Study, Trial, shown};
use serde_json::{Value, json};

use crate::output::{Out, flags};

/// A study's trials, with settings shown as flags in their errors.
pub(super) fn trials(study: &mut Study) -> Result<Vec<Trial>> {
    let mut trials = study.trials()?;
    for trial in &mut trials {
        trial.error = trial.error.as_deref().map(flags);
    }
    Ok(trials)
}

pub(super) fn show(study: &mut Study, out: &mut Out) -> Result<()> {
    let trials = trials(study)?;
    let importance = charloom_sweep::importance(study.space(), &trials);
    let best = charloom_sweep::best(&trials);
    let config = best.map(|trial| study.config(&trial.settings)).transpose()?;
    let chosen = study.chosen()?;
    if out.json {
        let object = json!({
            "study": study.address().to_string(),
            "trials": charloom_sweep::sorted(&trials),
            "importance": importance,
            "best": best.map(|trial| trial.number),
            "loss": best.and_then(|trial| trial.loss),
            "config": config,
            "chosen": chosen.map(|(number, test)| json!({"number": number, "test": test})),
        });
        return out.object(&object);
    }
    out.table(&table(study, &trials))?;
    if let Some(share) = importance.first().and_then(|first| first.share) {
        out.line("")?;
        out.line("importance: the share of the trials' differences that a setting explains by itself")?;
        let width = importance.iter().map(|row| row.name.len()).max().unwrap_or(0);
        for row in &importance {
            let of =
                row.share.map_or_else(|| "too few trials".to_owned(), |x| format!("{:>4.0} %", 100.0 * x));
            let bar = row.share.map_or(0, |x| (30.0 * x / share.max(1e-9)).round() as usize);
            out.line(format!("{:width$}  {of}  {}", row.name, "#".repeat(bar)).trim_end())?;
        }
    }
    if let (Some(best), Some(config)) = (best, config) {
        out.line("")?;
        out.line(format_args!("# the best configuration, trial {}, for train --config", best.number))?;
        out.line(config.to_toml().trim_end())?;
    }
    match chosen {
        Some((number, Some(test))) => {
            out.line(format_args!("# trial {number} was chosen; its test loss is {test:.4}"))
        }
        Some((number, None)) => out.line(format_args!("# trial {number} was chosen, and is not tested yet")),
        None => Ok(()),
    }
}

/// A table of the trials, the best first.
fn table(study: &Study, trials: &[Trial]) -> Vec<Vec<String>> {
    let names: Vec<&str> = study.space().settings.iter().map(|setting| setting.name.as_str()).collect();
    let has_deviation = study.spec().seeds > 1;
    let head = ["trial", "state", "validation"].into_iter().chain(has_deviation.then_some("deviation"));
    let mut rows =
        vec![head.chain(["steps", "seconds"]).chain(names.iter().copied()).map(str::to_owned).collect()];
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    for trial in charloom_sweep::sorted(trials) {
        let mut row = vec![trial.number.to_string(), trial.state.to_string(), number(trial.loss)];
        if has_deviation {
            row.push(number(trial.deviation));
        }
        row.push(trial.steps.to_string());
        row.push(trial.seconds.map_or(String::new(), |seconds| format!("{seconds:.1}")));
        row.extend(names.iter().map(|name| short(trial.settings.get(*name))));
        row.extend(trial.error.clone());
        rows.push(row);
    }
    rows
}

/// A value for the table; a real number has four digits after the point.
fn short(value: Option<&Value>) -> String {
    match value.and_then(Value::as_f64) {
        Some(x) if value.is_some_and(Value::is_f64) => format!("{x:.4}"),
        _ => shown(value),
    }
}

pub(super) fn print_best(study: &mut Study, out: &mut Out) -> Result<()> {
    let trials = study.trials()?;
    let best = charloom_sweep::best(&trials);
    let best = best.ok_or_else(none_finished)?;
    let config = study.config(&best.settings)?;
    if out.json { out.object(&config) } else { out.text(config.to_toml()) }
}

pub(super) fn none_finished() -> Error {
    Error::Failed("no trial is trained to its end yet".to_owned())
}
