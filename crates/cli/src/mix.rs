//! `charloom mix`.

use std::path::{Path, PathBuf};

use charloom::evaluation::Evaluation;
use charloom::files::RunFolder;
use charloom::mix::{Mix, MixedRun, Weights, mix};
use charloom::models::MemberSummary;
use charloom::{Error, Result};
use serde_json::json;

use crate::output::{Out, name, with_progress};
use crate::setup::RunsData;
use crate::train;

/// Make one model of several: the weighed mean or the product of their probabilities, fitted to the validation split
#[derive(clap::Args)]
pub struct Args {
    /// Run folders or .safetensors files, trained on the same data
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The run folder of the mixture
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// The weight of each run, in place of fitted ones
    #[arg(long, value_name = "W,...", value_delimiter = ',')]
    weights: Option<Vec<f64>>,
    /// Multiply their probabilities, each to a power that depends on how sure all are, in place of their mean
    #[arg(long, conflicts_with = "weights")]
    product: bool,
    /// Fit the powers to models that learn at this rate while they read, for eval --adapt; the losses told are theirs
    #[arg(long, value_name = "LR", requires = "product")]
    adapt: Option<f64>,
    #[command(flatten)]
    data: RunsData,
    /// Replace the run in --out
    #[arg(long)]
    force: bool,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let weights = match &args.weights {
        Some(weights) => Weights::Given(weights.clone()),
        None if args.product => Weights::Powers { adapt: args.adapt },
        None => Weights::Fitted,
    };
    let mut mixed = with_progress("mixing", |progress| mix(&args.runs, &weights, args.data.get(), progress))
        .map_err(RunsData::explain)?;
    let whole = |path: &Path| path.canonicalize().ok();
    let is_within =
        |run: &Path| whole(run).zip(whole(&args.out)).is_some_and(|(run, out)| run.starts_with(out));
    if let Some(run) = args.runs.iter().find(|run| is_within(run)) {
        let message =
            format!("{} lies in --out, which the mixture would replace; choose another", run.display());
        return Err(Error::usage(message));
    }
    let mut folder = RunFolder::create(&args.out, args.force)?;
    let written = mixed.save(&mut folder);
    if let Err(error) = written.and_then(|()| train::write_samples(&mixed.model, &mixed.data, &folder)) {
        folder.remove();
        return Err(error);
    }
    drop(folder);
    print(&mixed, &args.out, out)?;
    train::note_saved(&args.out, &mixed.data);
    Ok(())
}

/// What a mixture is made of, with `head` above it.
pub fn print_members(head: &str, members: &[MemberSummary], out: &mut Out) -> Result<()> {
    out.table(&MemberSummary::table(members, head))
}

/// Each member's weight and loss, and the mixture's loss.
pub fn print(mixed: &Mix, path: &Path, out: &mut Out) -> Result<()> {
    let Mix { members, evaluation, .. } = mixed;
    if out.json {
        let mut object = json!(evaluation);
        object["run"] = json!(name(path));
        object["split"] = json!("val");
        object["members"] = json!(members);
        return out.object(&object);
    }
    let head = ["member", "weight", "loss", "bits/char", "perplexity"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    let losses = |evaluation: &Option<Evaluation>| {
        let shown = |e: &Evaluation| {
            [format!("{:.4}", e.loss), format!("{:.4}", e.bits_per_char), format!("{:.3}", e.perplexity)]
        };
        evaluation.iter().flat_map(shown).collect::<Vec<_>>()
    };
    for MixedRun { run, model, weight, evaluation } in members {
        let row = vec![format!("{} ({model})", run.display()), format!("{weight:.4}")];
        table.push([row, losses(evaluation)].concat());
    }
    table.push([vec!["mixture".to_owned(), String::new()], losses(evaluation)].concat());
    out.table(&table)
}
