//! Draws a figure in a terminal.

use std::fmt::Write;

use super::canvas::Canvas;
use super::draw::tick;
use super::figure::{Heat, Lines, Points, is_finite, thinned};

/// The part of a canvas for points: its cells from `left` and `top` on, and the smallest and largest x and y.
struct Area {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    bounds: [[f64; 2]; 2],
}

impl Area {
    /// The position of a number along its axis, from 0 to 1.
    fn share(&self, axis: usize, value: f64) -> f64 {
        let [low, high] = self.bounds[axis];
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// The cell of a point.
    fn cell(&self, x: f64, y: f64) -> (usize, usize) {
        let at = |share: f64, cells: usize| (share * cells.saturating_sub(1) as f64).round() as usize;
        (self.left + at(self.share(0, x), self.width), self.top + at(1.0 - self.share(1, y), self.height))
    }

    /// The dot of a point.
    fn dot(&self, (x, y): (f64, f64)) -> (usize, usize) {
        let fine = Area {
            left: self.left * 2,
            top: self.top * 4,
            width: self.width * 2,
            height: self.height * 4,
            bounds: self.bounds,
        };
        fine.cell(x, y)
    }
}

/// Draws curves with axes and a legend, in `width` by `height` cells below the title.
///
/// ```
/// use charloom_plot::{Lines, Series, terminal};
/// # let (title, x_label, y_label) = ("t".to_owned(), String::new(), String::new());
/// let series = vec![Series { name: "val".into(), color: 0, faint: false, points: vec![(0.0, 3.3), (1.0, 2.1)] }];
/// let text = terminal::lines(&Lines { title, x_label, y_label, series, ..Lines::default() }, 60, 16, false);
/// assert_eq!(text.lines().count(), 17);
/// ```
pub fn lines(lines: &Lines, width: u16, height: u16, colored: bool) -> String {
    let bounds = lines.bounds();
    let [across, up] = bounds.map(|[low, high]| [low, (low + high) / 2.0, high].map(short));
    let gutter = up.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let [columns, rows] = [width, height].map(usize::from);
    let area = Area {
        left: gutter + 1,
        top: 0,
        width: columns.saturating_sub(gutter + 1),
        height: rows.saturating_sub(2),
        bounds,
    };
    let mut canvas = Canvas::new(width, height);
    draw_axes(&mut canvas, &area, [&across, &up], [&lines.x_label, &lines.y_label]);
    // The legend first, since dots do not overwrite letters.
    let named = lines.series.iter().filter(|series| !series.name.is_empty());
    for (i, series) in named.enumerate().take(area.height) {
        let from = columns.saturating_sub(series.name.chars().count());
        canvas.text(from, i, &series.name, Some(series.color));
    }
    for series in &lines.series {
        let points: Vec<(f64, f64)> = series.points.iter().copied().filter(is_finite).collect();
        let dots: Vec<(usize, usize)> =
            thinned(&points, columns * 4).into_iter().map(|point| area.dot(point)).collect();
        if series.faint || dots.len() == 1 {
            dots.iter().for_each(|&(x, y)| canvas.dot(x, y, series.color));
        } else {
            dots.windows(2).for_each(|ends| canvas.line(ends[0], ends[1], series.color));
        }
    }
    format!("{}\n{}", lines.title, canvas.render(colored))
}

/// Draws both axes with their lowest, middle and highest number, and their labels.
fn draw_axes(canvas: &mut Canvas, area: &Area, numbers: [&[String; 3]; 2], labels: [&str; 2]) {
    let bottom = area.height;
    for y in 0..bottom {
        canvas.text(area.left - 1, y, "│", None);
    }
    canvas.text(area.left - 1, bottom, &format!("└{}", "─".repeat(area.width)), None);
    for (number, row) in numbers[1].iter().zip([bottom.saturating_sub(1), bottom / 2, 0]) {
        canvas.text(area.left - 1 - number.chars().count().min(area.left - 1), row, number, None);
    }
    for (number, share) in numbers[0].iter().zip([0, 1, 2]) {
        let free = area.width.saturating_sub(number.chars().count());
        canvas.text(area.left + free * share / 2, bottom + 1, number, None);
    }
    canvas.text(area.left, 0, labels[1], None);
    let from = area.width.saturating_sub(labels[0].chars().count());
    canvas.text(area.left + from, bottom.saturating_sub(1), labels[0], None);
}

/// A number beside an axis, with about three digits.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => tick(value.round()),
        v if v >= 1.0 => tick((value * 100.0).round() / 100.0),
        _ => tick((value * 1000.0).round() / 1000.0),
    }
}

/// Draws the texts at their points, in a frame; those that would cover another text are listed below.
pub(super) fn points(points: &Points, width: u16, height: u16, colored: bool) -> String {
    let [columns, rows] = [width, height].map(|cells| usize::from(cells).saturating_sub(2));
    let area = Area { left: 1, top: 1, width: columns, height: rows, bounds: points.bounds() };
    let mut canvas = Canvas::new(width, height);
    canvas.text(0, 0, &format!("┌{}┐", "─".repeat(columns)), None);
    for y in 1..=rows {
        canvas.text(0, y, "│", None);
        canvas.text(columns + 1, y, "│", None);
    }
    canvas.text(0, rows + 1, &format!("└{}┘", "─".repeat(columns)), None);
    // The row, the columns and the label of each text so far.
    let mut placed: Vec<(usize, std::ops::Range<usize>, &str)> = Vec::new();
    let mut hidden: Vec<String> = Vec::new();
    for point in points.points.iter().filter(|point| is_finite(&(point.x, point.y))) {
        let (x, y) = area.cell(point.x, point.y);
        let end = (x + point.label.chars().count().max(1)).min(columns + 1);
        let meets =
            |at: &&(usize, std::ops::Range<usize>, &str)| at.0 == y && x < at.1.end && at.1.start < end;
        match placed.iter().find(meets) {
            Some((_, _, other)) => hidden.push(format!("{} beside {other}", point.label)),
            None => {
                let label: String = point.label.chars().take(end - x).collect();
                canvas.text(x, y, &label, Some(point.group));
                placed.push((y, x..end, &point.label));
            }
        }
    }
    let mut text = format!("{}\n{}", points.title, canvas.render(colored));
    let _ = writeln!(text, "across: {}\nup: {}", points.x_label, points.y_label);
    if !hidden.is_empty() {
        let _ = writeln!(text, "no room here for {}; -o FILE.svg or FILE.png has it", hidden.join(", "));
    }
    text
}

/// Draws the cells as shades, each as wide as the widest text.
pub(super) fn heat(heat: &Heat, width: u16, colored: bool) -> String {
    let cells = || heat.cells.iter().flatten();
    let text = |cell: &super::Cell| match cell.text.chars().count() {
        0 => 0,
        n => n + 1,
    };
    let wide = cells().map(text).max().unwrap_or(0).max(2);
    let names = heat.rows.iter().map(|name| name.chars().count() + 1).max().unwrap_or(0);
    let fit = (usize::from(width).saturating_sub(names) / wide).max(1);
    let largest = heat.largest();
    let mut out = format!("{}\n", heat.title);
    for (i, row) in heat.cells.iter().enumerate() {
        if heat.gaps[0] > 0 && i > 0 && i % heat.gaps[0] == 0 {
            out.push('\n');
        }
        let _ = write!(out, "{:>1$}", heat.rows.get(i).map_or("", String::as_str), names.saturating_sub(1));
        out.push_str(if names > 0 { " " } else { "" });
        for cell in row.iter().take(fit) {
            let share = if cell.value.is_finite() { cell.value / largest } else { 0.0 };
            shade(&cell.text, share, wide, colored, &mut out);
        }
        out.push('\n');
    }
    let most = heat.cells.iter().map(Vec::len).max().unwrap_or(0);
    if most > fit {
        let _ = writeln!(out, "({fit} of {most} columns fit here; -o FILE.svg or FILE.png shows them all)");
    }
    out
}

/// Draws a cell: on a background between black and blue (red below 0), or without colours followed by a block
/// of that shade.
fn shade(text: &str, share: f64, wide: usize, colored: bool, out: &mut String) {
    if colored {
        let full = |to: f64| (20.0 + share.abs() * to).round() as u8;
        let [r, g, b] = if share < 0.0 { [200.0, 60.0, 0.0] } else { [20.0, 90.0, 210.0] }.map(full);
        let _ = write!(out, "\x1b[48;2;{r};{g};{b}m\x1b[97m{text:<wide$}\x1b[0m");
        return;
    }
    let blocks = [' ', '░', '▒', '▓', '█'];
    let block = blocks[(share.abs() * 4.0).round().clamp(0.0, 4.0) as usize];
    if text.is_empty() {
        (0..wide).for_each(|_| out.push(block));
    } else {
        let _ = write!(out, "{text}{block}{:1$}", "", wide - 1 - text.chars().count());
    }
}
