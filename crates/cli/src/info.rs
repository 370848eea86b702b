//! `charloom info`.

use std::path::{Path, PathBuf};

use charloom::files::{self, Timing};
use charloom::{Checkpoint, Config, Result, speed};
use serde_json::json;

use crate::args::DataFlags;
use crate::output::{Out, flags, note};

/// Tell what a run, a model file or a file of data holds
#[derive(clap::Args)]
pub struct Args {
    /// A run folder, a .safetensors file, or a file of data; the embedded names without it
    #[arg(value_name = "RUN|DATA")]
    what: Option<PathBuf>,
    /// Of data: count the examples at this context
    #[arg(long, value_name = "T", default_value_t = 3)]
    context: usize,
    /// Tell what the computing is done with on this machine
    #[arg(long, conflicts_with = "what")]
    hardware: bool,
    #[command(flatten)]
    data: DataFlags,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    if args.hardware {
        return of_machine(out);
    }
    if let Some(path) = &args.what
        && (path.is_dir() || path.extension().is_some_and(|extension| extension == "safetensors"))
    {
        return of_model(path, out);
    }
    let mut config = Config::default();
    args.data.apply(args.what.as_ref(), &mut config);
    let mut card = charloom::load_data(&mut config)?.card(args.context);
    for warning in &mut card.warnings {
        *warning = flags(warning);
        note(format_args!("warning: {warning}"));
    }
    if out.json { out.object(&card) } else { out.line(card) }
}

fn of_machine(out: &mut Out) -> Result<()> {
    let hardware = speed::hardware();
    if out.json {
        return out.object(&hardware);
    }
    out.line(format_args!("kernels    {} (of {})", hardware.kernels, hardware.available.join(", ")))?;
    out.line(format_args!("cores      {}", hardware.cores))?;
    out.line(format_args!("threads    {} in training, unless --threads says otherwise", hardware.threads))
}

fn of_model(path: &Path, out: &mut Out) -> Result<()> {
    let file = files::model_file(path)?;
    let checkpoint = Checkpoint::read(&file)?;
    let config = &checkpoint.config;
    let vocab: String = checkpoint.vocab.characters().iter().collect();
    let parameters = charloom::models::parameters(config, checkpoint.vocab.len())?;
    let timing = Timing::read(path);
    let tensors = || checkpoint.tensors.iter().map(|tensor| (&tensor.name, &tensor.shape));
    if out.json {
        let tensors: Vec<_> = tensors().map(|(name, shape)| json!({"name": name, "shape": shape})).collect();
        return out.object(&json!({
            "file": file, "model": config.model.kind, "step": checkpoint.step, "timing": timing,
            "parameters": parameters,
            "vocab_size": checkpoint.vocab.len(), "vocab": vocab, "tensors": tensors, "config": config,
        }));
    }
    out.line(file.display())?;
    out.line(format_args!("  model       {}", config.model.kind))?;
    if let Some(parameters) = parameters {
        out.line(format_args!("  parameters  {parameters}"))?;
    }
    out.line(format_args!("  steps       {}", checkpoint.step))?;
    if let Some(timing) = timing {
        out.line(format_args!("  time        {timing}"))?;
    }
    out.line(format_args!("  vocabulary  {} ({})", checkpoint.vocab.len(), vocab.escape_debug()))?;
    out.line("")?;
    let rows: Vec<_> =
        tensors().map(|(name, shape)| vec![format!("  {name}"), format!("{shape:?}")]).collect();
    out.table(&rows)?;
    out.line("")?;
    out.line(config.to_toml().trim_end())
}
