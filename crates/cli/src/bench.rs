//! `charloom bench`.

use std::path::PathBuf;
use std::time::Duration;

use charloom::threads::{self, MAX_THREADS};
use charloom::{Error, Result, speed};

use crate::args::{self, DataFlags, ModelFlags, TrainFlags};
use crate::output::Out;

/// Measure how fast a model trains here: steps a second, and the share of what the machine could do
#[derive(clap::Args)]
pub struct Args {
    /// A file of lines or of running text, - for standard input, or the name of a known data set
    data: Option<PathBuf>,
    /// Begin from a built-in configuration; see charloom presets
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Begin from a configuration file, such as a run's config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// About how long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Threads to compute with [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS as i64))]
    threads: Option<u16>,
    #[command(flatten)]
    data_flags: DataFlags,
    #[command(flatten)]
    model_flags: ModelFlags,
    #[command(flatten)]
    train_flags: TrainFlags,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let time = Duration::try_from_secs_f64(args.seconds)
        .ok()
        .filter(|time| (0.01..=3600.0).contains(&time.as_secs_f64()))
        .ok_or_else(|| Error::usage(format!("--seconds {} is not between 0.01 and 3600", args.seconds)))?;
    let mut config = args::base(args.preset.as_deref(), args.config.as_deref())?;
    args.data_flags.apply(args.data.as_ref(), &mut config);
    args.model_flags.apply(&mut config)?;
    args.train_flags.apply(&mut config)?;
    let data = charloom::load_data(&mut config)?;
    let threads = args.threads.map_or_else(threads::available, usize::from);
    let speed = speed::measure(&config, &data, threads, time)?;
    if out.json {
        return out.object(&speed);
    }
    out.line(format_args!(
        "steps a second   {:.0} ({:.1} microseconds each)",
        speed.steps_per_second, speed.microseconds
    ))?;
    out.line(format_args!("arithmetic       {:.1} GFLOP/s, as the model is written", speed.gflops))?;
    let percent = 100.0 * speed.share;
    out.line(format_args!(
        "share of peak    {percent:.0} % of {} x {:.0} GFLOP/s",
        speed.threads, speed.peak_gflops
    ))?;
    out.line(format_args!("kernels          {}, {} parameters", speed.kernels, speed.parameters))
}
