//! A scene as PNG.

use tiny_skia::{Color, FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};

use super::font;
use super::scene::{Ink, Role, Scene, Shape, UNIT};
use super::theme::Theme;
use charloom::{Error, Result};

/// Dots per pixel along each side: more than 1, to be sharp on screens of high density.
const DENSITY: f32 = 2.0;

pub(super) fn encode(scene: &Scene, theme: Theme) -> Result<Vec<u8>> {
    let scale = DENSITY / UNIT as f32;
    let dots = |units: i32| (units as f32 * scale).ceil() as u32;
    let (width, height) = (dots(scene.size.0), dots(scene.size.1));
    let mut map = Pixmap::new(width, height)
        .ok_or_else(|| Error::Failed(format!("a picture of {width} x {height} dots is too large")))?;
    let [r, g, b] = theme.rgb(Role::Paper);
    map.fill(Color::from_rgba8(r, g, b, 255));
    let to_dots = Transform::from_scale(scale, scale);
    for shape in &scene.shapes {
        draw(shape, theme, to_dots, &mut map);
    }
    map.encode_png().map_err(|error| Error::Failed(format!("no PNG could be made: {error}")))
}

fn draw(shape: &Shape, theme: Theme, to_dots: Transform, map: &mut Pixmap) {
    let paint = |ink: &Ink| {
        let [r, g, b] = theme.rgb(ink.role);
        let mut paint = Paint { anti_alias: true, ..Paint::default() };
        paint.set_color_rgba8(r, g, b, (ink.alpha.clamp(0.0, 1.0) * 255.0).round() as u8);
        paint
    };
    let mut fill = |path: Option<Path>, ink: &Ink, by: Transform| {
        // No path: nothing to draw, as for a space or a rectangle without width.
        if let Some(path) = path {
            map.fill_path(&path, &paint(ink), FillRule::Winding, by, None);
        }
    };
    match shape {
        Shape::Rect { at, size, ink, .. } => {
            let rect = Rect::from_xywh(at.0 as f32, at.1 as f32, size.0 as f32, size.1 as f32);
            fill(rect.map(PathBuilder::from_rect), ink, to_dots);
        }
        Shape::Circle { at, radius, ink } => {
            fill(PathBuilder::from_circle(at.0 as f32, at.1 as f32, *radius as f32), ink, to_dots);
        }
        Shape::Line { points, width, ink } => {
            let mut builder = PathBuilder::new();
            for (i, &(x, y)) in points.iter().enumerate() {
                let (x, y) = (x as f32, y as f32);
                if i == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
            }
            let stroke = Stroke { width: *width as f32, line_join: LineJoin::Round, ..Stroke::default() };
            if let Some(path) = builder.finish() {
                map.stroke_path(&path, &paint(ink), &stroke, to_dots, None);
            }
        }
        Shape::Text { at, size, text, upright, ink } => {
            let em = *size as f32 / font::units_per_em() as f32;
            let mut outline = Outline { builder: PathBuilder::new(), x: 0.0 };
            for (glyph, x) in font::glyphs(text).0 {
                outline.x = x as f32;
                font::outline(glyph.glyph(), &mut outline);
            }
            let place = to_dots.pre_translate(at.0 as f32, at.1 as f32);
            let place = if *upright { place.pre_concat(Transform::from_rotate(-90.0)) } else { place };
            fill(outline.builder.finish(), ink, place.pre_scale(em, -em));
        }
    }
}

/// Collects the outlines of glyphs, each shifted by `x`.
struct Outline {
    builder: PathBuilder,
    x: f32,
}

impl ttf_parser::OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.builder.move_to(self.x + x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.builder.line_to(self.x + x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.builder.quad_to(self.x + x1, y1, self.x + x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.builder.cubic_to(self.x + x1, y1, self.x + x2, y2, self.x + x, y);
    }
    fn close(&mut self) {
        self.builder.close();
    }
}
