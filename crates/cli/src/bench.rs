//! `charloom bench`.

use std::time::Duration;

use charloom::threads::{self, MAX_THREADS};
use charloom::{Error, Result, speed};

use crate::args::{EVALUATIONS, RATES};
use crate::output::Out;
use crate::setup::{DataPath, Settings};

/// Measure how fast a model trains here: steps a second, and the share of what the machine could do
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    data: DataPath,
    /// About how long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Threads to compute with [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS as i64))]
    threads: Option<u16>,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let time = Duration::try_from_secs_f64(args.seconds)
        .ok()
        .filter(|time| (0.01..=3600.0).contains(&time.as_secs_f64()))
        .ok_or_else(|| Error::usage(format!("--seconds {} is not between 0.01 and 3600", args.seconds)))?;
    args.settings.refuse(&[&["steps"], RATES, EVALUATIONS], "only steps are measured, for --seconds")?;
    let mut config = args.settings.config(args.data.get())?;
    let data = args.settings.load_data(&mut config)?;
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
