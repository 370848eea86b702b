//! Encodes characters as a buffer of tokens.

use super::tokens::TokenBuffer;
use super::vocab::Vocab;

/// Stands for an unknown character: a token of an ASCII character is at most 128.
const UNKNOWN: u8 = u8::MAX;

/// Encodes a text: all at once, or each line once, in any order.
pub(super) struct Encoder<'v> {
    vocab: &'v Vocab,
    /// The tokens so far, after a boundary in [`Mode::Lines`](super::Mode::Lines); zeros for the rest.
    bytes: Vec<u8>,
    /// How many of `bytes` are written so far.
    done: usize,
    /// The bytes per token.
    width: usize,
    /// The token of each character, if the text is ASCII and a token is one byte.
    ascii: Option<[u8; 256]>,
    is_known: bool,
}

impl<'v> Encoder<'v> {
    /// With room for all tokens of `text`.
    pub fn new(text: &str, vocab: &'v Vocab) -> Self {
        let width = TokenBuffer::width(vocab.len());
        let is_ascii = text.is_ascii();
        let count = if is_ascii { text.len() } else { text.chars().count() };
        let first = usize::from(vocab.boundary().is_some());
        let bytes = vec![0; (first + count) * width];
        let ascii = (is_ascii && width == 1).then(|| {
            let mut table = [UNKNOWN; 256];
            for byte in 0..128u8 {
                table[usize::from(byte)] = token(vocab, byte.into()).map_or(UNKNOWN, |token| token as u8);
            }
            table
        });
        let mut encoder = Self { vocab, bytes, done: 0, width, ascii, is_known: true };
        vocab.boundary().into_iter().for_each(|boundary| encoder.push(boundary));
        encoder
    }

    /// How many tokens there are so far.
    pub fn len(&self) -> usize {
        self.done / self.width
    }

    /// Appends the tokens of a text.
    pub fn text(&mut self, text: &str) {
        if let Some(table) = &self.ascii {
            let to = &mut self.bytes[self.done..][..text.len()];
            to.iter_mut().zip(text.as_bytes()).for_each(|(to, &byte)| *to = table[usize::from(byte)]);
            self.done += text.len();
            return;
        }
        for c in text.chars() {
            let token = token(self.vocab, c);
            self.is_known &= token.is_some();
            self.push(token.unwrap_or(0));
        }
    }

    fn push(&mut self, token: u32) {
        self.bytes[self.done..][..self.width].copy_from_slice(&token.to_le_bytes()[..self.width]);
        self.done += self.width;
    }

    /// Appends the tokens of the first line of `rest`, its line break included.
    pub fn line(&mut self, rest: &str) {
        let Some(table) = &self.ascii else {
            let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
            return self.text(&rest[..end]);
        };
        let (to, rest) = (&mut self.bytes[self.done..], rest.as_bytes());
        // With an index, since outside the `dist` profile an iterator takes twice as long.
        let mut at = 0;
        while at < rest.len() && at < to.len() {
            to[at] = table[usize::from(rest[at])];
            at += 1;
            if rest[at - 1] == b'\n' {
                break;
            }
        }
        self.done += at;
    }

    /// The buffer of tokens; `None` if a character is not in the vocabulary.
    pub fn finish(self) -> Option<TokenBuffer> {
        debug_assert_eq!(self.done, self.bytes.len());
        let is_known = self.is_known && !(self.ascii.is_some() && self.bytes.contains(&UNKNOWN));
        is_known.then(|| TokenBuffer::new(self.bytes, self.width))
    }
}

/// The token of a character; a line break is the boundary, if the vocabulary has one.
fn token(vocab: &Vocab, c: char) -> Option<u32> {
    vocab.boundary().filter(|_| c == '\n').or_else(|| vocab.token(c))
}

#[cfg(test)]
mod tests {
    use super::super::settings::Mode;
    use super::*;

    #[test]
    fn tokens_are_the_same_whether_all_is_ascii_or_not() {
        for mode in [Mode::Lines, Mode::Text] {
            for more in ["", "é", "日本"] {
                let vocab = Vocab::new(mode, "abc x\n".chars().chain(more.chars()));
                let all = |text: &str| {
                    let mut encoder = Encoder::new(text, &vocab);
                    encoder.text(text);
                    assert_eq!(encoder.len(), text.chars().count() + usize::from(mode == Mode::Lines));
                    encoder.finish().map(|buffer| buffer.tokens().to_vec())
                };
                let one_by_one = |text: &str| {
                    let tokens = text.chars().map(|c| token(&vocab, c)).collect::<Option<Vec<u32>>>();
                    tokens.map(|tokens| vocab.boundary().into_iter().chain(tokens).collect::<Vec<_>>())
                };
                for text in ["", "ab\nc x\n", "abé\nc\n", "日\nabc", "a?\n", "a\u{7f}"] {
                    assert_eq!(all(text), one_by_one(text), "{text:?} {more:?} {mode}");
                }
            }
        }
    }

    #[test]
    fn lines_come_in_any_order() {
        for text in ["ab\nc\nabc\n", "ab\né\nabc\n", "c\nab"] {
            let vocab = Vocab::new(Mode::Lines, "abcé".chars());
            let mut encoder = Encoder::new(text, &vocab);
            let starts = text.split_inclusive('\n').scan(0, |next, line| {
                let start = *next;
                *next += line.len();
                Some(start)
            });
            let starts: Vec<usize> = starts.collect();
            starts.iter().rev().for_each(|&start| encoder.line(&text[start..]));
            let buffer = encoder.finish().expect("known characters");
            let backwards: String = text.split_inclusive('\n').rev().collect();
            assert_eq!(vocab.decode(buffer.tokens()), format!(".{}", backwards.replace('\n', ".")));
        }
    }
}
