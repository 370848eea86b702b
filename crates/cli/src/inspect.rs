//! `charloom inspect`.

use std::path::PathBuf;

use charloom::files::{self, RunFolder};
use charloom::inspect::{Inspection, Kind, Snapshot};
use charloom::{Checkpoint, Error, Result};

use crate::args::{self, DataFlags, ModelFlags, TrainFlags};
use crate::output::{Out, flags};

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
    let mut seen = if args.untrained { untrained(args)? } else { trained(args)? };
    for finding in &mut seen.findings {
        finding.message = flags(&finding.message);
    }
    if out.json { out.object(&seen) } else { print(&seen, out) }
}

fn untrained(args: &Args) -> Result<Inspection> {
    let mut config = args::base(args.preset.as_deref(), args.config.as_deref())?;
    args.data_flags.apply(args.what.as_ref().or(args.data.as_ref()), &mut config);
    args.model_flags.apply(&mut config)?;
    args.train_flags.apply(&mut config)?;
    let data = charloom::load_data(&mut config)?;
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
    let file = files::model_file(what)?;
    let checkpoint = Checkpoint::read(&file)?;
    let mut config = checkpoint.config.data.clone();
    if args.data.is_some() {
        config.sha256 = None;
    }
    let data = charloom::reload_data(&config, Some(checkpoint.vocab.clone()), what, args.data.as_deref())?;
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
    let blocks = if out.size().0 < 96 { 10 } else { 20 };
    for (kind, title) in [
        (Kind::Activation, "values"),
        (Kind::Gradient, "gradients of the loss at these"),
        (Kind::Weight, "weights; gradient and update in comparison with them"),
    ] {
        out.line("")?;
        out.line(title)?;
        let indented = |mut row: Vec<String>| {
            row[0].insert_str(0, "  ");
            row
        };
        out.table(&seen.table(kind, blocks).into_iter().map(indented).collect::<Vec<_>>())?;
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

fn shade(share: f32) -> char {
    match share {
        s if s >= 1.0 => '#',
        s if s > 0.75 => '+',
        s if s > 0.5 => '-',
        s if s > 0.0 => '.',
        _ => ' ',
    }
}
