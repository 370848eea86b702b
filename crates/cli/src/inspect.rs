//! `charloom inspect`.

use std::path::PathBuf;

use charloom::files::{CONFIG, RunFolder};
use charloom::inspect::{Inspection, RecordKind, Snapshot};
use charloom::{Error, Result};
use serde_json::json;

use crate::output::{Out, flags, name, note, weights};
use crate::setup::{RunOrData, Settings, is_model, load_data, read_model, reload_data};

/// Units per line of the map of flat units.
const UNITS: usize = 64;

/// Look into a network: every layer's values and gradients on a batch, and what is wrong with them
///
/// It is one with layers over a window of characters: an mlp, a linear model or a wavenet.
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    what: RunOrData,
    /// Look at a configuration before any training
    #[arg(long)]
    untrained: bool,
    /// Examples to look at
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    examples: u32,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let (mut seen, file) = if args.untrained { (untrained(args)?, None) } else { trained(args)? };
    for finding in &mut seen.findings {
        finding.message = flags(&finding.message);
    }
    if !out.json {
        return print(&seen, out);
    }
    let mut object = json!(seen);
    if file.is_some() {
        object["file"] = json!(file.as_deref().map(name));
    }
    out.object(&object)
}

fn untrained(args: &Args) -> Result<Inspection> {
    args.settings.refuse_training()?;
    if let Some((run, _)) = args.what.only_run()
        && run.join(CONFIG).is_file()
    {
        let config = run.join(CONFIG);
        return Err(Error::usage(format!(
            "--untrained looks at a configuration, not at a run; name the data, and --config {}",
            config.display()
        )));
    }
    let mut config = args.settings.config(args.what.only_data()?)?;
    let data = load_data(&mut config)?;
    Inspection::untrained(&config, &data, args.examples as usize)
}

/// Inspects a run; returns the file of its weights too.
fn trained(args: &Args) -> Result<(Inspection, Option<PathBuf>)> {
    let Some((what, moved)) = args.what.only_run() else {
        return Err(Error::usage("name a run or a .safetensors file; or add --untrained"));
    };
    if !is_model(what) && args.settings.has_any() {
        return Err(Error::usage("add --untrained to look at settings before training; a run has its own"));
    }
    let (file, checkpoint) = read_model(what)?;
    note(weights(&file, &checkpoint));
    let config = args.settings.data_of_run(&checkpoint.config.data, moved)?;
    let data = reload_data(&config, Some(checkpoint.vocab.clone()), what, moved.map(PathBuf::as_path))?;
    let records = if what.is_dir() { RunFolder::records(what)? } else { Vec::new() };
    let seen = Inspection::trained(&checkpoint, &data, args.examples as usize, records, &file)?;
    Ok((seen, Some(file)))
}

/// Prints the findings, then the figures.
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
    let indented = |mut row: Vec<String>| {
        row[0].insert_str(0, "  ");
        row
    };
    out.line("")?;
    out.line("the numbers: their mean size on all examples, and five of one example")?;
    out.table(&seen.values_table().into_iter().map(indented).collect::<Vec<_>>())?;
    let blocks = if out.size().0 < 96 { 10 } else { 20 };
    for (kind, title) in [
        (RecordKind::Activation, "values"),
        (RecordKind::Gradient, "gradients of the loss at these"),
        (RecordKind::Weight, "weights; gradient and update in comparison with them"),
    ] {
        out.line("")?;
        out.line(title)?;
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
