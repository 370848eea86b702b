//! A page about a study, complete by itself, in the look of a run's report.

use askama::Template;

use super::figures::figures;
use super::results::{best, importance, shown, sorted};
use super::study::Study;
use charloom::{Error, Result};
use charloom_plot::Theme;
use charloom_plot::report::STYLE;

#[derive(Template)]
#[template(path = "study.html")]
struct Page {
    name: String,
    summary: String,
    /// SVG.
    pictures: Vec<String>,
    importance: Vec<(String, String)>,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    toml: String,
    version: &'static str,
    light: String,
    dark: String,
    style: &'static str,
}

/// The page about a study, as HTML: its trials, what mattered, the best configuration, pictures.
///
/// # Errors
/// The database cannot be read.
pub fn page(study: &mut Study) -> Result<String> {
    let trials = study.trials()?;
    let best = best(&trials);
    let mut summary = format!("{} trials by {}", trials.len(), study.spec().sampler);
    if let Some((trial, loss)) = best.and_then(|trial| Some((trial, trial.loss?))) {
        summary +=
            &format!("; the lowest validation loss is {loss:.4} nats per character, trial {}", trial.number);
    }
    if let Some((number, Some(test))) = study.chosen()? {
        summary += &format!("; trial {number} was chosen, and its test loss is {test:.4}");
    }
    let toml = match best {
        Some(trial) => study.config(&trial.settings)?.to_toml(),
        None => String::new(),
    };
    let space = study.space();
    let mut pictures = Vec::new();
    for (i, (_, figure)) in figures(space, &trials).iter().enumerate() {
        pictures.push(figure.to_svg_of_page(&format!("s{i}-"))?);
    }
    let names = space.settings.iter().map(|setting| setting.name.clone());
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    let rows = sorted(&trials).into_iter().map(|trial| {
        let mut row = vec![
            trial.number.to_string(),
            trial.state.to_string(),
            number(trial.loss),
            number(trial.deviation),
        ];
        row.push(trial.steps.to_string());
        row.extend(space.settings.iter().map(|setting| shown(trial.settings.get(&setting.name))));
        row
    });
    let share = |share: Option<f64>| share.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share));
    let page = Page {
        name: study.address().to_string(),
        summary,
        pictures,
        importance: importance(space, &trials).into_iter().map(|row| (row.name, share(row.share))).collect(),
        head: ["trial", "state", "validation", "deviation", "steps"]
            .map(str::to_owned)
            .into_iter()
            .chain(names)
            .collect(),
        rows: rows.collect(),
        toml,
        version: env!("CARGO_PKG_VERSION"),
        light: Theme::Light.css(),
        dark: Theme::Dark.css(),
        style: STYLE,
    };
    page.render().map_err(|error| Error::Failed(format!("the page cannot be made: {error}")))
}
