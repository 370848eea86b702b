//! `charloom explain`.

use std::path::PathBuf;

use charloom::explain::{self, Loss};
use charloom::{Checkpoint, Result, files, models};

use crate::args::{self, DataFlags, ModelFlags, TrainFlags};
use crate::output::{Out, flags};

/// Say what the numbers mean
#[derive(clap::Subcommand)]
pub enum Command {
    #[command(allow_negative_numbers = true)]
    Loss(Box<LossArgs>),
}

/// What the loss should be before training, what ignorance would give on this data, and where a run stands
#[derive(clap::Args)]
pub struct LossArgs {
    /// A run folder or a .safetensors file; without it, the configuration that the flags make
    #[arg(conflicts_with_all = ["preset", "config", "DataFlags", "ModelFlags", "TrainFlags"])]
    run: Option<PathBuf>,
    /// The data, where it is now; without it, the run's or the embedded names
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Begin from a built-in configuration; see charloom presets
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Begin from a configuration file, such as a run's config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    data_flags: DataFlags,
    #[command(flatten)]
    model_flags: ModelFlags,
    #[command(flatten)]
    train_flags: TrainFlags,
}

pub fn run(command: &Command, out: &mut Out) -> Result<()> {
    let Command::Loss(args) = command;
    let loss = match &args.run {
        Some(path) => {
            let file = files::model_file(path)?;
            let checkpoint = Checkpoint::read(&file)?;
            let model = models::open(&checkpoint, &file)?;
            let mut config = checkpoint.config.clone();
            if args.data.is_some() {
                config.data.sha256 = None;
            }
            let vocab = Some(checkpoint.vocab.clone());
            let data = charloom::reload_data(&config.data, vocab, path, args.data.as_deref())?;
            explain::loss(&config, &data, Some(&*model))?
        }
        None => {
            let mut config = args::base(args.preset.as_deref(), args.config.as_deref())?;
            args.data_flags.apply(args.data.as_ref(), &mut config);
            args.model_flags.apply(&mut config)?;
            args.train_flags.apply(&mut config)?;
            let data = charloom::load_data(&mut config)?;
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
