//! `charloom data`.

use std::path::PathBuf;

use charloom::data::{Cache, Dataset};
use charloom::{Config, Result};
use serde_json::json;

use crate::args::DataFlags;
use crate::download::fetch;
use crate::output::{Out, name};
use crate::setup::{DataPath, load_data};

/// Known data sets, and data cut into splits
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the data sets that are known by name
    List,
    /// Print where a data set's file is kept
    Path {
        /// Which one
        name: String,
    },
    /// Download a data set unless it is there, verify it, and print where it is
    Get {
        /// Which one
        name: String,
    },
    /// Write train.txt, val.txt and test.txt as trained on
    Split {
        #[command(flatten)]
        data: DataPath,
        /// The folder to write to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        flags: Box<DataFlags>,
    },
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    match &args.command {
        Command::List => list(out),
        Command::Path { name: set } => {
            let set = Dataset::get(set)?;
            let path = Cache::of_user()?.path(&set);
            if out.json { out.object(&json!({"path": name(&path)})) } else { out.line(path.display()) }
        }
        Command::Get { name: set } => {
            let path = Cache::of_user()?.get(&Dataset::get(set)?, fetch)?;
            if out.json { out.object(&json!({"path": name(&path)})) } else { out.line(path.display()) }
        }
        Command::Split { data, out: folder, flags } => {
            let mut config = Config::default();
            flags.apply(data.get(), &mut config);
            let files = load_data(&mut config)?.write_splits(folder)?;
            if out.json {
                return out
                    .object(&json!({"files": files.iter().map(|file| name(file)).collect::<Vec<_>>()}));
            }
            files.iter().try_for_each(|file| out.line(file.display()))
        }
    }
}

fn list(out: &mut Out) -> Result<()> {
    let cache = Cache::of_user()?;
    if out.json {
        let sets: Vec<_> = Dataset::all()
            .iter()
            .map(|set| {
                let mut object = json!(set);
                object["path"] = json!(cache.find(set).map(|path| name(&path)));
                object
            })
            .collect();
        return out.object(&json!({"datasets": sets}));
    }
    for set in Dataset::all() {
        let here = if set.url.is_none() || cache.find(set).is_some() { "here" } else { "" };
        out.line(format_args!("{:20} {here:5} {}", set.name, set.about))?;
    }
    Ok(())
}
