//! The roofline: how much arithmetic a step does for each byte it has to touch, and how much of the machine it uses.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::machine::Machine;
use crate::measure::Cell;
use crate::report::Report;

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
    for (name, color, points) in &points {
        let color = *color;
        let marks = points.iter().map(|(_, x, y)| Circle::new((*x, *y), 4, color.filled()));
        chart
            .draw_series(marks)?
            .label(*name)
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
        let labels = points.iter().map(|(label, x, y)| {
            Text::new(label.clone(), (*x * 1.06, *y * 1.04), ("sans-serif", 12).into_font().color(&color))
        });
        chart.draw_series(labels)?;
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
    /// Name, operations a byte and GFLOP/s of each step that a column was timed on.
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
