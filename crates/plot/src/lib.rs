//! Pictures: what a training did and what a model holds, as SVG, PNG or in a terminal.
//!
//! A [`Figure`] has the numbers of a picture; each format is drawn from it. Letters are outlines of one font,
//! so that a picture looks the same everywhere. [`report`] writes a page about a run, [`tensorboard`] event
//! files of a training.
//!
//! ```
//! use charloom::prelude::*;
//! use charloom_plot::{Theme, surprise};
//!
//! // Which characters of a word a model did not expect.
//! let model = ModelConfig::of("ngram").with("order", 3);
//! let mut config = Config { model, ..Config::default() };
//! let data = load_data(&mut config)?;
//! let (model, _) = models::count(&config, &data)?;
//! let figure = surprise(&*model, &data.vocab, &["emma".to_owned(), "emmq".to_owned()])?;
//!
//! println!("{}", figure.to_terminal(80, 20, false));
//! let svg = figure.to_svg(Theme::Light)?;
//! let png = figure.to_png(Theme::Dark)?;
//! assert!(svg.starts_with("<svg") && png.starts_with(b"\x89PNG"));
//! # Ok::<(), Error>(())
//! ```
//!
//! Of a training: [`fn@losses`], [`learning_rates`], [`fn@lr_find`]. Of a model: [`fn@embedding`], [`weights`],
//! [`fn@surprise`]. Of its layers: [`histograms`], [`dead`], [`updates`]. Of a text: [`fn@bigram`].
#![forbid(unsafe_code)]

mod bigram;
mod canvas;
mod draw;
mod embedding;
mod figure;
mod font;
pub mod html;
mod layers;
mod losses;
mod lr_find;
mod png;
mod protobuf;
pub mod report;
mod scene;
mod surprise;
mod svg;
pub mod tensorboard;
pub mod terminal;
mod theme;

pub use bigram::bigram;
pub use embedding::{embedding, principal};
pub use figure::{Cell, Figure, Heat, Lines, Point, Points, Series};
pub use layers::{dead, histograms, updates, weights};
pub use losses::{learning_rates, losses};
pub use lr_find::lr_find;
pub use surprise::surprise;
pub use theme::Theme;

use std::path::Path;

use charloom::Result;

pub(crate) use figure::thinned;

impl Figure {
    /// The picture as an SVG file.
    ///
    /// # Errors
    /// It cannot be drawn.
    ///
    /// ```
    /// use charloom_plot::{Figure, Lines, Series, Theme};
    /// let series = vec![Series { name: "val".into(), color: 0, faint: false, points: vec![(0.0, 3.3), (1.0, 2.1)] }];
    /// let (title, x_label, y_label) = ("Loss".to_owned(), "step".to_owned(), "loss".to_owned());
    /// let svg = Figure::Lines(Lines { title, x_label, y_label, series, ..Lines::default() }).to_svg(Theme::Light)?;
    /// assert!(svg.starts_with("<svg") && !svg.contains("<text"));
    /// # Ok::<(), charloom::Error>(())
    /// ```
    pub fn to_svg(&self, theme: Theme) -> Result<String> {
        Ok(svg::write(&draw::draw(self)?, theme::Paint::Fixed(theme), "g"))
    }

    /// The characters in it that the font of pictures lacks: an SVG leaves them to other fonts, a PNG has
    /// empty boxes.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub fn missing_letters(&self) -> Result<std::collections::BTreeSet<char>> {
        Ok(draw::draw(self)?.missing_letters())
    }

    /// The picture as SVG within a page, whose style sheet has the colours ([`Theme::css`]); `id` must differ
    /// between the pictures of a page.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub fn to_svg_of_page(&self, id: &str) -> Result<String> {
        Ok(svg::write(&draw::draw(self)?, theme::Paint::Page, id))
    }

    /// The picture as PNG.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub fn to_png(&self, theme: Theme) -> Result<Vec<u8>> {
        png::encode(&draw::draw(self)?, theme)
    }

    /// The picture in characters, `columns` wide and `rows` high (a table is as high as its rows), with
    /// colours if `colored`.
    #[must_use]
    pub fn to_terminal(&self, columns: u16, rows: u16, colored: bool) -> String {
        match self {
            Self::Lines(lines) => terminal::lines(lines, columns, rows.saturating_sub(1), colored),
            Self::Points(points) => terminal::points(points, columns, rows.saturating_sub(3), colored),
            Self::Heat(heat) => terminal::heat(heat, columns, colored),
        }
    }
}

/// The name of a run: that of its folder.
#[must_use]
pub fn run_name(run: &Path) -> String {
    let name =
        run.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| run.display().to_string())
}

/// A character as visible text, with symbols for a space, a line break and a tab.
pub(crate) fn visible(character: char) -> String {
    match character {
        ' ' => "\u{2423}".to_owned(),
        '\n' => "\u{23ce}".to_owned(),
        '\t' => "\u{21e5}".to_owned(),
        c if c.is_control() => c.escape_debug().to_string(),
        c => c.to_string(),
    }
}
