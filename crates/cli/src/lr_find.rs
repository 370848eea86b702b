//! `charloom lr-find`.

use std::path::PathBuf;

use charloom::disk::replace_file;
use charloom::lr_find::{LrFind, LrFindOptions, find, two_digits};
use charloom::{Error, Result};
use charloom_plot::Theme;

use crate::args::{EVALUATIONS, RATES};
use crate::output::{Out, note};
use crate::plot;
use crate::setup::{DataPath, Settings};

/// Find a learning rate: raise it from step to step, watch the loss (--steps says in how many)
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    data: DataPath,
    /// The first learning rate
    #[arg(long, value_name = "X", default_value_t = LrFindOptions::default().from)]
    from: f64,
    /// The last learning rate
    #[arg(long, value_name = "X", default_value_t = LrFindOptions::default().to)]
    to: f64,
    /// Draw the curve into a file, .svg or .png
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// light or dark, of that file [default: light]
    #[arg(long, value_name = "NAME")]
    theme: Option<Theme>,
    /// Write the numbers as a table
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    args.settings
        .refuse(&[RATES, EVALUATIONS, &["ema"]], "the rate is what is varied, and nothing is evaluated")?;
    let theme = plot::theme(args.theme, args.out.as_deref())?;
    let mut config = args.settings.config(args.data.get())?;
    let defaults = LrFindOptions::default();
    let steps = args.settings.train_flags.batches.steps;
    let steps = steps.map_or(defaults.steps, |steps| usize::try_from(steps).unwrap_or(usize::MAX));
    let data = args.settings.load_data(&mut config)?;
    let found = find(&config, &data, LrFindOptions { from: args.from, to: args.to, steps })?;
    if let Some(path) = &args.csv {
        replace_file(path, table(&found).as_bytes()).map_err(|error| Error::io(path, error))?;
    }
    let figure = charloom_plot::lr_find(&found);
    if let Some(path) = &args.out {
        plot::write(&figure, path, theme)?;
        note(format_args!("written to {}", path.display()));
    }
    if out.json {
        return out.object(&found);
    }
    plot::draw(&figure, out)?;
    out.line(format_args!("suggested learning rate  {}", two_digits(found.suggestion)))?;
    out.line(format_args!("  where the loss is lowest       {}", two_digits(found.minimum_tenth * 10.0)))?;
    out.line(format_args!("  a decade under that            {}", two_digits(found.minimum_tenth)))?;
    out.line(format_args!("  where the loss falls fastest   {}", two_digits(found.steepest)))?;
    match found.diverged {
        Some(step) => out.line(format_args!(
            "  the loss broke at step {step}, at {}",
            two_digits(found.rates[found.rates.len() - 1])
        ))?,
        None => out.line(format_args!("  the loss did not break up to {}", two_digits(args.to)))?,
    }
    if found.diverged.is_none() && found.minimum_tenth * 10.0 > args.to * 0.8 {
        note(format_args!("the loss was lowest at the end: look further with --to {}", args.to * 10.0));
    }
    note(format_args!("next: charloom train --lr {} with the same flags", two_digits(found.suggestion)));
    Ok(())
}

fn table(found: &LrFind) -> String {
    let mut text = String::from("step,lr,loss,smoothed\n");
    for (step, ((lr, loss), smoothed)) in
        found.rates.iter().zip(&found.losses).zip(&found.smoothed).enumerate()
    {
        text += &format!("{step},{lr},{loss},{smoothed}\n");
    }
    text
}
