//! Which character follows which, and how often.

use super::figure::{Cell, Figure, Heat};
use super::visible;
use charloom::data::Split;
use charloom::data::Vocab;

/// The most characters in the picture; with more it would be unreadable.
const MOST: usize = 40;

/// The counts of pairs in a split: a row for the first character, a column for the second.
///
/// If the vocabulary has more than 40 characters, only the 40 most frequent are shown.
#[must_use]
pub fn bigram(split: &Split, vocab: &Vocab) -> Figure {
    let mut tokens = split.tokens().to_vec();
    if let Some(boundary) = split.boundary() {
        // The boundary that ends a word also begins the next one; the first word needs one.
        tokens.insert(0, boundary);
    }
    let mut often = vec![0u64; vocab.len()];
    tokens.iter().for_each(|&token| often[token as usize] += 1);
    let mut chosen: Vec<usize> = (0..vocab.len()).collect();
    chosen.sort_by_key(|&token| std::cmp::Reverse(often[token]));
    chosen.truncate(MOST);
    chosen.sort_unstable();
    let mut place = vec![None; vocab.len()];
    chosen.iter().enumerate().for_each(|(i, &token)| place[token] = Some(i));
    let mut counts = vec![vec![0u64; chosen.len()]; chosen.len()];
    for pair in tokens.windows(2) {
        if let (Some(i), Some(j)) = (place[pair[0] as usize], place[pair[1] as usize]) {
            counts[i][j] += 1;
        }
    }
    let names: Vec<String> = chosen.iter().map(|&token| visible(vocab.characters()[token])).collect();
    let row = |(i, counts): (usize, Vec<u64>)| {
        let cell = |(j, n): (usize, u64)| Cell {
            value: n as f64,
            text: format!("{}{}", names[i], names[j]),
            note: n.to_string(),
        };
        counts.into_iter().enumerate().map(cell).collect()
    };
    let cells = counts.into_iter().enumerate().map(row).collect();
    let all = vocab.len();
    let of =
        if all > MOST { format!(", the {MOST} most frequent of {all} characters") } else { String::new() };
    let title = format!("What follows what in the training split{of}");
    Figure::Heat(Heat { title, rows: Vec::new(), gaps: [0, 0], full: None, cells })
}

#[cfg(test)]
mod tests {
    use super::*;
    use charloom::data::Corpus;
    use charloom::data::DataConfig;
    use charloom::data::Mode;

    #[test]
    fn pairs_are_counted_with_their_boundaries() {
        let config = DataConfig { mode: Some(Mode::Lines), ..DataConfig::default() };
        let corpus = Corpus::from_bytes("a.txt", b"ab\nb\n", &config).unwrap();
        let vocab = Vocab::of(Mode::Lines, [&corpus]);
        let Figure::Heat(heat) = bigram(&Split::of(&corpus, &vocab).unwrap(), &vocab) else {
            panic!("no table")
        };
        let counts: Vec<Vec<f64>> =
            heat.cells.iter().map(|row| row.iter().map(|cell| cell.value).collect()).collect();
        // .a .b; ab; b. twice
        assert_eq!(counts, [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [2.0, 0.0, 0.0]]);
        assert_eq!((heat.cells[2][0].text.as_str(), heat.cells[2][0].note.as_str()), ("b.", "2"));
    }
}
