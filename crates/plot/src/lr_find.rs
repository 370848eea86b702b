//! The loss over the learning rate.

use charloom::lr_find::{LrFind, two_digits};

use super::figure::{Figure, Lines, Series};

/// The curve of a search for a learning rate, and where its suggestion is.
#[must_use]
pub fn lr_find(found: &LrFind) -> Figure {
    let curve =
        |losses: &[f64]| found.rates.iter().map(|lr| lr.log10()).zip(losses.iter().copied()).collect();
    let series = |name: String, color, faint, points| Series { name, color, faint, points };
    let [low, high] =
        found.smoothed.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], &x| [a.min(x), b.max(x)]);
    let at = found.suggestion.log10();
    Figure::Lines(Lines {
        title: "Loss over the learning rate".to_owned(),
        x_label: "log10 of the learning rate".to_owned(),
        y_label: "loss, nats per character".to_owned(),
        series: vec![
            series("minibatch".to_owned(), 0, true, curve(&found.losses)),
            series("smoothed".to_owned(), 0, false, curve(&found.smoothed)),
            series(
                format!("suggested: {}", two_digits(found.suggestion)),
                1,
                false,
                vec![(at, low), (at, high)],
            ),
        ],
        ..Lines::default()
    })
}
