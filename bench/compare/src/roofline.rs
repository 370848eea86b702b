//! The roofline plot: a step's operations per byte of memory it touches, and its share of the machine's peak.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::machine::Machine;
use crate::measure::Cell;
use crate::report::Report;

/// The height of a label, in pixels.
const SIZE: i32 = 12;

/// The area of a point or a label, in pixels: left, top, right, bottom.
#[derive(Clone, Copy)]
struct Area([i32; 4]);

impl Area {
    fn around((x, y): (i32, i32)) -> Self {
        Self([x - 4, y - 4, x + 4, y + 4])
    }

    fn meets(&self, other: &Self) -> bool {
        let ([l, t, r, b], [left, top, right, bottom]) = (self.0, other.0);
        l < right && left < r && t < bottom && top < b
    }
}

/// Places a point's label on the first side where it covers nothing; returns its upper left corner.
fn place(label: &str, (x, y): (i32, i32), taken: &mut Vec<Area>) -> (i32, i32) {
    let width = label.len() as i32 * 6;
    let (right, left, above, below) = (x + 7, x - 7 - width, y - SIZE - 3, y + 4);
    let sides = [(right, y - 6), (right, above), (right, below), (left, y - 6), (left, above), (left, below)];
    let covered = |(x, y): (i32, i32)| Area([x, y, x + width, y + SIZE]);
    let free = |&at: &(i32, i32)| !taken.iter().any(|other| covered(at).meets(other));
    let at = sides.into_iter().find(free).unwrap_or(sides[0]);
    taken.push(covered(at));
    at
}

/// Draws the steps of charloom and of PyTorch under the roof of one core.
pub fn draw(path: &Path, machine: &Machine, report: &Report) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (900, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let roof = |intensity: f64| (intensity * machine.bandwidth).min(machine.flops) / 1e9;
    let columns = [("charloom", RGBColor(0, 90, 181)), ("torch", RGBColor(220, 50, 32))];
    let points = columns.map(|(name, color)| (name, color, report.points(name)));
    let all = || points.iter().flat_map(|(_, _, points)| points);
    let top = all().fold(machine.flops / 1e9, |top, point| top.max(point.2)) * 1.5;
    let right = all().fold(100.0, |right: f64, point| right.max(point.1)) * 3.0;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((0.5f64..right).log_scale(), (0.5f64..top).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("floating-point operations for each byte that a step has to touch")
        .y_desc("GFLOP/s, one core")
        .draw()?;
    let curve = (0..=200).map(|i| 0.5 * (right / 0.5).powf(f64::from(i) / 200.0)).map(|x| (x, roof(x)));
    chart
        .draw_series(LineSeries::new(curve, BLACK.stroke_width(2)))?
        .label("the machine")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLACK.stroke_width(2)));
    let pixels = |point: &(String, f64, f64)| chart.backend_coord(&(point.1, point.2));
    let mut taken: Vec<Area> = all().map(|point| Area::around(pixels(point))).collect();
    let labels: Vec<_> = points
        .iter()
        .flat_map(|(_, color, points)| points.iter().map(move |point| (color, point)))
        .map(|(color, point)| (point.0.clone(), place(&point.0, pixels(point), &mut taken), *color))
        .collect();
    for (label, at, color) in labels {
        root.draw(&Text::new(label, at, ("sans-serif", SIZE).into_font().color(&color)))?;
    }
    for (name, color, points) in &points {
        let color = *color;
        let marks = points.iter().map(|(_, x, y)| Circle::new((*x, *y), 4, color.filled()));
        chart
            .draw_series(marks)?
            .label(*name)
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

impl Report {
    /// The name, operations per byte and GFLOP/s of each step that a column was timed on.
    fn points(&self, column: &str) -> Vec<(String, f64, f64)> {
        let Some(i) = self.columns.iter().position(|c| c.name == column) else { return Vec::new() };
        let point = |row: &crate::report::Row| match (&row.cells[i], row.flops) {
            (Cell::Measured(t), Some(flops)) => {
                Some((row.name.clone(), flops / row.bytes, flops / t.median / 1e9))
            }
            _ => None,
        };
        self.rows.iter().filter_map(point).collect()
    }
}
