//! A scene as SVG. Letters are outlines, each written once.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::font;
use super::scene::Role;
use super::scene::{At, Ink, Scene, Shape, UNIT};
use super::theme::Paint;

/// `id` tells the letters of several pictures in one page apart.
pub(super) fn write(scene: &Scene, paint: Paint, id: &str) -> String {
    let (width, height) = scene.size;
    let title = escaped(&scene.title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n",
        width / UNIT,
        height / UNIT,
    );
    letters(scene, id, &mut svg);
    let paper = paint.name(Role::Paper);
    // Writing to a string cannot fail.
    let _ = writeln!(svg, "<path d=\"M0 0h{width}v{height}H0z\" style=\"fill:{paper}\"/>");
    for shape in &scene.shapes {
        write_shape(shape, paint, id, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The outline of each glyph that occurs, in font units.
fn letters(scene: &Scene, id: &str, svg: &mut String) {
    let texts = scene.shapes.iter().filter_map(|shape| match shape {
        Shape::Text { text, .. } => Some(text),
        _ => None,
    });
    let used: BTreeSet<u16> = texts.flat_map(|text| font::glyphs(text).0).map(|(glyph, _)| glyph).collect();
    svg.push_str("<defs>\n");
    for glyph in used {
        let mut path = PathData(String::new());
        font::outline(glyph, &mut path);
        let _ = writeln!(svg, "<path id=\"{id}{glyph}\" d=\"{}\"/>", path.0);
    }
    svg.push_str("</defs>\n");
}

fn write_shape(shape: &Shape, paint: Paint, id: &str, svg: &mut String) {
    let _ = match shape {
        Shape::Rect { at: (x, y), size: (w, h), ink, tip } => {
            let fill = style("fill", *ink, paint);
            let _ = write!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" style=\"{fill}\"");
            match tip.as_str() {
                "" => writeln!(svg, "/>"),
                tip => writeln!(svg, "><title>{}</title></rect>", escaped(tip)),
            }
        }
        Shape::Line { points, width, ink } => {
            let stroke = style("stroke", *ink, paint);
            writeln!(
                svg,
                "<path d=\"{}\" style=\"fill:none;{stroke};stroke-width:{width};stroke-linejoin:round\"/>",
                path(points)
            )
        }
        Shape::Circle { at: (x, y), radius, ink } => {
            writeln!(
                svg,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" style=\"{}\"/>",
                style("fill", *ink, paint)
            )
        }
        Shape::Text { at: (x, y), size, text, upright, ink } => {
            let turn = if *upright { " rotate(-90)" } else { "" };
            let scale = (f64::from(*size) / font::units_per_em() * 1e5).round() / 1e5;
            let fill = style("fill", *ink, paint);
            let _ = write!(
                svg,
                "<g transform=\"translate({x} {y}){turn} scale({scale} -{scale})\" style=\"{fill}\">"
            );
            for (glyph, at) in font::glyphs(text).0 {
                let _ = match at {
                    0 => write!(svg, "<use href=\"#{id}{glyph}\"/>"),
                    at => write!(svg, "<use href=\"#{id}{glyph}\" x=\"{at}\"/>"),
                };
            }
            writeln!(svg, "</g>")
        }
    };
}

fn style(what: &str, ink: Ink, paint: Paint) -> String {
    let color = paint.name(ink.role);
    if ink.alpha >= 1.0 {
        return format!("{what}:{color}");
    }
    format!("{what}:{color};{what}-opacity:{}", (ink.alpha * 1000.0).round() / 1000.0)
}

/// A path through points, each from the one before: shorter than their places.
fn path(points: &[At]) -> String {
    let Some((first, _)) = points.split_first() else { return String::new() };
    let mut data = format!("M{} {}", first.0, first.1);
    for pair in points.windows(2) {
        let _ = write!(data, "l{} {}", pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
    }
    data
}

/// Text between tags or in an attribute. Control characters have no place in XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

struct PathData(String);

impl ttf_parser::OutlineBuilder for PathData {
    fn move_to(&mut self, x: f32, y: f32) {
        let _ = write!(self.0, "M{x} {y}");
    }
    fn line_to(&mut self, x: f32, y: f32) {
        let _ = write!(self.0, "L{x} {y}");
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let _ = write!(self.0, "Q{x1} {y1} {x} {y}");
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let _ = write!(self.0, "C{x1} {y1} {x2} {y2} {x} {y}");
    }
    fn close(&mut self) {
        self.0.push('Z');
    }
}
