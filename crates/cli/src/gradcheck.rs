//! `charloom gradcheck`.

use charloom::config::Batch;
use charloom::gradcheck::{Options, Report, gradcheck_with_progress};
use charloom::{Error, Result};

use crate::output::{Out, note, with_progress};
use crate::setup::{DataPath, Settings, load_data};

/// Check a configuration's gradients against differences of its loss
///
/// The gradients are those that training follows, in double precision on the first minibatch, the parameters moved a
/// little from where they were drawn. Fails if the error of one is above the tolerance.
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    data: DataPath,
    /// Elements of each parameter to check, chosen at random, the largest gradient's among them
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..))]
    elements: u64,
    /// Check all elements
    #[arg(long, conflicts_with = "elements")]
    all: bool,
    /// The largest relative error that passes
    #[arg(long, value_name = "X", default_value_t = 1e-6)]
    tolerance: f64,
    /// Add 0.01 to this parameter's gradient, to see the check fail
    #[arg(long = "break", value_name = "PARAMETER")]
    wrong: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    args.settings.refuse_training()?;
    let mut config = args.settings.config(args.data.get())?;
    let data = load_data(&mut config)?;
    let elements = (!args.all).then(|| usize::try_from(args.elements).unwrap_or(usize::MAX));
    let options = Options { elements, tolerance: args.tolerance, wrong: args.wrong.clone() };
    let report =
        with_progress("checking", |progress| gradcheck_with_progress(&config, &data, &options, progress))?;
    if config.train.batch == Batch::Full {
        note(format_args!("{} examples stand for --batch full", report.batch));
    }
    if out.json {
        out.object(&report)?;
    } else {
        print(&report, out)?;
    }
    let failed: Vec<&str> =
        report.rows.iter().filter(|row| !row.passed).map(|row| row.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let tolerance = report.tolerance;
    Err(Error::Failed(format!(
        "the gradient is off by more than {tolerance:e} in {}; see the elements above",
        failed.join(", ")
    )))
}

fn print(report: &Report, out: &mut Out) -> Result<()> {
    let Report { parameters, batch, loss, tolerance, .. } = report;
    out.line(format_args!("{parameters} parameters, a minibatch of {batch}, loss {loss:.4} nats, f64"))?;
    out.line(format_args!(
        "error: |by backward - by differences| / the larger of the two, or 1e-5; up to {tolerance:e} passes"
    ))?;
    out.line("")?;
    let head = ["parameter", "shape", "checked", "worst error", "at", "by backward", "by differences", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(report.rows.iter().map(|row| {
        vec![
            row.name.clone(),
            format!("{:?}", row.shape),
            row.checked.to_string(),
            format!("{:.1e}", row.worst_error),
            format!("{:?}", row.element),
            format!("{:.6e}", row.analytic),
            format!("{:.6e}", row.numeric),
            if row.passed { "" } else { "WRONG" }.to_owned(),
        ]
    }));
    out.table(&rows)
}
