//! `charloom info`.

use std::path::Path;

use charloom::files::Timing;
use charloom::{Error, Result, models, speed};
use serde_json::json;

use crate::mix;
use crate::output::{Out, flags, name, note};
use crate::setup::{RunOrData, Settings, What, load_data, read_model};

/// Tell what a run, a model file, a file of data or a configuration holds
///
/// Of a preset, a configuration file or flags of the model it counts the parameters; of a mixture it lists the
/// members, whose settings --json has.
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    what: RunOrData,
    /// Tell what the computing is done with on this machine
    #[arg(long, conflicts_with_all = ["what", "data_path", "data_named"])]
    hardware: bool,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    if args.hardware {
        if args.settings.has_any() {
            return Err(Error::usage(
                "--hardware is about this machine; leave out the settings, or --hardware",
            ));
        }
        return of_machine(out);
    }
    let path = match args.what.get()? {
        What::Run(_, Some(_)) => {
            return Err(Error::usage("a run says all of itself; leave out the data, or the run"));
        }
        What::Run(path, None) => {
            args.settings.refuse_beside_run()?;
            return of_model(path, out);
        }
        What::Data(path) => path,
    };
    args.settings.refuse_training()?;
    let mut config = args.settings.config(path)?;
    let data = load_data(&mut config)?;
    let mut card = data.card(models::context(&config.model)?);
    for warning in &mut card.warnings {
        *warning = flags(warning);
        note(format_args!("warning: {warning}"));
    }
    let asked = args.settings.has_base() || args.settings.model_flags.has_flags_but_context();
    let parameters = if asked { models::parameters(&config, data.vocab.len())? } else { None };
    if out.json {
        let mut object = json!(card);
        if asked {
            (object["model"], object["parameters"]) = (json!(config.model.kind), json!(parameters));
        }
        return out.object(&object);
    }
    out.line(flags(&card.to_string()))?;
    if let Some(parameters) = parameters {
        out.line(format_args!("  parameters  {parameters} of this configuration's {}", config.model.kind))?;
    }
    Ok(())
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
    let (file, checkpoint) = read_model(path)?;
    let config = &checkpoint.config;
    let boundary = checkpoint.vocab.boundary();
    let vocab: String = checkpoint.vocab.characters()[usize::from(boundary.is_some())..].iter().collect();
    let parameters = models::parameters(config, checkpoint.vocab.len())?;
    let timing = Timing::read(path);
    let tensors = || checkpoint.tensors.iter().map(|tensor| (&tensor.name, &tensor.shape));
    let members = models::members(config, checkpoint.vocab.len())?;
    if out.json {
        let tensors: Vec<_> =
            tensors().map(|(tensor, shape)| json!({"name": tensor, "shape": shape})).collect();
        return out.object(&json!({
            "file": name(&file), "model": config.model.kind, "step": checkpoint.step, "timing": timing,
            "parameters": parameters, "members": members,
            "vocab_size": checkpoint.vocab.len(), "vocab": vocab, "tensors": tensors, "config": config,
        }));
    }
    out.line(file.display())?;
    out.line(format_args!("  model       {}", config.model.kind))?;
    if let Some(parameters) = parameters {
        out.line(format_args!("  parameters  {parameters}"))?;
    }
    if !models::has_no_steps(config)? {
        out.line(format_args!("  weights     of step {} of {}", checkpoint.step, config.train.steps))?;
    }
    if let Some(timing) = timing {
        out.line(format_args!("  time        {timing}"))?;
    }
    let boundary = if boundary.is_some() { "boundary and " } else { "" };
    let count = checkpoint.vocab.len();
    out.line(format_args!("  vocabulary  {count} ({boundary}{})", vocab.escape_debug()))?;
    out.line("")?;
    if !members.is_empty() {
        mix::print_members("member", &members, out)?;
        out.line("")?;
        let settings = config.to_toml();
        out.line(settings.split("[[model.members]]").next().unwrap_or(&settings).trim_end())?;
        note(format_args!("the members' settings: --json; their tensors: charloom show {}", path.display()));
        return Ok(());
    }
    let rows: Vec<_> =
        tensors().map(|(name, shape)| vec![format!("  {name}"), format!("{shape:?}")]).collect();
    out.table(&rows)?;
    out.line("")?;
    out.line(config.to_toml().trim_end())
}
