//! `charloom examples`.

use charloom::data::{Data, Examples, Mode, Shuffle, Vocab};
use charloom::{Config, Error, Result};
use serde_json::{Value, json};

use crate::args::DataFlags;
use crate::output::{Out, shown};
use crate::setup::{DataPath, load_data};

/// List the examples of data: each context, and the character that follows it
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    data: DataPath,
    /// Characters of a context
    #[arg(long, value_name = "T", default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=1024))]
    context: u16,
    /// Of how many words; of a running text, how many examples [default: 5 words, 20 examples]
    #[arg(short, long = "count", value_name = "N")]
    n: Option<usize>,
    /// Below each word, with the tokens' numbers too
    #[arg(long)]
    numbers: bool,
    /// all, in the file's order; or train, val, test, as training has them
    #[arg(long, value_name = "SPLIT", default_value = "all", value_parser = ["all", "train", "val", "test"])]
    of: String,
    /// Which token each character has (stoi), and which character each token (itos)
    #[arg(long, conflicts_with_all = ["n", "numbers", "of", "context"])]
    vocab: bool,
    #[command(flatten)]
    flags: DataFlags,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let mut config = Config::default();
    args.flags.apply(args.data.get(), &mut config);
    if args.of == "all" {
        (config.data.shuffle, config.data.split) = (Shuffle::None, Some([1.0, 0.0, 0.0]));
    }
    let data = load_data(&mut config)?;
    let split = match args.of.as_str() {
        "val" => &data.splits.val,
        "test" => &data.splits.test,
        _ => &data.splits.train,
    };
    if split.is_empty() {
        return Err(Error::usage(format!("the {} split is empty; choose another with --of", args.of)));
    }
    let examples = split.examples(args.context.into())?;
    let n = args.n.unwrap_or(if data.mode() == Mode::Text { 20 } else { 5 });
    let count = match split.boundary() {
        Some(_) => split.words().take(n).map(|word| word.len() + 1).sum(),
        None => n.min(examples.len()),
    };
    if out.json {
        return out.object(&object(&examples, count, &data.vocab));
    }
    if args.vocab {
        return vocabulary(&data.vocab, out);
    }
    print(&examples, count, &data, args.numbers, out)
}

fn object(examples: &Examples, count: usize, vocab: &Vocab) -> Value {
    let example = |i: usize| {
        let (x, y) = (examples.context(i).collect::<Vec<u32>>(), examples.target(i));
        json!({"context": vocab.decode(&x), "target": vocab.decode([y]), "x": x, "y": y})
    };
    let itos: Vec<String> = characters(vocab).collect();
    let stoi: serde_json::Map<String, Value> =
        itos.iter().enumerate().map(|(i, c)| (c.clone(), json!(i))).collect();
    let listed: Vec<Value> = (0..count).map(example).collect();
    json!({"context": examples.context_length(), "count": count, "itos": itos, "stoi": stoi, "examples": listed})
}

/// Each token as text.
fn characters(vocab: &Vocab) -> impl Iterator<Item = String> {
    (0..vocab.len() as u32).map(|token| vocab.decode([token]))
}

fn vocabulary(vocab: &Vocab, out: &mut Out) -> Result<()> {
    let all: Vec<String> = characters(vocab).map(|c| format!("'{}'", c.escape_debug())).collect();
    let itos: Vec<String> = all.iter().enumerate().map(|(i, c)| format!("{i}: {c}")).collect();
    let stoi: Vec<String> = all.iter().enumerate().map(|(i, c)| format!("{c}: {i}")).collect();
    out.line(format_args!("itos {{{}}}", itos.join(", ")))?;
    out.line(format_args!("stoi {{{}}}", stoi.join(", ")))
}

fn print(examples: &Examples, count: usize, data: &Data, numbers: bool, out: &mut Out) -> Result<()> {
    let (vocab, boundary) = (&data.vocab, data.vocab.boundary());
    let text = |tokens: &[u32]| {
        let text = vocab.decode(tokens);
        if boundary.is_some() { shown(&text, Mode::Lines) } else { text.escape_debug().to_string() }
    };
    let mut word = Vec::new();
    let mut lines = Vec::new();
    for i in 0..count {
        let (x, y) = (examples.context(i).collect::<Vec<u32>>(), examples.target(i));
        let plain = format!("{} ---> {}", text(&x), text(&[y]));
        if !numbers {
            out.line(plain)?;
            continue;
        }
        lines.push(format!("{plain} | {x:?} ---> {y}"));
        if Some(y) != boundary {
            word.push(y);
            continue;
        }
        out.line(text(&word))?;
        lines.drain(..).try_for_each(|line| out.line(line))?;
        out.line("")?;
        word.clear();
    }
    lines.drain(..).try_for_each(|line| out.line(line))?;
    let context = examples.context_length();
    out.line(format_args!("{count} of {} examples: X [{count}, {context}], Y [{count}]", examples.len()))
}
