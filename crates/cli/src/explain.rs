//! `charloom explain`.

use std::path::PathBuf;

use charloom::explain::{self, Loss};
use charloom::{Config, Result, models};

use crate::args::{EVALUATIONS, OPTIMIZER, RATES};
use crate::output::{Out, flags};
use crate::setup::{RunOrData, Settings, What, read_model, reload_data};

/// Say what the numbers mean
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    #[command(allow_negative_numbers = true)]
    Loss(Box<LossArgs>),
}

/// What the loss should be before training, what ignorance would give on this data, and where a run stands
///
/// Without a run it is about the configuration that the flags make.
#[derive(clap::Args)]
struct LossArgs {
    #[command(flatten)]
    what: RunOrData,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let Command::Loss(args) = &args.command;
    let loss = match args.what.get()? {
        What::Run(path, moved) => {
            let (file, checkpoint) = read_model(path)?;
            let model = models::open(&checkpoint, &file)?;
            let data = args.settings.data_of_run(&checkpoint.config.data, moved)?;
            let (config, vocab) =
                (Config { data, ..checkpoint.config.clone() }, Some(checkpoint.vocab.clone()));
            let data = reload_data(&config.data, vocab, path, moved.map(PathBuf::as_path))?;
            explain::loss(&config, &data, Some(&*model))?
        }
        What::Data(path) => {
            args.settings.refuse(&[&["steps"], RATES, EVALUATIONS, OPTIMIZER], "nothing is trained here")?;
            let mut config = args.settings.config(path)?;
            let data = args.settings.load_data(&mut config)?;
            explain::loss(&config, &data, None)?
        }
    };
    if out.json { out.object(&loss) } else { print(&loss, out) }
}

fn print(loss: &Loss, out: &mut Out) -> Result<()> {
    let row = |name: &str, loss: f64, about: String| vec![format!("{name:<10}  {loss:>7.4}  {about}")];
    let Loss { vocab_size, split, baselines, .. } = loss;
    let mut rows = vec![vec![format!("{:<10}  {:>7}", "", "loss")]];
    if let Some(untrained) = loss.untrained {
        rows.push(row(
            "untrained",
            untrained,
            "this configuration's model on its first minibatch".to_owned(),
        ));
    }
    let models = format!("on the {split} split");
    rows.push(row("uniform", baselines.uniform, format!("ln {vocab_size}: every character equally likely")));
    rows.push(row("unigram", baselines.unigram, format!("each as often as it occurs, {models}")));
    rows.push(row("bigram", baselines.bigram, format!("each as often as after the one before it, {models}")));
    if let (Some(train), Some(run)) = (loss.train, loss.run) {
        if *split != "train" {
            rows.push(row("the run", train.loss, "on the train split".to_owned()));
        }
        rows.push(row("the run", run.loss, models));
    }
    out.table(&rows)?;
    let sentences = loss.sentences();
    if !sentences.is_empty() {
        out.line("")?;
    }
    sentences.iter().try_for_each(|sentence| out.line(flags(sentence)))
}
