//! Writes a scene as SVG. Letters are outlines, each written once; those that the font lacks are left to the
//! viewer's fonts.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::font::{self, Letter};
use super::scene::Role;
use super::scene::{At, Ink, Scene, Shape, UNIT};
use super::theme::Paint;

/// `id` begins the ids of the letters, so that those of several pictures in a page differ.
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
    let letters = texts.flat_map(|text| font::glyphs(text).0);
    let of_font = |(letter, _)| if let Letter::Glyph(glyph) = letter { Some(glyph) } else { None };
    let used: BTreeSet<u16> = letters.filter_map(of_font).collect();
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
            let letters = font::glyphs(text).0;
            for (letter, at) in &letters {
                let Letter::Glyph(glyph) = letter else { continue };
                let _ = match at {
                    0 => write!(svg, "<use href=\"#{id}{glyph}\"/>"),
                    at => write!(svg, "<use href=\"#{id}{glyph}\" x=\"{at}\"/>"),
                };
            }
            for run in
                letters.chunk_by(|a, b| is_missing(a) == is_missing(b)).filter(|run| is_missing(&run[0]))
            {
                let text: String = run
                    .iter()
                    .filter_map(|(s, _)| if let Letter::Missing(c) = s { Some(*c) } else { None })
                    .collect();
                let (at, em) = (run[0].1, font::units_per_em());
                let _ = write!(
                    svg,
                    "<text transform=\"scale(1 -1)\" x=\"{at}\" font-size=\"{em}\" font-family=\"sans-serif\">{}</text>",
                    escaped(&text)
                );
            }
            writeln!(svg, "</g>")
        }
    };
}

/// Whether the font has no glyph for it. Such letters in a row are written as one text, since marks and joiners
/// belong to the letters around them.
fn is_missing((letter, _): &(Letter, u32)) -> bool {
    matches!(letter, Letter::Missing(_))
}

fn style(what: &str, ink: Ink, paint: Paint) -> String {
    let color = paint.name(ink.role);
    if ink.alpha >= 1.0 {
        return format!("{what}:{color}");
    }
    format!("{what}:{color};{what}-opacity:{}", (ink.alpha * 1000.0).round() / 1000.0)
}

/// A path through points, each relative to the one before, which is shorter than absolute coordinates.
fn path(points: &[At]) -> String {
    let Some((first, _)) = points.split_first() else { return String::new() };
    let mut data = format!("M{} {}", first.0, first.1);
    for pair in points.windows(2) {
        let _ = write!(data, "l{} {}", pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
    }
    data
}

/// Escapes text between tags or in an attribute; control characters, which XML forbids, are replaced.
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

#[cfg(test)]
mod tests {
    use crate::{Figure, Point, Points, Theme};

    fn figure(labels: &[&str]) -> Figure {
        let point =
            |(i, label): (usize, &&str)| Point { label: (*label).to_owned(), x: i as f64, y: 0.0, group: 0 };
        let points = labels.iter().enumerate().map(point).collect();
        let [title, x_label, y_label] = ["t", "x", "y"].map(str::to_owned);
        Figure::Points(Points { title, x_label, y_label, groups: vec!["g".to_owned()], points })
    }

    #[test]
    fn letters_that_the_font_lacks_are_left_to_other_fonts() {
        // Each script as one text, so that its marks find their letters.
        let scripts = ["李", "か", "한", "नेहा", "สมชาย"];
        let svg = figure(&scripts).to_svg(Theme::Light).unwrap();
        let page = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> =
            page.descendants().filter(|n| n.tag_name().name() == "text").filter_map(|n| n.text()).collect();
        assert_eq!(texts, scripts);
        let missing = figure(&scripts).missing_letters().unwrap();
        assert!(scripts.iter().flat_map(|text| text.chars()).all(|c| missing.contains(&c)));
        assert!(figure(&scripts).to_png(Theme::Light).is_ok());
        // In a mixed text only the missing letter is text.
        let mixed = figure(&["a李b"]).to_svg(Theme::Light).unwrap();
        assert_eq!(mixed.matches("<text").count(), 1);
    }

    #[test]
    fn letters_of_the_font_are_outlines() {
        let known = figure(&["emma", "зоя", "é"]);
        assert!(
            !known.to_svg(Theme::Light).unwrap().contains("<text")
                && known.missing_letters().unwrap().is_empty()
        );
    }
}
