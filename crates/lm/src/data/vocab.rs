//! Characters to token ids and back.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};

use super::corpus::Corpus;
use super::settings::Mode;
use crate::error::UnknownCharacter;

/// The token of the boundary in [`Mode::Lines`].
const BOUNDARY: u32 = 0;

/// The set of characters of a corpus (Unicode scalar values), sorted; a token's id is its rank.
///
/// In [`Mode::Lines`] token 0 is the boundary, which begins and ends each word and is no character. It is
/// printed as [`Vocab::mark`]: `.`, or another mark if words contain `.`.
///
/// ```
/// use charloom::data::{Mode, Vocab};
/// let vocab = Vocab::new(Mode::Lines, "emma".chars());
/// assert_eq!((vocab.len(), vocab.boundary(), vocab.mark()), (4, Some(0), '.'));
/// assert_eq!(vocab.encode("mae").unwrap(), [3, 1, 2]);
/// assert_eq!(vocab.decode(&[0, 3, 1, 2, 0]), ".mae.");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Characters", into = "Characters")]
pub struct Vocab {
    mode: Mode,
    /// The character of each token; in lines mode the first is the mark.
    characters: Vec<char>,
    /// Token of each ASCII character, `u32::MAX` where there is none.
    ascii: [u32; 128],
}

/// A vocabulary as it is stored.
#[derive(Serialize, Deserialize)]
struct Characters {
    mode: Mode,
    characters: String,
}

/// The marks that the boundary may be printed as, in order of preference.
const MARKS: [char; 8] = ['.', '|', '$', '^', '~', '#', '¶', '␄'];

impl Vocab {
    /// The vocabulary of these characters; their order and repetitions make no difference.
    #[must_use]
    pub fn new(mode: Mode, characters: impl IntoIterator<Item = char>) -> Self {
        // One bit for each possible character, 136 KiB: faster than sorting a whole text.
        let mut met = vec![0u64; 0x11_0000 / 64];
        for c in characters {
            met[c as usize / 64] |= 1 << (c as usize % 64);
        }
        let mut sorted = Vec::new();
        for (block, &bits) in met.iter().enumerate() {
            let mut left = bits;
            while left != 0 {
                sorted.extend(char::from_u32(block as u32 * 64 + left.trailing_zeros()));
                left &= left - 1;
            }
        }
        Self::from_sorted(mode, sorted)
    }

    /// The vocabulary of everything in these corpora.
    #[must_use]
    pub fn of<'a>(mode: Mode, corpora: impl IntoIterator<Item = &'a Corpus>) -> Self {
        let mut ascii = [false; 256];
        let mut others = Vec::new();
        for text in corpora.into_iter().map(Corpus::text) {
            text.bytes().for_each(|byte| ascii[usize::from(byte)] = true);
            if !text.is_ascii() {
                others.push(text);
            }
        }
        // In a list of words, a line break is no character.
        let counts = |c: &char| mode == Mode::Text || *c != '\n';
        let ascii = (0..128u8).filter(|&byte| ascii[usize::from(byte)]).map(char::from);
        let others = others.into_iter().flat_map(|text| text.chars().filter(|c| !c.is_ascii()));
        Self::new(mode, ascii.chain(others).filter(counts))
    }

    fn from_sorted(mode: Mode, sorted: Vec<char>) -> Self {
        let free = |c: &char| sorted.binary_search(c).is_err();
        let boundary = (mode == Mode::Lines)
            .then(|| MARKS.into_iter().chain('\u{e000}'..).find(free).unwrap_or(char::REPLACEMENT_CHARACTER));
        let mut ascii = [u32::MAX; 128];
        for (rank, &c) in sorted.iter().enumerate() {
            if let Some(token) = ascii.get_mut(c as usize) {
                *token = (rank + usize::from(boundary.is_some())) as u32;
            }
        }
        Self { mode, characters: boundary.into_iter().chain(sorted).collect(), ascii }
    }

    /// V, the number of tokens, the boundary among them.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a vocabulary is never empty")]
    pub fn len(&self) -> usize {
        self.characters.len()
    }

    /// The mode it was made for.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The boundary token; none in [`Mode::Text`].
    #[must_use]
    pub fn boundary(&self) -> Option<u32> {
        (self.mode == Mode::Lines).then_some(BOUNDARY)
    }

    /// The character that the boundary is printed as: the first of a few marks that no word contains. In
    /// [`Mode::Text`], which has no boundary, it is the first character.
    #[must_use]
    pub fn mark(&self) -> char {
        self.characters[0]
    }

    /// The character that each token is printed as, by id.
    #[must_use]
    pub fn characters(&self) -> &[char] {
        &self.characters
    }

    /// The token before the first character: the boundary, or in [`Mode::Text`] a line break, or the first
    /// character if the text has no line breaks.
    #[must_use]
    pub fn start(&self) -> u32 {
        self.line_end().unwrap_or(0)
    }

    /// The token that ends a line: the boundary, or in [`Mode::Text`] a line break, if the text has any.
    #[must_use]
    pub fn line_end(&self) -> Option<u32> {
        self.boundary().or_else(|| self.token('\n'))
    }

    /// Names the characters of this vocabulary that `other` lacks, and those that only `other` has.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let lacking = |from: &Self, of: &Self| {
            let lacks = |c: &&char| of.token(**c).is_none();
            let first = usize::from(from.boundary().is_some());
            let all: Vec<&char> = from.characters[first..].iter().filter(lacks).collect();
            let mut named = all.iter().take(5).map(|c| format!("{c:?}")).collect::<Vec<_>>().join(", ");
            if all.len() > 5 {
                named += &format!(" and {} more", all.len() - 5);
            }
            named
        };
        match (lacking(self, other), lacking(other, self)) {
            (a, b) if a.is_empty() && b.is_empty() => "one reads lines and the other a text".to_owned(),
            (a, b) if b.is_empty() => format!("not in the data: {a}"),
            (a, b) if a.is_empty() => format!("new: {b}"),
            (a, b) => format!("not in the data: {a}; new: {b}"),
        }
    }

    /// The token of a character.
    #[must_use]
    pub fn token(&self, character: char) -> Option<u32> {
        if let Some(&token) = self.ascii.get(character as usize) {
            return (token != u32::MAX).then_some(token);
        }
        let first = usize::from(self.mode == Mode::Lines);
        self.characters[first..].binary_search(&character).ok().map(|rank| (rank + first) as u32)
    }

    /// The tokens of a string, without boundaries.
    ///
    /// # Errors
    /// [`UnknownCharacter`], the first one.
    pub fn encode(&self, text: &str) -> std::result::Result<Vec<u32>, UnknownCharacter> {
        let mut tokens = Vec::with_capacity(text.len());
        for (i, character) in text.chars().enumerate() {
            tokens.push(self.token(character).ok_or(UnknownCharacter { character, position: i + 1 })?);
        }
        Ok(tokens)
    }

    /// The string of these tokens, boundaries as [`Vocab::mark`].
    ///
    /// # Panics
    /// If a token is not below [`Vocab::len`].
    #[must_use]
    pub fn decode(&self, tokens: impl IntoIterator<Item = impl Borrow<u32>>) -> String {
        tokens.into_iter().map(|token| self.characters[*token.borrow() as usize]).collect()
    }
}

impl TryFrom<Characters> for Vocab {
    type Error = String;

    fn try_from(stored: Characters) -> std::result::Result<Self, String> {
        let characters: Vec<char> = stored.characters.chars().collect();
        if characters.is_empty() || !characters.is_sorted_by(|a, b| a < b) {
            return Err("the vocabulary's characters are not sorted, distinct and at least one".to_owned());
        }
        Ok(Self::from_sorted(stored.mode, characters))
    }
}

impl From<Vocab> for Characters {
    fn from(vocab: Vocab) -> Self {
        let first = usize::from(vocab.mode == Mode::Lines);
        Self { mode: vocab.mode, characters: vocab.characters[first..].iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_characters() {
        let of = |text: &str| Vocab::new(Mode::Lines, text.chars());
        assert_eq!(of("abc").difference(&of("ab")), "not in the data: 'c'");
        assert_eq!(of("ab").difference(&of("abcdefgh")), "new: 'c', 'd', 'e', 'f', 'g' and 1 more");
        assert_eq!(of("aé").difference(&of("az")), "not in the data: 'é'; new: 'z'");
        let text = Vocab::new(Mode::Text, "ab".chars());
        assert_eq!(of("ab").difference(&text), "one reads lines and the other a text");
    }
}
