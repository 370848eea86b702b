//! `charloom next`.

use std::path::PathBuf;

use charloom::models::{self, LanguageModel, Neural};
use charloom::{Error, Result};
use serde_json::{Value, json};

use crate::output::{Out, name, note, weights};
use crate::setup::read_model;

/// Characters of the longest bar.
const BAR: usize = 40;

/// Show which character comes next after a text, and how likely
#[derive(clap::Args)]
pub struct Args {
    /// A run folder or a .safetensors file
    run: PathBuf,
    /// What was read before; nothing: a word or text begins
    #[arg(default_value = "")]
    text: String,
    /// Only the N likeliest
    #[arg(short, long = "count", value_name = "N")]
    n: Option<usize>,
    /// The logits too, of which the softmax gives the probabilities; of an mlp, a linear model or a wavenet
    #[arg(long)]
    logits: bool,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let (file, checkpoint) = read_model(&args.run)?;
    note(weights(&file, &checkpoint));
    let model = models::open(&checkpoint, &file)?;
    let vocab = &checkpoint.vocab;
    let read = vocab.encode(&args.text).map_err(|e| Error::usage(format!("{:?}: {e}", args.text)))?;
    let log_probs = log_probs(&*model, vocab.start(), &read);
    let logits = args
        .logits
        .then(|| Neural::from_checkpoint(&checkpoint, &file)?.logits(vocab.start(), &read))
        .transpose()?;
    let mut order: Vec<usize> = (0..log_probs.len()).collect();
    order.sort_by(|&a, &b| log_probs[b].total_cmp(&log_probs[a]));
    order.truncate(args.n.unwrap_or(usize::MAX));
    let character = |token: usize| vocab.decode([token as u32]);
    if out.json {
        let next = |token: usize| {
            let log_prob = log_probs[token];
            let mut object = json!({
                "character": character(token), "token": token, "prob": log_prob.exp(), "log_prob": log_prob,
            });
            if let Some(logits) = &logits {
                object["logit"] = json!(logits[token]);
            }
            object
        };
        let next: Vec<Value> = order.into_iter().map(next).collect();
        return out
            .object(&json!({"file": name(&file), "step": checkpoint.step, "text": args.text, "next": next}));
    }
    let most = order.first().map_or(1.0, |&token| log_probs[token].exp());
    for &token in &order {
        let p = log_probs[token].exp();
        let logit = logits.as_ref().map_or(String::new(), |logits| format!("  {:>8.4}", logits[token]));
        let bar = bar(p / most);
        out.line(
            format!("{:<3} {p:.4}{logit}  {bar}", character(token).escape_debug().to_string()).trim_end(),
        )?;
    }
    Ok(())
}

fn log_probs(model: &dyn LanguageModel, first: u32, read: &[u32]) -> Vec<f32> {
    let mut reader = model.reader();
    let mut state = reader.start(1, first);
    read.iter().for_each(|&token| reader.read(&mut state, &[token]));
    let mut log_probs = vec![0.0; model.vocab_size()];
    reader.log_probs(&state, &mut log_probs);
    log_probs
}

/// A bar of `share` times the longest one, to an eighth of a character.
fn bar(share: f32) -> String {
    let eighths = (share * (8 * BAR) as f32).round() as usize;
    let part = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let rest = (eighths % 8).checked_sub(1).map(|i| part[i]);
    std::iter::repeat_n('█', eighths / 8).chain(rest).collect()
}
