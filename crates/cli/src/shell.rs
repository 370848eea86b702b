//! `charloom completions` and `charloom man`: what a package puts beside the command.

use std::path::PathBuf;

use charloom::disk::replace_file;
use charloom::{Error, Result};
use clap_complete::Shell;
use serde_json::json;

use crate::help;
use crate::output::Out;

/// Print a script that lets a shell complete commands and flags
///
/// bash: charloom completions bash > ~/.local/share/bash-completion/completions/charloom
///
/// zsh: charloom completions zsh > a folder of $fpath/_charloom
///
/// fish: charloom completions fish > ~/.config/fish/completions/charloom.fish
#[derive(clap::Args)]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

/// Write the manual pages into a folder: charloom.1, charloom-train.1 and so on
#[derive(clap::Args)]
pub struct Man {
    /// The folder; made if it is not there
    folder: PathBuf,
}

pub fn completions(args: &Completions, out: &mut Out) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(), "charloom", &mut script);
    let script = String::from_utf8_lossy(&script);
    if out.json { out.object(&json!({"script": script})) } else { out.text(script) }
}

pub fn man(args: &Man, out: &mut Out) -> Result<()> {
    std::fs::create_dir_all(&args.folder).map_err(|error| Error::io(&args.folder, error))?;
    let mut command = help::command();
    command.build();
    let mut pages = Vec::new();
    write_pages(&command, args, &mut pages)?;
    if out.json {
        return out.object(&json!({"files": pages}));
    }
    pages.iter().try_for_each(|page| out.line(page.display()))
}

/// The page of a command, and those of its subcommands.
fn write_pages(command: &clap::Command, args: &Man, pages: &mut Vec<PathBuf>) -> Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    let page = args.folder.join(man.get_filename());
    let mut text = Vec::new();
    man.render(&mut text).map_err(|error| Error::io(&page, error))?;
    replace_file(&page, &text).map_err(|error| Error::io(&page, error))?;
    pages.push(page);
    let own = |sub: &&clap::Command| !sub.is_hide_set() && sub.get_name() != "help";
    command.get_subcommands().filter(own).try_for_each(|sub| write_pages(sub, args, pages))
}
