//! `charloom compare`.

use std::path::PathBuf;

use charloom::evaluation::{ComparedRun, Comparison, DifferingSetting, PairedTest, compare};
use charloom::{Error, Result};

use crate::mix;
use crate::output::Out;
use crate::setup::RunsData;

/// The significance level: with a p above it a difference may be chance.
const SIGNIFICANCE: f64 = 0.05;

/// Compare runs: settings that differ, losses, and whether their difference is significant
///
/// A mixture's members are listed; their settings are with --json.
#[derive(clap::Args)]
pub struct Args {
    /// Run folders or .safetensors files, two or more
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// val or test
    #[arg(long, value_name = "SPLIT", default_value = "val", value_parser = ["val", "test"])]
    split: String,
    #[command(flatten)]
    data: RunsData,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let comparison = compare(&args.runs, &args.split, args.data.get()).map_err(RunsData::explain)?;
    if out.json {
        return out.object(&comparison);
    }
    let Comparison { split, block, settings, runs, tests } = &comparison;
    let units = block.map_or_else(|| "words".to_owned(), |block| format!("blocks of {block} characters"));
    let head = |first: &str| -> Vec<String> {
        std::iter::once(first.to_owned())
            .chain(runs.iter().map(|run| run.run.display().to_string()))
            .collect()
    };
    let mut table = vec![head("")];
    for DifferingSetting { key, values } in settings {
        let has_it = |(value, run): &(&Option<String>, &ComparedRun)| value.is_some() && is_of(key, run);
        let is_comparable =
            |pair: &(&Option<String>, &ComparedRun)| has_it(pair) || pair.1.members.is_empty();
        let comparable: Vec<_> =
            values.iter().zip(runs).filter(is_comparable).map(|(value, _)| value).collect();
        if comparable.windows(2).all(|pair| pair[0] == pair[1]) {
            continue;
        }
        let shown = values.iter().zip(runs).map(|pair| pair.0.clone().filter(|_| has_it(&pair)));
        let shown = shown.map(|value| value.unwrap_or_else(|| "-".to_owned()));
        table.push(std::iter::once(key.clone()).chain(shown).collect());
    }
    let mut row = |name: &str, value: &dyn Fn(usize) -> String| {
        table.push(std::iter::once(name.to_owned()).chain((0..runs.len()).map(value)).collect());
    };
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    row("", &|_| String::new());
    row(&format!("{split} loss"), &|i| format!("{:.4}", runs[i].evaluation.loss));
    row("train loss", &|i| {
        let of = if runs[i].train_is_sample { " (sample)" } else { "" };
        or_none(runs[i].train_loss.map(|loss| format!("{loss:.4}{of}")))
    });
    row("parameters", &|i| or_none(runs[i].parameters.map(|n| n.to_string())));
    row("best at step", &|i| or_none(runs[i].steps.map(|steps| format!("{} of {steps}", runs[i].best_step))));
    row("time", &|i| or_none(runs[i].timing.map(|timing| timing.to_string())));
    out.table(&table)?;
    out.line("")?;
    for ComparedRun { run, members, .. } in runs.iter().filter(|run| !run.members.is_empty()) {
        mix::print_members(&format!("members of {}", run.display()), members, out)?;
        out.line("")?;
    }
    let first = runs.first().ok_or_else(|| Error::usage("no runs"))?.run.display().to_string();
    tests.iter().try_for_each(|test| out.line(verdict(test, &first, &units)))
}

/// Whether a setting had an effect on a run: what was not trained has no steps, and a mixture's members are
/// listed.
fn is_of(key: &str, run: &ComparedRun) -> bool {
    let is_of_training = key.starts_with("train.") && run.steps.is_none();
    !is_of_training && !key.starts_with("model.members.")
}

/// The result of a test as a sentence; `units` are what is paired.
fn verdict(test: &PairedTest, first: &str, units: &str) -> String {
    let PairedTest { run, difference, standard_error, t, p, pairs, better } = test;
    let run = run.display();
    let (Some(t), Some(p)) = (t, p) else {
        return format!("{run} and {first} do not differ on these {pairs} {units}");
    };
    let which = if *difference < 0.0 { "better" } else { "worse" };
    let verdict = match *p < SIGNIFICANCE {
        true => format!("{run} is {which} than {first}"),
        false => format!("{run} is not told apart from {first}"),
    };
    format!(
        "{verdict}: {difference:+.4} ± {standard_error:.4} nats per character (standard error, paired over {pairs} \
         {units}, {better} of them better; t = {t:.2}, p = {p:.2e})"
    )
}
