//! The numbers of a picture: `--json` prints them, and every format is drawn from them.

use serde::Serialize;

/// A picture before it is drawn.
///
/// ```
/// use charloom::files::Metric;
/// use charloom_plot::{Figure, Theme, losses};
///
/// let metric = |step, loss| Metric { step, split: "val".to_owned(), loss, lr: Some(0.1) };
/// let runs = [("my run".to_owned(), vec![metric(0, 3.3), metric(1000, 2.4), metric(2000, 2.2)])];
/// let figure = losses(&runs, None, false);
/// let Figure::Lines(lines) = &figure else { panic!("not curves") };
/// assert_eq!((figure.title(), lines.series[0].points[2]), ("Loss of my run", (2000.0, 2.2)));
/// // The picture, and the numbers behind it.
/// assert!(figure.to_svg(Theme::Light)?.starts_with("<svg"));
/// assert!(serde_json::to_string(&figure).unwrap().contains("[1000.0,2.4]"));
/// println!("{}", figure.to_terminal(60, 16, false));
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Figure {
    /// Curves.
    Lines(Lines),
    /// Texts in the plane.
    Points(Points),
    /// A table of coloured cells.
    Heat(Heat),
}

/// Curves over a common axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lines {
    /// The title.
    pub title: String,
    /// The label of the x axis, with its unit.
    pub x_label: String,
    /// The names shown under x = 0, 1, 2... instead of numbers; empty: numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub x_names: Vec<String>,
    /// The label of the y axis, with its unit.
    pub y_label: String,
    /// The curves, drawn in this order.
    pub series: Vec<Series>,
}

/// A curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// The number of its colour among the series colours; several curves may share one.
    pub color: usize,
    /// Whether it is drawn pale, as a noisy curve behind its smoothed one.
    pub faint: bool,
    /// (x, y); a number that is not finite makes a gap.
    pub points: Vec<(f64, f64)>,
}

/// Texts in the plane, such as characters where their embeddings are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Points {
    /// The title.
    pub title: String,
    /// The label of the x axis.
    pub x_label: String,
    /// The label of the y axis.
    pub y_label: String,
    /// The groups' names; a point has the colour of its group.
    pub groups: Vec<String>,
    /// The texts.
    pub points: Vec<Point>,
}

/// A text at a point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The text.
    pub label: String,
    /// Its x coordinate.
    pub x: f64,
    /// Its y coordinate.
    pub y: f64,
    /// The index of its group.
    pub group: usize,
}

/// A table of cells, coloured by value: from no colour at 0 to the full one at the largest value (or at
/// `full`); values below 0 have a second colour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heat {
    /// The title.
    pub title: String,
    /// The rows' names; empty: no names.
    pub rows: Vec<String>,
    /// The number of rows and of columns between gaps; 0: no gaps.
    pub gaps: [usize; 2],
    /// The value with the full colour; `None`: the largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<f64>,
    /// The cells, row by row; rows may have different lengths.
    pub cells: Vec<Vec<Cell>>,
}

/// A cell of [`Heat`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The value that its colour shows.
    pub value: f64,
    /// The text in it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// A small text below that one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Figure {
    /// The title.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Lines(lines) => &lines.title,
            Self::Points(points) => &points.title,
            Self::Heat(heat) => &heat.title,
        }
    }
}

impl Lines {
    /// The smallest and the largest x and y of all curves, a little wider; `[0, 1]` without points.
    #[must_use]
    pub fn bounds(&self) -> [[f64; 2]; 2] {
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|p| is_finite(p));
        [range(points().map(|p| p.0), 0.0), range(points().map(|p| p.1), 0.04)]
    }
}

impl Points {
    /// As [`Lines::bounds`].
    #[must_use]
    pub fn bounds(&self) -> [[f64; 2]; 2] {
        [range(self.points.iter().map(|p| p.x), 0.06), range(self.points.iter().map(|p| p.y), 0.06)]
    }
}

impl Heat {
    /// The magnitude of the full colour: `full`, else the largest magnitude of a value, else 1.
    #[must_use]
    pub fn largest(&self) -> f64 {
        if let Some(full) = self.full {
            return full;
        }
        let values = self.cells.iter().flatten().map(|cell| cell.value.abs()).filter(|v| v.is_finite());
        let largest = values.fold(0.0, f64::max);
        if largest > 0.0 { largest } else { 1.0 }
    }
}

/// Whether both coordinates can be drawn.
pub(super) fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

fn range(values: impl Iterator<Item = f64>, margin: f64) -> [f64; 2] {
    let values = values.filter(|v| v.is_finite());
    let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], v| [a.min(v), b.max(v)]);
    if low > high {
        return [0.0, 1.0];
    }
    // A constant curve still needs an axis with two ends.
    let span = if high > low { high - low } else { low.abs().max(1.0) * 0.1 };
    let extra = if high > low { margin } else { 1.0 };
    [low - extra * span, high + extra * span]
}

/// Thins points out to about `most` that look the same: the lowest and the highest of each stretch.
pub(crate) fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil((most / 2).max(1));
    let mut kept = Vec::with_capacity(most + 2);
    for part in points.chunks(stretch) {
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (part.iter().min_by(by), part.iter().max_by(by)) else { continue };
        let (first, second) = if low.0 <= high.0 { (low, high) } else { (high, low) };
        kept.push(*first);
        if first != second {
            kept.push(*second);
        }
    }
    kept
}
