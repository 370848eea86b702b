//! The font of all pictures: DejaVu Sans, as outlines, so that they look alike everywhere.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

static FACE: LazyLock<Face<'static>> =
    LazyLock::new(|| Face::parse(dejavu::sans::regular(), 0).expect("the font is part of the program"));

/// Font units per em; glyphs are measured in font units.
pub(super) fn units_per_em() -> f64 {
    f64::from(FACE.units_per_em())
}

/// The height of a capital letter, in em.
pub(super) fn cap_height() -> f64 {
    f64::from(FACE.capital_height().unwrap_or(1400)) / units_per_em()
}

/// A character of a text: its glyph, or itself if the font has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    /// The glyph.
    Glyph(u16),
    /// The font has no glyph for this character.
    Missing(char),
}

impl Letter {
    /// The glyph, or the font's empty box if it has none.
    pub(super) fn glyph(self) -> u16 {
        if let Self::Glyph(glyph) = self { glyph } else { 0 }
    }
}

/// The letters of a text, each with its x, and the width of the text, all in font units.
pub(super) fn glyphs(text: &str) -> (Vec<(Letter, u32)>, u32) {
    let mut at = 0;
    let letters = text.chars().map(|character| {
        let here = at;
        let glyph = FACE.glyph_index(character);
        at += match glyph {
            Some(glyph) => u32::from(FACE.glyph_hor_advance(glyph).unwrap_or(0)),
            None if is_wide(character) => u32::from(FACE.units_per_em()),
            None => u32::from(FACE.glyph_hor_advance(GlyphId(0)).unwrap_or(0)),
        };
        (glyph.map_or(Letter::Missing(character), |glyph| Letter::Glyph(glyph.0)), here)
    });
    let letters = letters.collect();
    (letters, at)
}

/// Whether a character is an em wide in other fonts: the blocks of Han, kana, Hangul and emoji.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
}

/// The width of a text at a font size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    f64::from(glyphs(text).1) * size / units_per_em()
}

/// Draws a glyph in font units, y upward.
pub(super) fn outline(glyph: u16, builder: &mut impl OutlineBuilder) {
    FACE.outline_glyph(GlyphId(glyph), builder);
}
