//! `charloom completions`.

use charloom::Result;
use clap_complete::Shell;
use serde_json::json;

use crate::output::Out;
use crate::{help, subcommands};

/// Print a script that lets a shell complete commands and flags
///
/// bash: charloom completions bash > ~/.local/share/bash-completion/completions/charloom
///
/// zsh: charloom completions zsh > a folder of $fpath/_charloom
///
/// fish: charloom completions fish > ~/.config/fish/completions/charloom.fish
#[derive(clap::Args)]
pub struct Args {
    /// Which shell
    shell: Shell,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(subcommands::ALL), "charloom", &mut script);
    let script = String::from_utf8_lossy(&script);
    if out.json { out.object(&json!({"script": script})) } else { out.text(script) }
}
