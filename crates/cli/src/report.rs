//! `charloom report`.

use std::path::{Path, PathBuf};

use charloom::disk::replace_file;
use charloom::{Error, Result};
use charloom_plot::report::report;
use serde_json::json;

use crate::output::{Out, flags, name, note};
use crate::setup::RunData;

/// Write a page about a run: one HTML file that needs no network
#[derive(clap::Args)]
pub struct Args {
    /// A run folder or a .safetensors file
    run: PathBuf,
    /// The page
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
    #[command(flatten)]
    data: RunData,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let bytes = write(&args.run, args.data.get().map(PathBuf::as_path), &args.out)?;
    if out.json {
        return out.object(&json!({"report": name(&args.out), "bytes": bytes}));
    }
    note(format_args!("written to {}; open it in a browser", args.out.display()));
    Ok(())
}

/// Writes the page about a run; returns its size in bytes.
pub fn write(run: &Path, data: Option<&Path>, to: &Path) -> Result<usize> {
    let page = report(run, data, flags)?;
    replace_file(to, page.as_bytes()).map_err(|error| Error::io(to, error))?;
    Ok(page.len())
}
