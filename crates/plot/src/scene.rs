//! A scene that plotters draws on, and that SVG and PNG are written from: shapes in whole units, colours by
//! role.

use std::collections::BTreeSet;
use std::convert::Infallible;

use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};

use super::font::{self, Letter};

/// Units per pixel: plotters' coordinates are whole numbers, and whole pixels are too coarse for curves.
pub(super) const UNIT: i32 = 10;

/// The use of a colour; a theme has the colour for each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Paper,
    Ink,
    /// Axes and the grid.
    Grid,
    /// A curve or a group.
    Series(u8),
}

/// The number of series colours; with more series they repeat.
pub(super) const SERIES: usize = 8;

impl Role {
    /// The role of the i-th series.
    pub fn series(i: usize) -> Self {
        Self::Series((i % SERIES) as u8)
    }

    /// A colour for plotters, which passes it on unchanged: red is the role's number.
    pub const fn color(self) -> plotters::style::RGBColor {
        plotters::style::RGBColor(self.number() as u8, 0, 0)
    }

    pub const fn number(self) -> usize {
        match self {
            Self::Paper => 0,
            Self::Ink => 1,
            Self::Grid => 2,
            Self::Series(i) => 3 + i as usize,
        }
    }

    fn of(color: BackendColor) -> Self {
        match color.rgb.0 {
            0 => Self::Paper,
            1 => Self::Ink,
            2 => Self::Grid,
            i => Self::series(usize::from(i) - 3),
        }
    }
}

/// A colour and its opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ink {
    pub role: Role,
    pub alpha: f64,
}

impl Ink {
    pub fn new(role: Role, alpha: f64) -> Self {
        Self { role, alpha }
    }
}

impl From<BackendColor> for Ink {
    fn from(color: BackendColor) -> Self {
        Self::new(Role::of(color), color.alpha)
    }
}

pub(super) type At = (i32, i32);

/// A shape of the scene.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Rect {
        at: At,
        size: At,
        ink: Ink,
        /// The text shown while the pointer is over it.
        tip: String,
    },
    Line {
        points: Vec<At>,
        width: i32,
        ink: Ink,
    },
    Circle {
        at: At,
        radius: i32,
        ink: Ink,
    },
    Text {
        /// The left end of the base line.
        at: At,
        size: i32,
        text: String,
        /// Whether it is turned by 90 degrees, to be read upwards.
        upright: bool,
        ink: Ink,
    },
}

/// Shapes on a paper; its size is in units.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scene {
    pub title: String,
    pub size: At,
    pub shapes: Vec<Shape>,
}

impl Scene {
    /// The characters that the font does not have.
    pub fn missing_letters(&self) -> BTreeSet<char> {
        let texts = self.shapes.iter().filter_map(|shape| match shape {
            Shape::Text { text, .. } => Some(text),
            _ => None,
        });
        let missing = |(letter, _)| if let Letter::Missing(c) = letter { Some(c) } else { None };
        texts.flat_map(|text| font::glyphs(text).0).filter_map(missing).collect()
    }

    pub fn new(title: &str, width: i32, height: i32) -> Self {
        Self { title: title.to_owned(), size: (width, height), shapes: Vec::new() }
    }

    /// A text whose middle, left end or right end (0.5, 0, 1) is at x and whose capitals are centred at y.
    pub fn text(&mut self, text: &str, at: At, size: i32, anchor: f64, ink: Ink) {
        let left = f64::from(at.0) - anchor * font::width(text, f64::from(size));
        let base = f64::from(at.1) + f64::from(size) * font::cap_height() / 2.0;
        self.shapes.push(Shape::Text {
            at: (left.round() as i32, base.round() as i32),
            size,
            text: text.to_owned(),
            upright: false,
            ink,
        });
    }
}

/// A backend of plotters that draws on a scene.
pub(super) struct SceneBackend<'a>(pub &'a mut Scene);

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for SceneBackend<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.0.size.0 as u32, self.0.size.1 as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Drawn {
        self.0.shapes.push(Shape::Rect { at, size: (1, 1), ink: color.into(), tip: String::new() });
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let ink = Ink::from(style.color());
        if ink.alpha > 0.0 {
            let points = path.into_iter().collect();
            self.0.shapes.push(Shape::Line { points, width: style.stroke_width() as i32, ink });
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        at: BackendCoord,
        radius: u32,
        style: &S,
        _fill: bool,
    ) -> Drawn {
        self.0.shapes.push(Shape::Circle { at, radius: radius as i32, ink: style.color().into() });
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let size = style.size();
        let (wide, high) = (font::width(text, size), size * font::cap_height());
        let along = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => 0.5,
            HPos::Right => 1.0,
        } * wide;
        let down = match style.anchor().v_pos {
            VPos::Top => 1.0,
            VPos::Center => 0.5,
            VPos::Bottom => 0.0,
        } * high;
        let upright = !matches!(style.transform(), FontTransform::None);
        let (x, y) = (f64::from(at.0), f64::from(at.1));
        let (x, y) = if upright { (x + down, y + along) } else { (x - along, y + down) };
        self.0.shapes.push(Shape::Text {
            at: (x.round() as i32, y.round() as i32),
            size: size.round() as i32,
            text: text.to_owned(),
            upright,
            ink: style.color().into(),
        });
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = style.size();
        Ok((font::width(text, size).ceil() as u32, (size * font::cap_height()).ceil() as u32))
    }
}
