//! The colours of the themes.

use std::fmt;

use super::scene::{Role, SERIES};

/// Light or dark paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Dark on white.
    #[default]
    Light,
    /// Light on nearly black.
    Dark,
}

/// Paper, ink, grid, then the series, in colours that colour-blind people can tell apart (after Okabe and
/// Ito).
const LIGHT: [u32; 3 + SERIES] = [
    0xffffff, 0x1c1f24, 0xd3d7de, 0x0b62b0, 0xc44900, 0x00795a, 0x9a3f86, 0x8a6d00, 0x3a8ec4, 0x6b4f3a,
    0x5b616b,
];
const DARK: [u32; 3 + SERIES] = [
    0x14171c, 0xe6e8ec, 0x3a404a, 0x62b0f5, 0xff9352, 0x3fc9a0, 0xe39ad3, 0xe5c54b, 0x9bd3f7, 0xc9a78a,
    0xa9b0bb,
];
/// The roles' names in a page's style sheet.
const NAMES: [&str; 3 + SERIES] = ["paper", "ink", "grid", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];

impl Theme {
    fn colors(self) -> &'static [u32; 3 + SERIES] {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }

    /// Red, green, blue.
    pub(super) fn rgb(self, role: Role) -> [u8; 3] {
        let [_, r, g, b] = self.colors()[role.number()].to_be_bytes();
        [r, g, b]
    }

    /// `--paper:#ffffff;--ink:...`: the style sheet variables with the colours of an SVG that is made for a
    /// page ([`Figure::to_svg_of_page`](super::Figure)).
    #[must_use]
    pub fn css(self) -> String {
        let pairs = NAMES.iter().zip(self.colors());
        pairs.map(|(name, color)| format!("--{name}:#{color:06x};")).collect()
    }
}

impl std::str::FromStr for Theme {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "light" => Ok(Self::Light),
            "dark" => Ok(Self::Dark),
            _ => Err("light or dark".to_owned()),
        }
    }
}

/// How an SVG refers to its colours.
#[derive(Clone, Copy)]
pub(super) enum Paint {
    /// By value.
    Fixed(Theme),
    /// By variables of the page around it, which may change them.
    Page,
}

impl Paint {
    pub fn name(self, role: Role) -> impl fmt::Display {
        match self {
            Self::Fixed(theme) => format!("#{:06x}", theme.colors()[role.number()]),
            Self::Page => format!("var(--{})", NAMES[role.number()]),
        }
    }
}
