//! Pictures of a network's layers: weights, distributions of values and gradients, dead units, updates.

use super::figure::{Cell, Figure, Heat, Lines, Series};
use charloom::inspect::{Record, RecordKind, Snapshot};
use charloom::models;
use charloom::{Checkpoint, Error, Result};

/// The most cells of a picture; with more it takes too long to open.
const MOST_CELLS: usize = 6000;
/// Units per row of the map of dead units.
const UNITS: usize = 25;
/// The most cells across a row of tiles.
const WIDTH: usize = 96;

/// The weights of a linear layer as pictures; `layer` is the number in `layers.N.weight`.
///
/// In the first layer each unit is a tile, with a row for each character of the context and a column for each
/// number of its embedding. In the other layers each unit is a row.
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
            [] => "it is none of layers over a window; 'charloom show RUN' prints what it has".to_owned(),
            known => format!("it has {}; choose one by its number with ``layer``", known.join(", ")),
        };
        return Err(Error::usage(format!("the model has no {name}: {way}")));
    };
    let (units, inputs) = (tensor.shape[0], tensor.shape[1]);
    let context = models::context(&checkpoint.config.model)?.max(1);
    let is_first = layer == 0 && !models::has_no_steps(&checkpoint.config)?;
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
    Ok(Figure::Heat(Heat { title, rows: Vec::new(), gaps, full: None, cells }))
}

/// The distribution of each activation function's outputs, or of the gradients at them, at the last recorded
/// step: a curve for each. A model without activation functions shows its layers.
///
/// # Errors
/// No records of this kind.
pub fn histograms(records: &[Record], kind: RecordKind) -> Result<Figure> {
    let last = records.iter().map(|record| record.step).max();
    let of_kind: Vec<&Record> =
        records.iter().filter(|record| record.kind == kind && Some(record.step) == last).collect();
    let functions: Vec<&Record> = of_kind
        .iter()
        .copied()
        .filter(|record| ["Tanh", "Relu", "Gelu"].contains(&record.op.as_str()))
        .collect();
    let chosen = if functions.is_empty() { of_kind } else { functions };
    let Some(step) = last.filter(|_| !chosen.is_empty()) else { return Err(no_records()) };
    let series = chosen.iter().enumerate().map(|(color, record)| Series {
        name: named(record),
        color,
        faint: false,
        points: density(record),
    });
    let (what, x_label) = match kind {
        RecordKind::Activation => ("Outputs of the layers", "output"),
        RecordKind::Gradient => ("Gradients at the layers' outputs", "gradient"),
        RecordKind::Weight => ("Weights of the layers", "weight"),
    };
    Ok(Figure::Lines(Lines {
        title: format!("{what} after {step} steps"),
        x_label: x_label.to_owned(),
        y_label: "density".to_owned(),
        series: series.collect(),
        ..Lines::default()
    }))
}

/// For each unit of each activation function, the share of examples that are in the function's flat part. A
/// unit with all of them there is dead and has a cross; beside each layer is the number of its dead units.
///
/// # Errors
/// A model without such functions.
pub fn dead(snapshot: &Snapshot) -> Result<Figure> {
    if snapshot.maps.is_empty() {
        return Err(Error::usage("the model has no activation functions, so no unit can be dead"));
    }
    let most = MOST_CELLS / snapshot.maps.len();
    let (mut rows, mut cells) = (Vec::new(), Vec::new());
    for (layer, map) in &snapshot.maps {
        if !rows.is_empty() {
            rows.push(String::new());
            cells.push(Vec::new());
        }
        let dead = map.iter().filter(|&&share| share >= 1.0).count();
        rows.push(format!("{layer}: {dead} of {} dead", map.len()));
        let cell = |&share: &f32| {
            let text = if share >= 1.0 { "\u{d7}" } else { "" };
            Cell { value: share.into(), text: text.to_owned(), note: String::new() }
        };
        cells.extend(map[..map.len().min(most)].chunks(UNITS).map(|units| units.iter().map(cell).collect()));
        rows.resize(cells.len(), String::new());
    }
    let (rows_seen, step) = (snapshot.rows, snapshot.step);
    let title =
        format!("Units in the flat part after {step} steps: share of {rows_seen} examples, \u{d7} for all");
    Ok(Figure::Heat(Heat { title, rows, gaps: [0, 0], full: Some(1.0), cells }))
}

/// The name of a record's curve: its layer, its moments and the share that is saturated.
fn named(record: &Record) -> String {
    let saturated = match record.saturated {
        Some(share) => format!(", {:.1} % saturated", share * 100.0),
        None => String::new(),
    };
    format!("{} {}: mean {:.1e}, std {:.1e}{saturated}", record.layer, record.op, record.mean, record.std)
}

/// The density in each bin, count / (total * width), at the bin's middle.
fn density(record: &Record) -> Vec<(f64, f64)> {
    let histogram = &record.histogram;
    let total: f64 = histogram.counts.iter().map(|&count| count as f64).sum();
    let width = (histogram.max - histogram.min) / histogram.counts.len().max(1) as f64;
    let middle = |i: usize| histogram.min + (i as f64 + 0.5) * width;
    let counts = histogram.counts.iter().enumerate();
    counts.map(|(i, &count)| (middle(i), count as f64 / (total * width))).collect()
}

/// The size of each weight's updates relative to the weight, over a training: log10 of std(update) /
/// std(weight). About -3 is usual; far above, the learning rate is too high.
///
/// # Errors
/// No records of updates: the training ran without diagnostics.
pub fn updates(records: &[Record]) -> Result<Figure> {
    let mut series: Vec<Series> = Vec::new();
    for record in records {
        let Some(ratio) = record.update_ratio else { continue };
        let point = (record.step as f64, ratio);
        match series.iter_mut().find(|series| series.name == record.layer) {
            Some(series) => series.points.push(point),
            None => {
                let color = series.len();
                series.push(Series { name: record.layer.clone(), color, faint: false, points: vec![point] });
            }
        }
    }
    let steps = || series.iter().flat_map(|series| &series.points).map(|point| point.0);
    let ends = [steps().fold(f64::INFINITY, f64::min), steps().fold(f64::NEG_INFINITY, f64::max)];
    if series.is_empty() {
        return Err(no_records());
    }
    let points = ends.map(|step| (step, -3.0)).to_vec();
    series.push(Series { name: "a thousandth".to_owned(), color: 7, faint: true, points });
    Ok(Figure::Lines(Lines {
        title: "Updates in comparison with the weights".to_owned(),
        x_label: "step".to_owned(),
        y_label: "log10 of std(update) / std(weight)".to_owned(),
        series,
        ..Lines::default()
    }))
}

fn no_records() -> Error {
    Error::usage(
        "the run has no diagnostics.jsonl with that; 'charloom train ``diagnostics``' writes one, of a model with layers \
         over a window",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use charloom::inspect::Histogram;

    fn record(step: u64, kind: RecordKind, op: &str) -> Record {
        let json = format!(
            r#"{{"step":{step},"layer":"layers.1","kind":"activation","op":"{op}","mean":0.5,"std":1.0,
                "histogram":{{"min":-1.0,"max":1.0,"counts":[1,3]}}}}"#
        );
        Record { kind, ..serde_json::from_str(&json).unwrap() }
    }

    fn lines(figure: Figure) -> Lines {
        match figure {
            Figure::Lines(lines) => lines,
            other => panic!("no curves: {other:?}"),
        }
    }

    #[test]
    fn a_file_may_hold_any_counts() {
        let mut odd = record(1, RecordKind::Activation, "Tanh");
        odd.histogram = Histogram { min: -1.0, max: 1.0, counts: vec![u64::MAX, u64::MAX] };
        let points = &lines(histograms(&[odd], RecordKind::Activation).unwrap()).series[0].points;
        assert_eq!(points[0].1, 0.5);
    }

    #[test]
    fn a_histogram_is_the_density_after_the_last_step() {
        let records = [
            record(0, RecordKind::Activation, "Tanh"),
            record(9, RecordKind::Activation, "Linear"),
            record(9, RecordKind::Activation, "Tanh"),
            record(9, RecordKind::Gradient, "Tanh"),
        ];
        let drawn = lines(histograms(&records, RecordKind::Activation).unwrap());
        assert_eq!(drawn.series.len(), 1);
        // A quarter and three quarters, over bins of width 1.
        assert_eq!(drawn.series[0].points, [(-0.5, 0.25), (0.5, 0.75)]);
        assert!(drawn.title.ends_with("after 9 steps"));
        assert!(histograms(&records, RecordKind::Weight).is_err());
        let empty =
            Record { histogram: Histogram { min: 0.0, max: 0.0, counts: vec![] }, ..records[0].clone() };
        assert!(lines(histograms(&[empty], RecordKind::Activation).unwrap()).series[0].points.is_empty());
    }

    #[test]
    fn a_dead_unit_has_a_cross_and_a_row_has_its_layers_name() {
        let maps =
            vec![("layers.1".to_owned(), vec![0.0, 1.0, 0.25]), ("layers.3".to_owned(), vec![0.5; 60])];
        let seen = Snapshot { step: 7, rows: 64, loss: 1.0, records: Vec::new(), maps, values: Vec::new() };
        let Figure::Heat(heat) = dead(&seen).unwrap() else { panic!("no table") };
        assert_eq!(heat.rows, ["layers.1: 1 of 3 dead", "", "layers.3: 0 of 60 dead", "", ""]);
        assert_eq!(heat.cells.iter().map(Vec::len).collect::<Vec<_>>(), [3, 0, 25, 25, 10]);
        assert_eq!((heat.cells[0][1].value, heat.largest()), (1.0, 1.0));
        assert!(heat.cells[0][1].text == "\u{d7}" && heat.cells[0][2].text.is_empty());
        let without_dead = Snapshot { maps: seen.maps[1..].to_vec(), ..seen.clone() };
        let Figure::Heat(heat) = dead(&without_dead).unwrap() else { panic!("no table") };
        assert_eq!((heat.cells[0][1].value, heat.largest()), (0.5, 1.0), "half is not the fullest colour");
        assert!(dead(&Snapshot { maps: Vec::new(), ..seen }).is_err());
    }

    #[test]
    fn updates_are_a_curve_for_each_weight() {
        let update = |step, ratio| Record {
            update_ratio: Some(ratio),
            ..record(step, RecordKind::Weight, "layers.1")
        };
        let drawn = lines(updates(&[update(0, -2.0), update(5, -3.5)]).unwrap());
        assert_eq!(drawn.series[0].points, [(0.0, -2.0), (5.0, -3.5)]);
        assert_eq!(drawn.series[1].points, [(0.0, -3.0), (5.0, -3.0)]);
        let refused = updates(&[record(0, RecordKind::Weight, "")]).unwrap_err().to_string();
        assert!(refused.contains("``diagnostics``"), "{refused}");
    }
}
