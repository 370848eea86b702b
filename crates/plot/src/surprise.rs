//! How surprised a model is by each character of a word.

use super::figure::{Cell, Figure, Heat};
use super::visible;
use charloom::data::Vocab;
use charloom::evaluation::{CharacterScore, score};
use charloom::models::LanguageModel;
use charloom::{Error, Result};

/// The most characters in a row.
const LONGEST: usize = 40;

/// A row for each word, or several for a long one, a cell for each character with its surprise, -log2 p, in bits.
///
/// # Errors
/// A character that the model has never seen; no words.
pub fn surprise(model: &dyn LanguageModel, vocab: &Vocab, words: &[String]) -> Result<Figure> {
    if words.is_empty() {
        return Err(Error::usage("which words? give them with ``words`` anna,emma"));
    }
    let mut cells = Vec::with_capacity(words.len());
    let mut rows = Vec::with_capacity(words.len());
    for scored in score(model, vocab, words) {
        let scored = scored?;
        let cell = |character: &CharacterScore| {
            // `max`: rounding may give a probability above 1. `+ 0.0`: turns -0 into 0.
            let bits = (-character.log_prob / std::f64::consts::LN_2).max(0.0) + 0.0;
            Cell { value: bits, text: visible(character.character), note: format!("{bits:.1}") }
        };
        rows.push(format!("{:.1} bits", scored.bits));
        cells.extend(scored.characters.chunks(LONGEST).map(|some| some.iter().map(cell).collect()));
        rows.resize(cells.len(), String::new());
    }
    let title = "Surprise at each character, in bits".to_owned();
    Ok(Figure::Heat(Heat { title, rows, gaps: [0, 0], full: None, cells }))
}
