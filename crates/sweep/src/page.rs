//! A page about a study, one HTML file in the style of a run's report.

use super::figures::figures;
use super::results::{best, importance, shown, sorted};
use super::study::Study;
use charloom::Result;
use charloom_plot::html::Page;

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
    let head =
        ["trial", "state", "validation", "deviation", "steps"].map(str::to_owned).into_iter().chain(names);

    let mut page = Page::new(&study.address().to_string(), "'none'");
    page.markup("<p>").text(summary).markup("</p>\n</header>\n\n");
    if !pictures.is_empty() {
        page.markup("<section>\n<h2>Pictures</h2>\n").figures(&pictures).markup("</section>\n");
    }
    page.markup(
        "<section>\n<h2>Importance</h2>\n<p>The share of the trials' differences that each setting explains by \
         itself.</p>\n<table>\n",
    );
    for row in importance(space, &trials) {
        page.row(row.name, &[share(row.share)]);
    }
    page.markup(
        "</table>\n</section>\n\n<section>\n<h2>Trials</h2>\n<div class=\"scroll\"><table>\n<thead><tr>",
    );
    head.for_each(|cell| {
        page.markup("<th>").text(cell);
    });
    page.markup("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.markup("<tr>");
        for cell in row {
            page.markup("<td>").text(cell);
        }
        page.markup("</tr>\n");
    }
    page.markup("</tbody>\n</table></div>\n</section>\n");
    if !toml.is_empty() {
        page.markup("<section>\n<h2>The best configuration</h2>\n<pre>")
            .text(toml)
            .markup("</pre>\n</section>\n");
    }
    page.markup("<footer><small>charloom ").text(charloom::VERSION).markup("</small></footer>\n");
    Ok(page.end())
}
