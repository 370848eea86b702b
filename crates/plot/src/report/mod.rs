//! One page about a run, complete by itself: it needs no network, and no program but a browser.
//!
//! Every string goes through the template's escaping, and the page forbids any script but its own.

mod gather;

use std::path::Path;

use askama::Template;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Figure, Lines, Theme, thinned};
use charloom::{Error, Result};

use gather::Gathered;

const SCRIPT: &str = include_str!("../../templates/report.js");
/// The style sheet of the pages, beside the colours of [`Theme::css`].
pub const STYLE: &str = include_str!("../../templates/report.css");
/// Points of a curve in the page; what a screen can show.
const MOST_POINTS: usize = 1000;

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    name: String,
    summary: String,
    warnings: Vec<String>,
    losses: Vec<LossRow>,
    charts: Vec<Chart>,
    is_text: bool,
    novel: String,
    samples: Vec<Written>,
    /// SVG.
    pictures: Vec<String>,
    findings: Option<Vec<String>>,
    /// A title, the head and the rows.
    tables: Vec<(&'static str, Vec<Vec<String>>)>,
    /// SVG.
    layers: Vec<String>,
    card: Vec<(String, String)>,
    configuration: Vec<(String, Vec<(String, String)>)>,
    toml: String,
    version: &'static str,
    light: String,
    dark: String,
    style: &'static str,
    script: &'static str,
    script_hash: String,
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

/// Curves: a picture, and the numbers that the page's script draws it from again.
struct Chart {
    id: String,
    svg: String,
    json: String,
}

/// A sample and whether it is new.
struct Written {
    text: String,
    is_known: bool,
    novelty: &'static str,
}

/// The page about a run, as HTML; `data` says where its data is now, if it has moved.
///
/// Warnings and findings go through `worded`, which may rename the settings in them (see [`charloom::error`]).
///
/// Where the data is not found the page says so, and lacks what needs it: losses beside the baselines, the data card,
/// and which samples are new.
///
/// # Errors
/// No run folder, or one that is broken.
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
    let page = Page {
        name: gathered.name,
        summary: gathered.summary,
        warnings: gathered.warnings,
        losses: gathered.losses,
        charts,
        is_text: gathered.is_text,
        novel: gathered.novel,
        samples: gathered.samples,
        pictures: drawn(&gathered.pictures, "p")?,
        layers: drawn(&gathered.layers, "l")?,
        tables: gathered.tables,
        findings: gathered.findings,
        card: gathered.card,
        configuration: gathered.configuration,
        toml: gathered.toml,
        version: env!("CARGO_PKG_VERSION"),
        light: Theme::Light.css(),
        dark: Theme::Dark.css(),
        style: STYLE,
        script: SCRIPT,
        script_hash: format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(SCRIPT))),
    };
    page.render().map_err(|error| Error::Failed(format!("the page cannot be made: {error}")))
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

/// Six digits are more than can be seen.
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
