//! `charloom data`.

use std::io::Write;
use std::path::PathBuf;

use charloom::load::Data;
use charloom::run::replace_file;
use charloom::{Config, Error, Result};
use serde_json::json;

use crate::args::DataFlags;
use crate::output::Out;

/// Known data sets, and data cut into splits
#[derive(clap::Subcommand)]
pub enum Command {
    /// Write train.txt, val.txt and test.txt as trained on
    Split {
        /// The data; the embedded names without it
        data: Option<PathBuf>,
        /// The folder to write to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Write over files that are there
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        flags: DataFlags,
    },
}

pub fn run(command: &Command, out: &mut Out) -> Result<()> {
    match command {
        Command::Split { data, out: folder, force, flags } => {
            let mut config = Config::default();
            flags.apply(data.as_ref(), &mut config);
            config.validate()?;
            let data = Data::load(&mut config)?;
            let splits =
                [("train", &data.splits.train), ("val", &data.splits.val), ("test", &data.splits.test)];
            let files = splits.map(|(name, _)| folder.join(format!("{name}.txt")));
            if let Some(there) = files.iter().find(|file| !force && file.exists()) {
                return Err(Error::model(there, "exists; --force writes over it, or choose another --out"));
            }
            std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
            for ((_, split), file) in splits.iter().zip(&files) {
                let text = split.to_text(&data.vocab);
                replace_file(file, |to| to.write_all(text.as_bytes()))
                    .map_err(|error| Error::io(file, error))?;
            }
            if out.json {
                let [train, val, test] = &files;
                return out.object(&json!({"train": train, "val": val, "test": test}));
            }
            files.iter().try_for_each(|file| out.line(file.display()))
        }
    }
}
