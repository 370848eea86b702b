//! Loss and learning rate over a training.

use super::figure::{Figure, Lines, Series};
use charloom::files::Metric;

/// The loss curves of runs: minibatches (pale), their moving average, and whole splits.
///
/// `smooth` is the number of lines of the metrics in an average; `None`: a fiftieth of them. With `log10` the
/// losses' logarithms are shown, as is usual for a training that starts far too high.
#[must_use]
pub fn losses(runs: &[(String, Vec<Metric>)], smooth: Option<usize>, log10: bool) -> Figure {
    let shown = |loss: f64| if log10 { loss.log10() } else { loss };
    let mut series = Vec::new();
    let mut color = 0;
    for (name, metrics) in runs {
        let named = |what: &str| if runs.len() > 1 { format!("{name}: {what}") } else { what.to_owned() };
        let curve = |split: &str| -> Vec<(f64, f64)> {
            let of = metrics.iter().filter(|metric| metric.split == split);
            of.map(|metric| (metric.step as f64, shown(metric.loss))).collect()
        };
        let batch = curve("batch");
        let window = smooth.unwrap_or(batch.len() / 50).max(1);
        let smoothed = averages(&batch, window);
        // With several runs, each has one colour and no curve of single minibatches.
        let mut add = |name: String, points: Vec<(f64, f64)>, faint: bool, color: usize| {
            if !points.is_empty() {
                series.push(Series { name, color, faint, points });
            }
        };
        if runs.len() == 1 {
            add("minibatch".to_owned(), batch, true, 2);
            if window > 1 {
                add(format!("minibatch, mean of {window}"), smoothed, false, 2);
            }
            add("train".to_owned(), curve("train"), false, 0);
            add("validation".to_owned(), curve("val"), false, 1);
        } else {
            add(named("minibatch"), smoothed, true, color);
            let val = curve("val");
            let (what, points) = if val.is_empty() { ("train", curve("train")) } else { ("validation", val) };
            add(named(what), points, false, color);
            color += 1;
        }
    }
    let y_label = if log10 { "log10 of the loss in nats per character" } else { "loss, nats per character" };
    let title = match runs {
        [(name, _)] => format!("Loss of {name}"),
        _ => "Loss".to_owned(),
    };
    Figure::Lines(Lines {
        title,
        x_label: "step".to_owned(),
        y_label: y_label.to_owned(),
        series,
        ..Lines::default()
    })
}

/// The learning rate of each logged step.
#[must_use]
pub fn learning_rates(runs: &[(String, Vec<Metric>)]) -> Figure {
    let series = runs.iter().enumerate().map(|(color, (name, metrics))| {
        let points = metrics.iter().filter_map(|m| Some((m.step as f64, m.lr?))).collect();
        Series { name: name.clone(), color, faint: false, points }
    });
    Figure::Lines(Lines {
        title: "Learning rate".to_owned(),
        x_label: "step".to_owned(),
        y_label: "learning rate".to_owned(),
        series: series.collect(),
        ..Lines::default()
    })
}

/// The moving average: at each point, the mean of it and the `window` - 1 points before.
fn averages(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let mut averages = Vec::with_capacity(points.len());
    for (i, last) in points.iter().enumerate() {
        let part = &points[(i + 1).saturating_sub(window)..=i];
        averages.push((last.0, part.iter().map(|p| p.1).sum::<f64>() / part.len() as f64));
    }
    averages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_is_of_what_came_last() {
        let points = [(0.0, 2.0), (1.0, 4.0), (2.0, 9.0)];
        assert_eq!(averages(&points, 2), [(0.0, 2.0), (1.0, 3.0), (2.0, 6.5)]);
    }

    #[test]
    fn curves_are_those_of_the_metrics() {
        let metric = |step, split: &str, loss| Metric { step, split: split.to_owned(), loss, lr: Some(0.5) };
        let metrics = vec![metric(0, "batch", 10.0), metric(0, "val", 100.0), metric(1, "batch", 1.0)];
        let runs = [("a".to_owned(), metrics)];
        let Figure::Lines(lines) = losses(&runs, None, true) else { panic!("not curves") };
        assert_eq!(lines.series[0].points, [(0.0, 1.0), (1.0, 0.0)]);
        assert_eq!(lines.series[1].name, "validation");
        assert_eq!(lines.series[1].points, [(0.0, 2.0)]);
        let Figure::Lines(lines) = learning_rates(&runs) else { panic!("not curves") };
        assert_eq!(lines.series[0].points.len(), 3);
    }
}
