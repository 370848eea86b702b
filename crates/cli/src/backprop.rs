//! `charloom backprop`.

use charloom::backprop::{Options, Report, Row, report};
use charloom::{Error, Result};

use crate::args::{EVALUATIONS, RUNS};
use crate::output::Out;
use crate::setup::{DataPath, Settings, load_data};

/// Compare a backward pass written by hand with the tape's, term by term
///
/// The net is notebook 004's: an embedding, a linear layer, BatchNorm, tanh, a linear layer, cross-entropy, each line
/// of the forward pass a term with a gradient. The flags choose its sizes; without --preset it is manual-backprop.
/// docs/backprop/ has the derivations.
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    data: DataPath,
    /// Compute in double precision
    #[arg(long)]
    f64: bool,
    /// Fail unless every gradient is approximately equal
    #[arg(long)]
    check: bool,
    /// Train as well, N steps with the gradients by hand and N with the tape's, and compare the parameters
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    train: Option<u64>,
    /// Add 0.01 to this gradient, a term's or a shortcut's, to see the comparison fail
    #[arg(long = "break", value_name = "TERM")]
    wrong: Option<String>,
    /// Leave out what notebook 004's unfinished line lacks, the way of logit_maxes to logits
    #[arg(long)]
    unfinished: bool,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    args.settings.refuse(&[&["steps"], EVALUATIONS], "--train says how many steps are made")?;
    args.settings.refuse(&[RUNS], "the network is as drawn, and learns from the data alone")?;
    let mut config = args.settings.config_from(Some("manual-backprop"), args.data.get())?;
    if let Some(steps) = args.train {
        config.train.steps = steps;
    }
    let data = load_data(&mut config)?;
    let options =
        Options { wrong: args.wrong.clone(), unfinished: args.unfinished, train: args.train.is_some() };
    let report = if args.f64 {
        report::<f64>(&config, &data, &options)?
    } else {
        report::<f32>(&config, &data, &options)?
    };
    if out.json {
        out.object(&report)?;
    } else {
        print(&report, out)?;
    }
    if args.check && !report.equal { Err(Error::Failed(unequal(&report))) } else { Ok(()) }
}

fn print(report: &Report, out: &mut Out) -> Result<()> {
    let Report { precision, parameters, batch, loss, tolerance, .. } = report;
    out.line(format_args!(
        "{parameters} parameters, a minibatch of {batch}, loss {loss:.4} nats, {precision}"
    ))?;
    out.line(format_args!(
        "approximate: |by hand - by tape| <= {:e} + {:e} |by tape| for every element",
        tolerance.atol, tolerance.rtol
    ))?;
    out.line("")?;
    let head = |what: &str| {
        [what, "shape", "exact", "approximate", "maximum difference", "largest"].map(str::to_owned).to_vec()
    };
    let mut rows = vec![head("gradient of")];
    rows.extend(report.rows.iter().map(cells));
    rows.extend([vec![String::new()], head("in one step")]);
    rows.extend(report.shortcuts.iter().map(cells));
    out.table(&rows)?;
    if let Some(training) = &report.training {
        let verdict = if training.approximate { "approximately equal" } else { "not equal" };
        out.line("")?;
        out.line(format_args!(
            "{} steps: loss {:.6} by hand, {:.6} by the tape (the mean of the last tenth)",
            training.steps, training.loss, training.tape_loss
        ))?;
        out.line(format_args!(
            "the parameters are {verdict}: maximum difference {}, allowed {:e} + {:e} |by tape|",
            small(training.max_difference),
            training.tolerance.atol,
            training.tolerance.rtol
        ))?;
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let word = |is: bool| if is { "yes" } else { "NO" }.to_owned();
    let exact = if row.exact { "yes" } else { "no" }.to_owned();
    let shape = format!("{:?}", row.shape);
    let difference = small(row.max_difference);
    vec![row.name.to_owned(), shape, exact, word(row.approximate), difference, small(row.largest)]
}

fn small(x: f64) -> String {
    if x == 0.0 { "0".to_owned() } else { format!("{x:.1e}") }
}

/// One line with the names of all that differ.
fn unequal(report: &Report) -> String {
    let rows = report.rows.iter().chain(&report.shortcuts);
    let mut names: Vec<&str> = rows.filter(|row| !row.approximate).map(|row| row.name).collect();
    if report.training.is_some_and(|training| !training.approximate) {
        names.push("the trained parameters");
    }
    format!("by hand and by the tape differ: {}; docs/backprop/ derives the formulas", names.join(", "))
}
