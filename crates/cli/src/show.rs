//! `charloom show`.

use std::path::PathBuf;

use charloom::disk::replace_file;
use charloom::files::NamedTensor;
use charloom::{Checkpoint, Error, Result, models};
use serde_json::{Value, json};

use crate::output::{Out, name, note, weights};
use crate::setup::read_model;

/// Show a model's tensors: their names and sizes, or the numbers of one
#[derive(clap::Args)]
pub struct Args {
    /// A run folder or a .safetensors file
    run: PathBuf,
    /// A tensor, or rows of it: embedding.weight, embedding.weight[5], embedding.weight[5:8],
    /// embedding.weight[5,6,7,7]
    #[arg(value_name = "TENSOR[ROWS]")]
    tensor: Option<String>,
    /// Write the table, or the numbers, as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the numbers as a NumPy array
    #[arg(long, value_name = "FILE", requires = "tensor")]
    npy: Option<PathBuf>,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let (file, checkpoint) = read_model(&args.run)?;
    note(weights(&file, &checkpoint));
    let write =
        |path: &PathBuf, bytes: &[u8]| replace_file(path, bytes).map_err(|error| Error::io(path, error));
    let Some(wanted) = &args.tensor else {
        let rows = table(&checkpoint);
        if let Some(path) = &args.csv {
            let lines: String = rows.iter().map(|row| row.join(",").replace(", ", "x") + "\n").collect();
            write(path, lines.as_bytes())?;
        }
        let parameters = models::parameters(&checkpoint.config, checkpoint.vocab.len())?;
        if out.json {
            let tensors: Vec<Value> = checkpoint.tensors.iter().map(described).collect();
            return out.object(&json!({
                "file": name(&file), "step": checkpoint.step, "parameters": parameters, "tensors": tensors,
            }));
        }
        out.table(&rows)?;
        return parameters.map_or(Ok(()), |count| out.line(format_args!("{count} parameters")));
    };
    let tensor = chosen(&checkpoint, wanted)?;
    if let Some(path) = &args.csv {
        write(path, csv(&tensor).as_bytes())?;
    }
    if let Some(path) = &args.npy {
        write(path, &tensor.to_npy())?;
    }
    if out.json {
        let mut object = described(&tensor);
        (object["file"], object["step"]) = (json!(name(&file)), json!(checkpoint.step));
        object["data"] = nested(&tensor.shape, &shortest(&tensor));
        return out.object(&object);
    }
    out.line(&tensor)?;
    let [head, row] = [HEAD.map(str::to_owned).to_vec(), cells(&tensor)];
    out.table(&[head, row])
}

const HEAD: [&str; 7] = ["tensor", "shape", "count", "mean", "std", "min", "max"];

fn table(checkpoint: &Checkpoint) -> Vec<Vec<String>> {
    let head = HEAD.map(str::to_owned).to_vec();
    std::iter::once(head).chain(checkpoint.tensors.iter().map(cells)).collect()
}

fn cells(tensor: &NamedTensor) -> Vec<String> {
    let numbers = moments(tensor).map(|x| x.map_or(String::from("-"), |x| format!("{x:.4}")));
    let own = [tensor.name.clone(), format!("{:?}", tensor.shape), tensor.data.len().to_string()];
    own.into_iter().chain(numbers).collect()
}

fn described(tensor: &NamedTensor) -> Value {
    let [mean, std, min, max] = moments(tensor);
    json!({
        "name": tensor.name, "shape": tensor.shape, "count": tensor.data.len(),
        "mean": mean, "std": std, "min": min, "max": max,
    })
}

/// Mean, standard deviation (over n - 1), smallest, largest; `None` if undefined.
fn moments(tensor: &NamedTensor) -> [Option<f64>; 4] {
    let numbers = tensor.numbers();
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let variance = numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    let least = numbers.iter().copied().reduce(f64::min);
    let most = numbers.iter().copied().reduce(f64::max);
    let finite = |x: f64| Some(x).filter(|x| x.is_finite());
    [finite(mean), finite(variance.sqrt()), least, most]
}

/// The named tensor, or the named rows of it.
fn chosen(checkpoint: &Checkpoint, wanted: &str) -> Result<NamedTensor> {
    let (name, rows) = match wanted.split_once('[') {
        Some((name, rows)) => (name, Some(rows.strip_suffix(']').ok_or_else(|| no_rows(wanted))?)),
        None => (wanted, None),
    };
    let Some(tensor) = checkpoint.tensor(name) else {
        let names: Vec<&str> = checkpoint.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        return Err(Error::usage(format!("the model has no tensor {name:?}; it has {}", names.join(", "))));
    };
    let Some(rows) = rows else { return Ok(tensor.clone()) };
    let most =
        *tensor.shape.first().ok_or_else(|| Error::usage(format!("{name} is one number; it has no rows")))?;
    let number = |text: &str| match text.trim().parse::<usize>() {
        Ok(row) if row <= most => Ok(row),
        Ok(row) => Err(Error::usage(format!("{name} has {most} rows, counted from 0; {row} is none"))),
        Err(_) => Err(no_rows(wanted)),
    };
    let rows: Vec<usize> = match rows.split_once(':') {
        Some((from, to)) => {
            let from = if from.is_empty() { 0 } else { number(from)? };
            (from..if to.is_empty() { most } else { number(to)? }).collect()
        }
        None => rows.split(',').map(number).collect::<Result<_>>()?,
    };
    let is_one = rows.len() == 1 && !wanted.contains(':');
    let chosen = tensor.rows(&rows, is_one).map(|rows| NamedTensor { name: wanted.to_owned(), ..rows });
    chosen.ok_or_else(|| Error::usage(format!("{name} has {most} rows, counted from 0")))
}

fn no_rows(wanted: &str) -> Error {
    Error::usage(format!("{wanted:?} is no tensor and rows; write name, name[5], name[5:8] or name[5,6,7]"))
}

/// Comma-separated values, with a line for each row along the last dimension.
fn csv(tensor: &NamedTensor) -> String {
    let width = tensor.shape.last().copied().unwrap_or(1).max(1);
    let numbers: Vec<String> = shortest(tensor).iter().map(ToString::to_string).collect();
    numbers.chunks(width).map(|row| row.join(",") + "\n").collect()
}

/// The numbers; those of single precision as the shortest decimal that reads back the same: 0.1, not
/// 0.10000000149.
fn shortest(tensor: &NamedTensor) -> Vec<f64> {
    let short = |x: &f32| x.to_string().parse().unwrap_or_else(|_| f64::from(*x));
    tensor.as_f32().map_or_else(|| tensor.numbers(), |data| data.iter().map(short).collect())
}

fn nested(shape: &[usize], numbers: &[f64]) -> Value {
    match shape {
        [] => json!(numbers.first()),
        [_] => json!(numbers),
        [_, rest @ ..] => {
            let step = rest.iter().product::<usize>().max(1);
            numbers.chunks(step).map(|part| nested(rest, part)).collect()
        }
    }
}
