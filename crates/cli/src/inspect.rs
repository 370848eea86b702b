//! `charloom inspect`.

use std::path::PathBuf;

use charloom::data::Data;
use charloom::inspect::{Inspection, Kind, Record, Snapshot};
use charloom::run::{self, RunFolder};
use charloom::{Checkpoint, Error, Result};

use crate::args::{self, DataFlags, ModelFlags, TrainFlags};
use crate::output::Out;

/// Columns of a histogram.
const BARS: usize = 20;
/// Units in a line of the map.
const UNITS: usize = 64;

/// Look into a network: every layer's values and gradients on a batch, and what is wrong with them
#[derive(clap::Args)]
pub struct Args {
    /// A run folder or a .safetensors file; with --untrained, data as train takes it
    #[arg(value_name = "RUN|DATA", required_unless_present = "untrained")]
    what: Option<PathBuf>,
    /// Look at a configuration before any training
    #[arg(long)]
    untrained: bool,
    /// Where a run's data is now
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Examples to look at
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    examples: u32,
    /// Begin from a built-in configuration; see charloom presets
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Begin from a configuration file, such as a run's config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    data_flags: DataFlags,
    #[command(flatten)]
    model_flags: ModelFlags,
    #[command(flatten)]
    train_flags: TrainFlags,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let seen = if args.untrained { untrained(args)? } else { trained(args)? };
    if out.json { out.object(&seen) } else { print(&seen, out) }
}

fn untrained(args: &Args) -> Result<Inspection> {
    let mut config = args::base(args.preset.as_deref(), args.config.as_deref())?;
    args.data_flags.apply(args.what.as_ref().or(args.data.as_ref()), &mut config);
    args.model_flags.apply(&mut config);
    args.train_flags.apply(&mut config);
    let data = config.load_data()?;
    Inspection::untrained(&config, &data, args.examples as usize)
}

fn trained(args: &Args) -> Result<Inspection> {
    let has_settings = args.data_flags != DataFlags::default()
        || args.model_flags != ModelFlags::default()
        || args.train_flags != TrainFlags::default();
    if has_settings || args.preset.is_some() || args.config.is_some() {
        return Err(Error::usage(
            "a run has its own settings; add --untrained to look at others before training",
        ));
    }
    let what = args.what.as_deref().expect("required without --untrained");
    let file = run::model_file(what)?;
    let checkpoint = Checkpoint::read(&file)?;
    let mut config = checkpoint.config.data.clone();
    if args.data.is_some() {
        (config.path, config.sha256) = (args.data.clone(), None);
    }
    let data = Data::load(&config, Some(checkpoint.vocab.clone()))?;
    let records = if what.is_dir() { RunFolder::records(what)? } else { Vec::new() };
    Inspection::trained(&checkpoint, &data, args.examples as usize, records, &file)
}

/// Findings first, figures after.
fn print(seen: &Inspection, out: &mut Out) -> Result<()> {
    if seen.findings.is_empty() {
        out.line("nothing stands out")?;
    }
    for finding in &seen.findings {
        out.line(format_args!("! {}", finding.message))?;
    }
    let states: Vec<(&str, &Snapshot)> = [("start", Some(&seen.start)), ("end", seen.end.as_ref())]
        .into_iter()
        .filter_map(|(n, s)| Some((n, s?)))
        .collect();
    out.line("")?;
    out.line(format_args!("loss on {} examples (ln V is {:.4})", seen.start.rows, seen.uniform))?;
    for (name, state) in &states {
        out.line(format_args!("  {name:<5} {:.4}  after {} steps", state.loss, state.step))?;
    }
    for (kind, title) in [
        (Kind::Activation, "values"),
        (Kind::Gradient, "gradients of the loss at these"),
        (Kind::Weight, "weights"),
    ] {
        out.line("")?;
        let rows = table(&states, kind, &seen.updates);
        out.line(title)?;
        out.table(&rows)?;
    }
    for (name, state) in &states {
        for (layer, map) in state.maps.iter().filter(|(_, map)| map.iter().any(|&share| share > 0.5)) {
            out.line("")?;
            out.line(format_args!(
                "{layer} at the {name}, by unit: share of examples in the flat part (' ' none, # all)"
            ))?;
            for line in map.chunks(UNITS) {
                out.line(format_args!("  {}", line.iter().map(|&share| shade(share)).collect::<String>()))?;
            }
        }
    }
    Ok(())
}

/// A row for each layer at each time.
fn table(states: &[(&str, &Snapshot)], kind: Kind, updates: &[Record]) -> Vec<Vec<String>> {
    let own = match kind {
        Kind::Activation => ["saturated", "dead"],
        Kind::Gradient => ["", ""],
        Kind::Weight => ["grad/weight", "log10 update/weight"],
    };
    let head =
        ["  layer", "when", "mean", "std"].into_iter().chain(own.into_iter().filter(|name| !name.is_empty()));
    let mut rows = vec![head.chain(["histogram"]).map(str::to_owned).collect::<Vec<_>>()];
    let of =
        |snapshot: &Snapshot| snapshot.records.iter().filter(|r| r.kind == kind).cloned().collect::<Vec<_>>();
    let columns: Vec<Vec<Record>> = states.iter().map(|(_, snapshot)| of(snapshot)).collect();
    for layer in 0..columns[0].len() {
        for ((when, _), records) in states.iter().zip(&columns) {
            let record = &records[layer];
            let op = if kind == Kind::Weight { String::new() } else { format!(" {}", record.op) };
            let mut row = vec![
                format!("  {}{op}", record.layer),
                (*when).to_owned(),
                number(record.mean),
                number(record.std),
            ];
            match kind {
                Kind::Activation => {
                    row.push(
                        record.saturated.map_or(String::new(), |share| format!("{:.1} %", share * 100.0)),
                    );
                    row.push(
                        record
                            .dead
                            .map_or(String::new(), |dead| format!("{dead}/{}", record.units.unwrap_or(0))),
                    );
                }
                Kind::Gradient => {}
                Kind::Weight => {
                    row.push(record.gradient_ratio.map_or(String::new(), number));
                    row.push(update(updates, &record.layer, *when == "start"));
                }
            }
            row.push(bars(&record.histogram.counts));
            rows.push(row);
        }
    }
    rows
}

/// The first or the last update ratio of this weight that a training with diagnostics noted.
fn update(updates: &[Record], layer: &str, first: bool) -> String {
    let mut ratios = updates.iter().filter(|r| r.layer == layer).filter_map(|r| r.update_ratio);
    let ratio = if first { ratios.next() } else { ratios.next_back() };
    ratio.map_or(String::from("-"), |ratio| format!("{ratio:.2}"))
}

/// Three digits, without an exponent where that is short.
fn number(x: f64) -> String {
    if x == 0.0 || (0.001..1000.0).contains(&x.abs()) { format!("{x:.3}") } else { format!("{x:.1e}") }
}

/// A histogram in one line; what is there at all can be seen.
fn bars(counts: &[u64]) -> String {
    let merged: Vec<u64> =
        counts.chunks(counts.len().div_ceil(BARS).max(1)).map(|part| part.iter().sum()).collect();
    let most = merged.iter().copied().max().unwrap_or(0).max(1);
    let blocks = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    merged.iter().map(|&n| if n == 0 { ' ' } else { blocks[(n * 7).div_ceil(most) as usize] }).collect()
}

fn shade(share: f32) -> char {
    match share {
        s if s >= 1.0 => '#',
        s if s > 0.75 => '+',
        s if s > 0.5 => '-',
        s if s > 0.0 => '.',
        _ => ' ',
    }
}
