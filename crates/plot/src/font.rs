//! The font of all pictures: DejaVu Sans, as outlines, so that they look alike everywhere.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

static FACE: LazyLock<Face<'static>> =
    LazyLock::new(|| Face::parse(dejavu::sans::regular(), 0).expect("the font is part of the program"));

/// Font units of an em: what glyphs are measured in.
pub(super) fn units_per_em() -> f64 {
    f64::from(FACE.units_per_em())
}

/// How high a capital letter is, in em.
pub(super) fn cap_height() -> f64 {
    f64::from(FACE.capital_height().unwrap_or(1400)) / units_per_em()
}

/// The glyphs of a text, each with the font units before it; then the whole width in font units.
///
/// What the font does not have is its empty box.
pub(super) fn glyphs(text: &str) -> (Vec<(u16, u32)>, u32) {
    let mut at = 0;
    let glyphs = text.chars().map(|character| {
        let glyph = FACE.glyph_index(character).unwrap_or(GlyphId(0));
        let here = at;
        at += u32::from(FACE.glyph_hor_advance(glyph).unwrap_or(0));
        (glyph.0, here)
    });
    let glyphs = glyphs.collect();
    (glyphs, at)
}

/// How wide a text is at a size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    f64::from(glyphs(text).1) * size / units_per_em()
}

/// Draws a glyph in font units, y upward.
pub(super) fn outline(glyph: u16, builder: &mut impl OutlineBuilder) {
    FACE.outline_glyph(GlyphId(glyph), builder);
}
