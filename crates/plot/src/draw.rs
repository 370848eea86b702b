//! Draws a figure as a scene.

use plotters::chart::ChartBuilder;
use plotters::prelude::IntoDrawingArea;
use plotters::style::{Color, IntoFont, TextStyle};

use super::figure::{Figure, Heat, Lines, Points, is_finite, thinned};
use super::scene::{At, Ink, Role, Scene, SceneBackend, Shape, UNIT};
use charloom::{Error, Result};

/// The size of a chart in pixels.
const WIDTH: i32 = 760;
const HEIGHT: i32 = 440;
/// The height of a title without a legend, in pixels.
const HEAD: i32 = 34;
/// The most points of a curve; more would not look different.
const MOST_POINTS: usize = 2000;
const TITLE: i32 = 15;
const SMALL: i32 = 11;
/// A constant, since plotters borrows the colour.
const INK: plotters::style::RGBColor = Role::Ink.color();

/// Draws a figure.
pub(super) fn draw(figure: &Figure) -> Result<Scene> {
    match figure {
        Figure::Lines(lines) => draw_lines(lines),
        Figure::Points(points) => draw_points(points),
        Figure::Heat(heat) => Ok(draw_heat(heat)),
    }
}

fn draw_lines(lines: &Lines) -> Result<Scene> {
    let mut scene = Scene::new(&lines.title, WIDTH * UNIT, HEIGHT * UNIT);
    let names = lines.series.iter().filter(|series| !series.faint || lines.series.len() == 1);
    let legend: Vec<(&str, usize)> = names.map(|series| (series.name.as_str(), series.color)).collect();
    let head = write_head(&mut scene, &legend);
    let names = names_that_fit(&lines.x_names);
    let mut x_label = lines.x_label.clone();
    if names.len() < lines.x_names.len() {
        x_label += ", by its number in the order given, from 0";
    }
    chart(&mut scene, head, lines.bounds(), [&x_label, &lines.y_label], names, |scene, place| {
        for series in &lines.series {
            let width = if series.faint { UNIT } else { 2 * UNIT };
            let alpha = if series.faint { 0.35 } else { 1.0 };
            let ink = Ink::new(Role::series(series.color), alpha);
            for run in series.points.split(|point| !is_finite(point)).filter(|run| !run.is_empty()) {
                let points: Vec<At> = thinned(run, MOST_POINTS).into_iter().map(place).collect();
                // A single point is a circle, since a line needs two.
                if let [only] = points[..] {
                    scene.shapes.push(Shape::Circle { at: only, radius: 3 * UNIT, ink });
                } else {
                    scene.shapes.push(Shape::Line { points, width, ink });
                }
            }
        }
    })?;
    Ok(scene)
}

fn draw_points(points: &Points) -> Result<Scene> {
    let mut scene = Scene::new(&points.title, WIDTH * UNIT, 560 * UNIT);
    let legend: Vec<(&str, usize)> =
        points.groups.iter().enumerate().map(|(group, name)| (name.as_str(), group)).collect();
    let head = write_head(&mut scene, &legend);
    chart(&mut scene, head, points.bounds(), [&points.x_label, &points.y_label], &[], |scene, place| {
        for point in points.points.iter().filter(|p| p.x.is_finite() && p.y.is_finite()) {
            let at = place((point.x, point.y));
            let role = Role::series(point.group);
            scene.shapes.push(Shape::Circle { at, radius: 11 * UNIT, ink: Ink::new(role, 0.16) });
            scene.text(&point.label, at, 15 * UNIT, 0.5, Ink::new(role, 1.0));
        }
    })?;
    Ok(scene)
}

/// Writes the title and the legend below it; returns their height in pixels.
fn write_head(scene: &mut Scene, legend: &[(&str, usize)]) -> i32 {
    let left = 14 * UNIT;
    let title = scene.title.clone();
    scene.text(&title, (left, 18 * UNIT), TITLE * UNIT, 0.0, Ink::new(Role::Ink, 1.0));
    if legend.is_empty() {
        return HEAD;
    }
    let (mut x, mut y) = (left, 40);
    for (name, color) in legend {
        let wide = 16 * UNIT + super::font::width(name, f64::from(SMALL * UNIT)) as i32;
        if x > left && x + wide > scene.size.0 - left {
            (x, y) = (left, y + 18);
        }
        let ink = Ink::new(Role::series(*color), 1.0);
        let at = (x, (y - 5) * UNIT);
        scene.shapes.push(Shape::Rect { at, size: (10 * UNIT, 10 * UNIT), ink, tip: String::new() });
        scene.text(name, (x + 15 * UNIT, y * UNIT), SMALL * UNIT, 0.0, Ink::new(Role::Ink, 1.0));
        x += wide + 16 * UNIT;
    }
    y + 16
}

/// The names of an axis if there is room for all of them, else none.
fn names_that_fit(names: &[String]) -> &[String] {
    let wide: f64 = names.iter().map(|name| super::font::width(name, f64::from(SMALL)) + 8.0).sum();
    if wide < f64::from(WIDTH - 110) { names } else { &[] }
}

/// Draws axes and grid with plotters, with `names` under the whole numbers of x if there are any; then calls
/// `fill` with a function from a point of the chart to its place in the scene.
fn chart(
    scene: &mut Scene,
    head: i32,
    [x, y]: [[f64; 2]; 2],
    [x_label, y_label]: [&String; 2],
    names: &[String],
    fill: impl FnOnce(&mut Scene, &dyn Fn((f64, f64)) -> At),
) -> Result<()> {
    let failed = |error| Error::Failed(format!("the picture cannot be drawn: {error}"));
    let style = |size: i32| TextStyle::from(("sans-serif", size * UNIT).into_font()).color(&INK);
    let place = {
        let area = SceneBackend(scene).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_top(head * UNIT)
            .margin_right(18 * UNIT)
            .margin_bottom(10 * UNIT)
            .margin_left(10 * UNIT)
            .x_label_area_size(42 * UNIT)
            .y_label_area_size(62 * UNIT)
            .build_cartesian_2d(x[0]..x[1], y[0]..y[1])
            .map_err(|error| failed(error.to_string()))?;
        let number = |bounds| move |v: &f64| tick_within(*v, bounds);
        let name = |v: &f64| match names.get(v.round() as usize) {
            Some(name) if (v - v.round()).abs() < 1e-6 => name.clone(),
            Some(_) => String::new(),
            None => tick_within(*v, x),
        };
        chart
            .configure_mesh()
            .x_labels(if names.is_empty() { 8 } else { names.len() })
            .y_labels(7)
            .max_light_lines(1)
            .light_line_style(Role::Paper.color().mix(0.0))
            .bold_line_style(Role::Grid.color().stroke_width(UNIT as u32))
            .axis_style(Role::Grid.color().stroke_width(UNIT as u32))
            .set_all_tick_mark_size(4 * UNIT)
            .label_style(style(SMALL))
            .axis_desc_style(style(12))
            .x_label_formatter(&name)
            .y_label_formatter(&number(y))
            .x_desc(x_label)
            .y_desc(y_label)
            .draw()
            .map_err(|error| failed(error.to_string()))?;
        chart.plotting_area().get_pixel_range()
    };
    let along = |v: f64, [low, high]: [f64; 2], from: i32, to: i32| {
        from + ((v - low) / (high - low) * f64::from(to - from)).round() as i32
    };
    let (across, up) = place;
    fill(scene, &|point| (along(point.0, x, across.start, across.end), along(point.1, y, up.end, up.start)));
    Ok(())
}

/// The label of a tick on an axis with these bounds. Ticks are sums of steps, so 0 may have a rounding error.
fn tick_within(value: f64, [low, high]: [f64; 2]) -> String {
    tick(if value.abs() < 1e-9 * (high - low) { 0.0 } else { value })
}

/// The shortest label of a number on an axis.
pub(super) fn tick(value: f64) -> String {
    let shown = match value.abs() {
        0.0 => "0".to_owned(),
        v if v >= 1e6 => format!("{}M", round(value / 1e6)),
        v if v >= 1e4 => format!("{}k", round(value / 1e3)),
        v if v < 1e-4 => format!("{value:.1e}"),
        _ => round(value),
    };
    if shown == "-0" { "0".to_owned() } else { shown }
}

fn round(value: f64) -> String {
    let text = format!("{value:.5}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn draw_heat(heat: &Heat) -> Scene {
    let columns = heat.cells.iter().map(Vec::len).max().unwrap_or(0) as i32;
    let has_notes = heat.cells.iter().flatten().any(|cell| !cell.note.is_empty());
    let has_text = heat.cells.iter().flatten().any(|cell| !cell.text.is_empty());
    let (wide, high) = match (has_text, has_notes) {
        (true, true) => (34, 32),
        (true, false) => (24, 24),
        (false, _) => (8, 8),
    };
    let names = heat.rows.iter().map(|name| super::font::width(name, f64::from(12 * UNIT)) as i32).max();
    let left = 14 * UNIT + names.map_or(0, |wide| wide + 10 * UNIT);
    let gap = |i: usize, every: usize| i.checked_div(every).unwrap_or(0) as i32 * 5;
    let place = |row: usize, column: usize| {
        let x = left + (column as i32 * wide + gap(column, heat.gaps[1])) * UNIT;
        (x, (HEAD + row as i32 * high + gap(row, heat.gaps[0])) * UNIT)
    };
    let end = place(heat.cells.len(), columns as usize);
    let title = super::font::width(&heat.title, f64::from(TITLE * UNIT)) as i32 + 28 * UNIT;
    let mut scene = Scene::new(&heat.title, (end.0 + 14 * UNIT).max(title), end.1 + 14 * UNIT);
    write_head(&mut scene, &[]);
    let largest = heat.largest();
    for (i, row) in heat.cells.iter().enumerate() {
        if let Some(name) = heat.rows.get(i) {
            let middle = place(i, 0).1 + high * UNIT / 2;
            scene.text(name, (left - 10 * UNIT, middle), 12 * UNIT, 1.0, Ink::new(Role::Ink, 1.0));
        }
        for (j, cell) in row.iter().enumerate() {
            let at = place(i, j);
            let share = if cell.value.is_finite() { cell.value.abs() / largest } else { 0.0 };
            let ink = Ink::new(Role::series(usize::from(cell.value < 0.0)), 0.02 + 0.83 * share);
            let tip = match (cell.text.as_str(), cell.note.as_str()) {
                ("", "") => String::new(),
                (text, "") => text.to_owned(),
                (text, note) => format!("{text}: {note}"),
            };
            // Half a pixel between the cells stays free.
            let size = ((wide * UNIT) - UNIT / 2, (high * UNIT) - UNIT / 2);
            scene.shapes.push(Shape::Rect { at, size, ink, tip });
            let ink = Ink::new(if share > 0.75 { Role::Paper } else { Role::Ink }, 1.0);
            let middle = at.0 + wide * UNIT / 2;
            if !cell.text.is_empty() {
                let y = at.1 + if has_notes { 11 } else { high / 2 } * UNIT;
                scene.text(&cell.text, (middle, y), 12 * UNIT, 0.5, ink);
            }
            if !cell.note.is_empty() {
                scene.text(&cell.note, (middle, at.1 + 23 * UNIT), 8 * UNIT, 0.5, Ink::new(ink.role, 0.85));
            }
        }
    }
    scene
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_as_short_as_it_can_be() {
        for (value, text) in
            [(-5.6e-17, "0"), (0.1 + 0.2, "0.3"), (-0.25, "-0.25"), (20_000.0, "20k"), (2.5e6, "2.5M")]
        {
            assert_eq!(tick_within(value, [-0.5, 0.7]), text);
        }
        assert_eq!(tick_within(-5.6e-17, [-1e-16, 1e-16]), "-5.6e-17");
    }
}
