//! `charloom man`.

use std::path::PathBuf;

use charloom::disk::replace_file;
use charloom::{Error, Result};
use serde_json::json;

use crate::output::Out;
use crate::{help, subcommands};

/// Write the manual pages into a folder: charloom.1, charloom-train.1 and so on
#[derive(clap::Args)]
pub struct Args {
    /// The folder; made if it is not there
    folder: PathBuf,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    std::fs::create_dir_all(&args.folder).map_err(|error| Error::io(&args.folder, error))?;
    let mut command = for_pages(help::command(subcommands::ALL));
    command.build();
    let mut pages = Vec::new();
    write_pages(&command, args, &mut pages)?;
    if out.json {
        return out.object(&json!({"files": pages}));
    }
    pages.iter().try_for_each(|page| out.line(page.display()))
}

/// The command as manual pages need it: `-h` hides no flag, and there is no subcommand `help`.
fn for_pages(command: clap::Command) -> clap::Command {
    let shown = command.disable_help_subcommand(true).mut_args(|arg| arg.hide_short_help(false));
    shown.mut_subcommands(for_pages)
}

/// Writes the pages of a command and its subcommands, and adds their paths to `pages`.
fn write_pages(command: &clap::Command, args: &Args, pages: &mut Vec<PathBuf>) -> Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    let page = args.folder.join(man.get_filename());
    let mut text = Vec::new();
    man.render(&mut text).map_err(|error| Error::io(&page, error))?;
    replace_file(&page, &text).map_err(|error| Error::io(&page, error))?;
    pages.push(page);
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .try_for_each(|sub| write_pages(sub, args, pages))
}
