//! `charloom plot`.

use std::path::{Path, PathBuf};

use charloom::disk::replace_file;
use charloom::files::{Metric, RunFolder};
use charloom::inspect::{Inspection, RecordKind, Snapshot};
use charloom::{Error, Result, models};
use charloom_plot::{Figure, Theme};
use clap::ValueEnum;

use crate::output::{Out, note};
use crate::setup::{RunsData, read_model, reload_data};

/// The number of examples for pictures of the layers.
const ROWS: usize = 1024;

/// Draw what a training did or what a model holds
#[derive(clap::Args)]
pub struct Args {
    /// Run folders (or .safetensors files); several for loss and lr, over each other
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// What to draw
    #[arg(value_enum)]
    what: What,
    /// A file to write, .svg or .png; without it the terminal
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// light or dark, of a file [default: light]
    #[arg(long, value_name = "NAME")]
    theme: Option<Theme>,
    /// loss: its logarithm to base 10
    #[arg(long)]
    log: bool,
    /// loss: lines of the metrics that one average is of [default: a fiftieth of them]
    #[arg(long, value_name = "N")]
    smooth: Option<usize>,
    /// weights: which layer, N of layers.N.weight [default: 0]
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// surprise: the words
    #[arg(long, value_name = "WORD,...", value_delimiter = ',')]
    words: Vec<String>,
    /// embedding: which two of its dimensions [default: the first two principal components]
    #[arg(long, value_name = "X,Y", value_parser = parse_dims)]
    dims: Option<[usize; 2]>,
    #[command(flatten)]
    data: RunsData,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum What {
    /// Loss of minibatches, training and validation
    Loss,
    /// Learning rate
    Lr,
    /// Where the characters lie: two dimensions, or the first two principal components
    Embedding,
    /// Which character follows which in the training data
    Bigram,
    /// Where the layers' outputs lie: after the last step of a training with --diagnostics, else of the best model
    Activations,
    /// Where the gradients at the layers' outputs lie
    Gradients,
    /// Which units lie in the flat part of their function, of the best model
    Dead,
    /// How fast the weights changed, of a training with --diagnostics
    Updates,
    /// A layer's weights as pictures
    Weights,
    /// How surprising each character of some words is
    Surprise,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    check(args)?;
    let theme = theme(args.theme, args.out.as_deref())?;
    show(&figure(args).map_err(RunsData::explain)?, args.out.as_deref(), theme, out)
}

/// Refuses flags that have no effect on the chosen picture.
fn check(args: &Args) -> Result<()> {
    use What::{Activations, Bigram, Dead, Embedding, Gradients, Loss, Surprise, Weights};
    let data = args.data.get().is_some();
    for (flag, is_given, pictures) in [
        ("--log", args.log, &[Loss][..]),
        ("--smooth", args.smooth.is_some(), &[Loss]),
        ("--layer", args.layer.is_some(), &[Weights]),
        ("--words", !args.words.is_empty(), &[Surprise]),
        ("--dims", args.dims.is_some(), &[Embedding]),
        ("--data", data, &[Bigram, Activations, Gradients, Dead]),
    ] {
        if is_given && !pictures.contains(&args.what) {
            let names = pictures.iter().filter_map(ValueEnum::to_possible_value);
            let names: Vec<String> = names.map(|value| value.get_name().to_owned()).collect();
            return Err(Error::usage(format!(
                "{flag} has no effect: it is of the picture {}",
                names.join(", ")
            )));
        }
    }
    Ok(())
}

/// The theme of a picture in a file; one for the terminal is refused.
pub fn theme(theme: Option<Theme>, file: Option<&Path>) -> Result<Theme> {
    if theme.is_some() && file.is_none() {
        return Err(Error::usage("--theme has no effect in a terminal; -o names a file"));
    }
    Ok(theme.unwrap_or_default())
}

/// Writes a picture to a file, or else to the terminal.
pub fn show(figure: &Figure, file: Option<&Path>, theme: Theme, out: &mut Out) -> Result<()> {
    if let Some(path) = file {
        write(figure, path, theme)?;
        note(format_args!("written to {}", path.display()));
    }
    if out.json {
        return out.object(figure);
    }
    if file.is_none() {
        draw(figure, out)?;
    }
    Ok(())
}

/// Draws a picture as large as the terminal, or for 80 columns without one.
pub fn draw(figure: &Figure, out: &mut Out) -> Result<()> {
    let (columns, rows) = out.size();
    // One row is left for the prompt, and the height is at most a quarter of the width, or 23.
    let rows = rows.saturating_sub(1).clamp(10, (columns / 4).max(23));
    out.text(figure.to_terminal(columns, rows, out.is_colored()))
}

/// Writes a picture in the format of the file's extension.
pub fn write(figure: &Figure, path: &Path, theme: Theme) -> Result<()> {
    let bytes = match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => figure.to_svg(theme)?.into_bytes(),
        Some("png") => {
            let missing = figure.missing_letters()?;
            if !missing.is_empty() {
                let some: Vec<String> = missing.iter().take(10).map(|c| format!("{c:?}")).collect();
                let more = if missing.len() > some.len() { ", ..." } else { "" };
                note(format_args!(
                    "warning: the font of pictures has no letter for {}{more}: an empty box; a .svg shows what the \
                     fonts of a browser have",
                    some.join(", ")
                ));
            }
            figure.to_png(theme)?
        }
        _ => {
            return Err(Error::usage(format!(
                "-o {}: a name that ends in .svg or .png is needed",
                path.display()
            )));
        }
    };
    replace_file(path, &bytes).map_err(|error| Error::io(path, error))
}

fn figure(args: &Args) -> Result<Figure> {
    if let What::Loss | What::Lr = args.what {
        let runs = args.runs.iter().map(|path| metrics(path)).collect::<Result<Vec<_>>>()?;
        if !runs.iter().any(|(_, metrics)| metrics.iter().any(|metric| metric.lr.is_some())) {
            let message = "counts and mixtures have no steps to draw; 'charloom eval RUN' tells the loss";
            return Err(Error::usage(message));
        }
        return Ok(match args.what {
            What::Lr => charloom_plot::learning_rates(&runs),
            _ => charloom_plot::losses(&runs, args.smooth, args.log),
        });
    }
    let [path] = &args.runs[..] else {
        return Err(Error::usage("several runs can be drawn over each other for loss and lr only; name one"));
    };
    let (file, checkpoint) = read_model(path)?;
    let data = || {
        let (config, vocab) = (&checkpoint.config.data, checkpoint.vocab.clone());
        reload_data(config, Some(vocab), path, args.data.get())
    };
    let seen = || -> Result<Snapshot> {
        let seen = Inspection::trained(&checkpoint, &data()?, ROWS, Vec::new(), &file)?;
        Ok(seen.end.unwrap_or(seen.start))
    };
    match args.what {
        What::Embedding => charloom_plot::embedding(&checkpoint, args.dims),
        What::Weights => charloom_plot::weights(&checkpoint, args.layer.unwrap_or(0)),
        What::Surprise => {
            charloom_plot::surprise(&*models::open(&checkpoint, &file)?, &checkpoint.vocab, &args.words)
        }
        What::Bigram => {
            let data = data()?;
            Ok(charloom_plot::bigram(&data.splits.train, &data.vocab))
        }
        What::Dead => charloom_plot::dead(&seen()?),
        What::Updates => charloom_plot::updates(&RunFolder::records(path)?),
        What::Activations | What::Gradients => {
            let mut records = RunFolder::records(path)?;
            if records.is_empty() {
                records = seen()?.records;
            }
            let kind =
                if args.what == What::Gradients { RecordKind::Gradient } else { RecordKind::Activation };
            charloom_plot::histograms(&records, kind)
        }
        What::Loss | What::Lr => unreachable!("drawn above"),
    }
}

fn parse_dims(text: &str) -> std::result::Result<[usize; 2], String> {
    let number = |part: &str| part.trim().parse().ok();
    let dims = text.split_once(',').and_then(|(x, y)| Some([number(x)?, number(y)?]));
    dims.ok_or_else(|| format!("{text:?} is not two dimensions, as in 0,1"))
}

/// A run's name and metrics.
fn metrics(path: &Path) -> Result<(String, Vec<Metric>)> {
    Ok((charloom_plot::run_name(path), Metric::read_all(path)?))
}
