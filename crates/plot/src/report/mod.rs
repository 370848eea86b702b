//! A page about a run: one HTML file that needs no network and no program but a browser.
//!
//! Every text in it is escaped, and the page forbids any script but its own.

mod gather;
mod page;

use std::path::Path;

use serde_json::Value;

use crate::{Figure, Lines, thinned};
use charloom::{Error, Result};

use gather::Gathered;

/// The most points of a curve in the page; a screen cannot show more.
const MOST_POINTS: usize = 1000;

/// The page's contents, with its figures drawn.
struct Report {
    gathered: Gathered,
    charts: Vec<Chart>,
    /// SVG.
    pictures: Vec<String>,
    /// SVG.
    layers: Vec<String>,
}

/// A split's losses, ready to be shown.
struct LossRow {
    split: &'static str,
    loss: String,
    bits: String,
    perplexity: String,
    examples: usize,
    bigram: String,
    unigram: String,
    uniform: String,
}

/// Curves: a picture, and the numbers from which the page's script redraws it.
struct Chart {
    id: String,
    svg: String,
    json: String,
}

/// A sample and whether it is new.
struct SampleRow {
    text: String,
    is_known: bool,
    novelty: &'static str,
}

/// The page about a run, as HTML; `data` says where its data is now, if it has moved.
///
/// Warnings and findings go through `worded`, which may rename the settings in them (see [`charloom::error`]).
///
/// If the data is not found, the page says so and lacks what needs it: the losses, the data card, and which
/// samples are new.
///
/// # Errors
/// No run folder, or one that is broken.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use charloom::files::RunFolder;
/// use charloom::prelude::*;
/// use charloom::train::{FitOptions, Unwatched, fit};
///
/// # let home = tempfile::tempdir().unwrap();
/// let run = home.path().join("my-run");
/// let toml = "model.hidden = [8]\ntrain = { steps = 20, eval_every = 20 }";
/// let mut config = Config::from_toml(toml, "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let mut folder = RunFolder::create(&run, false)?;
/// folder.write_config(&config)?;
/// fit(&config, &data, &mut folder, FitOptions::default(), &AtomicBool::new(false), &mut Unwatched)?;
/// let page = charloom_plot::report::report(&run, None, str::to_owned)?;
/// assert!(page.contains("<title>my-run - charloom</title>") && page.contains("perplexity"));
/// # Ok::<(), Error>(())
/// ```
pub fn report(run: &Path, data: Option<&Path>, worded: fn(&str) -> String) -> Result<String> {
    let gathered = Gathered::new(run, data, worded)?;
    let mut charts = Vec::new();
    for (i, lines) in gathered.curves.iter().enumerate() {
        let id = format!("figure{i}");
        charts.push(Chart {
            svg: Figure::Lines(lines.clone()).to_svg_of_page(&format!("c{i}-"))?,
            json: json(lines)?,
            id,
        });
    }
    let drawn = |figures: &[Figure], id: &str| -> Result<Vec<String>> {
        figures.iter().enumerate().map(|(i, figure)| figure.to_svg_of_page(&format!("{id}{i}-"))).collect()
    };
    let pictures = drawn(&gathered.pictures, "p")?;
    let layers = drawn(&gathered.layers, "l")?;
    Ok(Report { gathered, charts, pictures, layers }.render())
}

/// Curves as JSON that may stand in a script element: with no `<`, nothing in it ends the element.
fn json(lines: &Lines) -> Result<String> {
    let mut lines = lines.clone();
    for series in &mut lines.series {
        series.points = thinned(&series.points, MOST_POINTS);
    }
    let mut value = serde_json::to_value(lines).map_err(|error| Error::Failed(error.to_string()))?;
    shorten(&mut value);
    Ok(value.to_string().replace('<', "\\u003c"))
}

/// Rounds all numbers to six digits, more than a picture can show.
fn shorten(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(shorten),
        Value::Object(all) => all.values_mut().for_each(shorten),
        Value::Number(number) => {
            let short = number.as_f64().and_then(|x| format!("{x:.5e}").parse::<f64>().ok());
            *value = short.map_or(Value::Null, |x| {
                if x.fract() == 0.0 && x.abs() < 1e15 { Value::from(x as i64) } else { Value::from(x) }
            });
        }
        _ => {}
    }
}
