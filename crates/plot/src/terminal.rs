//! A figure in a terminal.

use std::fmt::Write;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Block, Borders, Chart, Dataset, GraphType, LegendPosition, Widget};

use super::draw::tick;
use super::figure::{Heat, Lines, Points, is_finite, thinned};

/// The series' colours; the terminal's own, so that they fit its background.
const COLORS: [Color; 6] =
    [Color::Blue, Color::Yellow, Color::Green, Color::Magenta, Color::Red, Color::Cyan];

fn color(i: usize) -> Color {
    COLORS[i % COLORS.len()]
}

/// The curves as a widget of ratatui: for a view of its own.
///
/// ```
/// use charloom_plot::{Lines, Series, terminal};
/// # let (title, x_label, y_label) = ("t".to_owned(), String::new(), String::new());
/// let series = vec![Series { name: "val".into(), color: 0, faint: false, points: vec![(0.0, 3.3), (1.0, 2.1)] }];
/// let text = terminal::lines(&Lines { title, x_label, y_label, series, ..Lines::default() }, 60, 16, false);
/// assert_eq!(text.lines().count(), 17);
/// ```
pub fn lines(lines: &Lines, width: u16, height: u16, colored: bool) -> String {
    let [x, y] = lines.bounds();
    let drawn: Vec<Vec<(f64, f64)>> = lines
        .series
        .iter()
        .map(|series| {
            let points: Vec<(f64, f64)> = series.points.iter().copied().filter(is_finite).collect();
            thinned(&points, usize::from(width) * 4)
        })
        .collect();
    let datasets = lines.series.iter().zip(&drawn).map(|(series, points)| {
        Dataset::default()
            .name(series.name.as_str())
            .marker(if series.faint { Marker::Dot } else { Marker::Braille })
            .graph_type(if series.faint { GraphType::Scatter } else { GraphType::Line })
            .style(Style::new().fg(color(series.color)))
            .data(points)
    });
    let axis = |label: &str, [low, high]: [f64; 2]| {
        let labels = [low, (low + high) / 2.0, high].map(short);
        Axis::default().title(label.to_owned()).bounds([low, high]).labels(labels)
    };
    let chart = Chart::new(datasets.collect())
        .x_axis(axis(&lines.x_label, x))
        .y_axis(axis(&lines.y_label, y))
        .legend_position(Some(LegendPosition::TopRight))
        .hidden_legend_constraints((
            ratatui::layout::Constraint::Percentage(100),
            ratatui::layout::Constraint::Percentage(100),
        ));
    format!("{}\n{}", lines.title, render(chart, width, height, colored))
}

/// Three digits are enough beside an axis.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => tick(value.round()),
        v if v >= 1.0 => tick((value * 100.0).round() / 100.0),
        _ => tick((value * 1000.0).round() / 1000.0),
    }
}

/// The texts at their places; those that another text left no room for are named below.
pub(super) fn points(points: &Points, width: u16, height: u16, colored: bool) -> String {
    let [[left, right], [bottom, top]] = points.bounds();
    let inside = Rect::new(1, 1, width.saturating_sub(2), height.saturating_sub(2));
    let place = |share: f64, cells: u16| (share * f64::from(cells.saturating_sub(1))).round() as u16;
    let mut placed: Vec<(Rect, &str, Style)> = Vec::new();
    let mut hidden: Vec<String> = Vec::new();
    for point in points.points.iter().filter(|point| is_finite(&(point.x, point.y))) {
        let x = inside.x + place((point.x - left) / (right - left), inside.width);
        let y = inside.y + place((top - point.y) / (top - bottom), inside.height);
        let at = Rect::new(x, y, point.label.chars().count().max(1) as u16, 1).intersection(inside);
        match placed.iter().find(|(other, _, _)| other.intersects(at)) {
            Some((_, other, _)) => hidden.push(format!("{} beside {other}", point.label)),
            None => placed.push((at, &point.label, Style::new().fg(color(point.group)))),
        }
    }
    let mut text = format!("{}\n{}", points.title, render(Texts(&placed), width, height, colored));
    let _ = writeln!(text, "across: {}\nup: {}", points.x_label, points.y_label);
    if !hidden.is_empty() {
        let _ = writeln!(text, "no room here for {}; -o FILE.svg or FILE.png has it", hidden.join(", "));
    }
    text
}

/// Texts at their places in a frame.
struct Texts<'a>(&'a [(Rect, &'a str, Style)]);

impl Widget for Texts<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        Block::new().borders(Borders::ALL).render(area, buffer);
        for (at, text, style) in self.0 {
            buffer.set_stringn(at.x, at.y, text, at.width.into(), *style);
        }
    }
}

/// The cells as shades, each as wide as the widest text.
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

/// A cell: on a background of a colour between black and blue (red below 0), or after a block of that much ink.
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

fn render(widget: impl Widget, width: u16, height: u16, colored: bool) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    widget.render(area, &mut buffer);
    let mut out = String::new();
    for y in 0..height {
        let mut line = String::new();
        for x in 0..width {
            let cell = &buffer[(x, y)];
            let code = COLORS.iter().position(|color| *color == cell.fg).map(|i| [34, 33, 32, 35, 31, 36][i]);
            let _ = match code.filter(|_| colored) {
                Some(code) => write!(line, "\x1b[{code}m{}\x1b[0m", cell.symbol()),
                None => write!(line, "{}", cell.symbol()),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
