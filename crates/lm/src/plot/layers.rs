//! What is inside a network: its first layer's weights, unit by unit.

use super::figure::{Cell, Figure, Heat};
use crate::config::ModelKind;
use crate::{Checkpoint, Error, Result};

/// More cells than this take a picture too long to open.
const MOST_CELLS: usize = 6000;
/// Pixels that a row of tiles may have in cells.
const WIDTH: usize = 96;

/// The weights of a linear layer as pictures; `layer` is the number in `layers.N.weight`.
///
/// Of the first layer each unit is a tile: a row for each character of the context, a column for each number that
/// stands for it (its embedding). Of the others each row is a unit.
///
/// # Errors
/// No such layer, or a model without layers.
pub fn weights(checkpoint: &Checkpoint, layer: usize) -> Result<Figure> {
    let name = format!("layers.{layer}.weight");
    let found =
        checkpoint.tensor(&name).filter(|tensor| tensor.shape.len() == 2 && !tensor.shape.contains(&0));
    let Some((tensor, data)) = found.and_then(|tensor| Some((tensor, tensor.as_f32()?))) else {
        let is_layer = |name: &&str| name.starts_with("layers.") && name.ends_with(".weight");
        let names = checkpoint.tensors.iter().filter(|tensor| tensor.shape.len() == 2);
        let known: Vec<&str> = names.map(|tensor| tensor.name.as_str()).filter(is_layer).collect();
        let way = match known.as_slice() {
            [] => "the model counts and has no layers".to_owned(),
            known => format!("it has {}; choose one by its number with --layer", known.join(", ")),
        };
        return Err(Error::usage(format!("the model has no {name}: {way}")));
    };
    let (units, inputs) = (tensor.shape[0], tensor.shape[1]);
    let context = checkpoint.config.model.context;
    let is_first = layer == 0 && checkpoint.config.model.kind != ModelKind::Ngram;
    let (high, wide) =
        if is_first && inputs % context == 0 { (context, inputs / context) } else { (1, inputs) };
    let shown = units.min(MOST_CELLS / inputs.min(MOST_CELLS)).max(1);
    let across = if high == 1 { 1 } else { (WIDTH / wide).clamp(1, shown) };
    let weight = |unit: usize, row: usize, column: usize| {
        let value = f64::from(data[unit * inputs + row * wide + column]);
        Cell { value, text: String::new(), note: String::new() }
    };
    let mut cells = Vec::new();
    for tiles in (0..shown).collect::<Vec<_>>().chunks(across) {
        for row in 0..high {
            let of_unit = |&unit: &usize| (0..wide).map(move |column| (unit, column));
            cells.push(
                tiles.iter().flat_map(of_unit).map(|(unit, column)| weight(unit, row, column)).collect(),
            );
        }
    }
    let some = if shown < units { format!("the first {shown} of {units}") } else { format!("{units}") };
    let what = if high == 1 { "rows" } else { "tiles" };
    let title = format!("Weights of {some} units of layers.{layer} ({what} of {inputs} inputs)");
    let gaps = if high == 1 { [0, 0] } else { [high, wide] };
    Ok(Figure::Heat(Heat { title, rows: Vec::new(), gaps, cells }))
}
