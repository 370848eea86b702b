//! `charloom graph`.

use std::path::PathBuf;

use charloom::disk::replace_file;
use charloom::{Error, Result};
use charloom_scalar::picture::{Node, dot, svg, table};
use charloom_scalar::{
    Activation, Bias, Expression, ExpressionError, Graph, Mlp, Neuron, Random, Style, Value,
};
use serde_json::json;

use crate::output::{Out, note};

/// The most parameters that a table or picture can show.
const MAX_PARAMETERS: usize = 10_000;

/// Compute a formula forward and backward, and print or draw its graph
///
/// Formulas have numbers, names, + - * / ^, parentheses and tanh, exp, ln, relu, sigmoid, sqrt, pow(x, n); parts get
/// names as in 'e = a*b; tanh(e + c)'.
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["formula", "neuron", "mlp"]))]
pub struct Args {
    /// The formula, as in 'tanh(a*b + c)'
    formula: Option<String>,
    /// The value of a name in the formula; once for each
    #[arg(long = "let", value_name = "NAME=NUMBER", value_parser = parse_let, requires = "formula")]
    names: Vec<(String, f64)>,
    /// A tanh neuron of N inputs instead of a formula
    #[arg(long, value_name = "N")]
    neuron: Option<usize>,
    /// A tanh network instead of a formula: inputs, then the size of each layer, as in 3,4,4,1
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    mlp: Option<Vec<usize>>,
    /// The inputs of the neuron or network [default: 1 each]
    #[arg(
        long,
        value_name = "X,...",
        value_delimiter = ',',
        allow_hyphen_values = true,
        conflicts_with = "formula"
    )]
    input: Option<Vec<f64>>,
    /// Seed of the neuron's or network's parameters, as in Python's random.seed
    #[arg(long, value_name = "N", default_value_t = 1337, conflicts_with = "formula")]
    seed: i64,
    /// Write a picture: FILE.svg, or FILE.dot for Graphviz
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn parse_let(text: &str) -> std::result::Result<(String, f64), String> {
    let (name, number) = text.split_once('=').ok_or("write it as NAME=NUMBER")?;
    let number = number.trim().parse().map_err(|_| format!("`{number}` is not a number"))?;
    Ok((name.trim().to_string(), number))
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let extension = args.out.as_ref().map(|path| path.extension().and_then(|e| e.to_str()));
    if !matches!(extension, None | Some(Some("svg" | "dot"))) {
        return Err(Error::usage("-o wants a file that ends in .svg or .dot"));
    }
    let graph = Graph::new();
    let result = build(args, &graph)?;
    result.backward();
    let nodes = graph.nodes_of(result);
    if let Some(path) = &args.out {
        let picture = match extension {
            Some(Some("dot")) => dot(&nodes),
            _ => svg(&nodes).map_err(Error::usage)?,
        };
        replace_file(path, picture.as_bytes()).map_err(|error| Error::io(path, error))?;
        note(format_args!("wrote {}", path.display()));
    }
    if out.json {
        out.object(&json!({ "data": result.data(), "nodes": nodes.iter().map(object).collect::<Vec<_>>() }))
    } else if args.out.is_none() {
        out.line(table(&nodes).trim_end())
    } else {
        Ok(())
    }
}

fn object(node: &Node) -> serde_json::Value {
    let Node { id, label, op, inputs, data, grad } = node;
    json!({ "id": id, "label": label, "op": op, "inputs": inputs, "data": data, "grad": grad })
}

fn build<'g>(args: &Args, graph: &'g Graph) -> Result<Value<'g>> {
    if let Some(formula) = &args.formula {
        let names: Vec<_> = args.names.iter().map(|(name, data)| (name.as_str(), *data)).collect();
        return Expression::parse(formula).and_then(|f| f.eval(graph, &names)).map_err(pointed);
    }
    let mut random = Random::seed(args.seed);
    if let Some(sizes) = &args.mlp {
        let [inputs, layers @ .., 1] = sizes.as_slice() else {
            return Err(Error::usage("--mlp wants at least inputs and a last layer of 1, as in 3,4,1"));
        };
        let layers = [layers, &[1]].concat();
        check_size(*inputs, &layers)?;
        let x = inputs_of(args, graph, *inputs)?;
        let mlp = Mlp::new(graph, &mut random, *inputs, &layers, Style::NOTEBOOK);
        mlp.label();
        return Ok(mlp.forward(&x)[0].label("y"));
    }
    let inputs = args.neuron.unwrap_or(0);
    check_size(inputs, &[1])?;
    let x = inputs_of(args, graph, inputs)?;
    let neuron = Neuron::new(graph, &mut random, inputs, Activation::Tanh, Bias::Uniform);
    neuron.label("");
    Ok(neuron.forward_in_steps(&x).label("y"))
}

fn inputs_of<'g>(args: &Args, graph: &'g Graph, count: usize) -> Result<Vec<Value<'g>>> {
    let data = args.input.clone().unwrap_or_else(|| vec![1.0; count]);
    if data.len() != count {
        return Err(Error::usage(format!(
            "--input has {} numbers, and there are {count} inputs",
            data.len()
        )));
    }
    Ok(data.iter().enumerate().map(|(i, &x)| graph.value(x).label(format!("x{}", i + 1))).collect())
}

fn check_size(inputs: usize, layers: &[usize]) -> Result<()> {
    let mut before = inputs;
    let mut parameters = Some(0_usize);
    for &size in layers {
        let layer = before.checked_add(1).and_then(|n| n.checked_mul(size));
        parameters = parameters.zip(layer).and_then(|(sum, layer)| sum.checked_add(layer));
        before = size;
    }
    match parameters {
        Some(n) if n <= MAX_PARAMETERS => Ok(()),
        _ => Err(Error::usage(format!("more than {MAX_PARAMETERS} parameters cannot be shown; take fewer"))),
    }
}

/// The message, then the formula with a mark below the error's position.
fn pointed(error: ExpressionError) -> Error {
    let message = format!("{error}\n  {}", error.pointer().replace('\n', "\n  "));
    Error::Usage { message }
}
