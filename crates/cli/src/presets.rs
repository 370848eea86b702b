//! `charloom presets`.

use charloom::{Result, presets};
use serde_json::json;

use crate::output::Out;

/// List the built-in configurations
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print one of them, as a file for --config
    Show {
        /// Which one
        name: String,
    },
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    match &args.command {
        Some(Command::Show { name }) => {
            let preset = presets::get(name)?;
            if out.json {
                return out.object(&described(preset));
            }
            out.line(preset.toml.trim_end())
        }
        None if out.json => {
            let all: Vec<_> = presets::all().iter().map(described).collect();
            out.object(&json!({ "presets": all }))
        }
        None => {
            let width = presets::all().iter().map(|preset| preset.name.len()).max().unwrap_or(0);
            for preset in presets::all() {
                out.line(format_args!("{:width$}  {}", preset.name, preset.about))?;
            }
            Ok(())
        }
    }
}

fn described(preset: &presets::Preset) -> serde_json::Value {
    json!({"name": preset.name, "about": preset.about, "source": preset.source, "toml": preset.toml})
}
