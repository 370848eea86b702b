//! What a model that sees at most T tokens reads: sequences, in windows.

use crate::data::Split;

/// A window of a sequence: which of its inputs it has, and from which of them on the token after it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The first input, in the sequence.
    pub start: usize,
    /// How many.
    pub inputs: usize,
    /// The first judged, in the window: what comes after earlier ones was judged in the window before.
    pub judged: usize,
}

/// The windows of a sequence of so many inputs: the first T, and on by `stride` at a time until all are in one.
///
/// So every token but the first T is judged by at least T - stride + 1 tokens, as far as there are so many before it.
pub(crate) fn windows(inputs: usize, context: usize, stride: usize) -> impl Iterator<Item = Window> {
    let further = inputs.saturating_sub(context).div_ceil(stride);
    (0..=further).map(move |k| Window {
        start: k * stride,
        inputs: context.min(inputs - k * stride),
        judged: if k == 0 { 0 } else { context - stride },
    })
}

/// The different windows of the words of a split, sorted, so that windows with a common beginning are neighbours.
pub(crate) struct Pieces {
    /// The boundary, and the words with their boundaries: each window is a piece of this.
    tokens: Vec<u32>,
    /// Of each: where its inputs begin and end, and which is the first judged. The last target stands after the end.
    pieces: Vec<(usize, usize, usize)>,
    /// The windows of each word, one word after another, and where each word's begin.
    of_words: Vec<u32>,
    starts: Vec<usize>,
}

impl Pieces {
    /// The windows of all words of a split; None of a running text, or if there is no word.
    pub fn of_words(split: &Split, context: usize, stride: usize) -> Option<Self> {
        let boundary = split.boundary()?;
        let tokens: Vec<u32> = std::iter::once(boundary).chain(split.tokens().iter().copied()).collect();
        let (mut all, mut starts, mut at) = (Vec::new(), vec![0], 0);
        for word in split.words() {
            let inputs = word.len() + 1;
            all.extend(
                windows(inputs, context, stride).map(|w| (at + w.start, at + w.start + w.inputs, w.judged)),
            );
            starts.push(all.len());
            at += inputs;
        }
        let content = |&(from, to, judged): &(usize, usize, usize)| (&tokens[from..=to], judged);
        let mut order: Vec<u32> = (0..u32::try_from(all.len()).ok()?).collect();
        order.sort_by(|&a, &b| content(&all[a as usize]).cmp(&content(&all[b as usize])));
        let (mut pieces, mut of_words): (Vec<(usize, usize, usize)>, _) = (Vec::new(), vec![0; all.len()]);
        for i in order {
            let piece = all[i as usize];
            if pieces.last().is_none_or(|last| content(last) != content(&piece)) {
                pieces.push(piece);
            }
            of_words[i as usize] = pieces.len() as u32 - 1;
        }
        (!pieces.is_empty()).then_some(Self { tokens, pieces, of_words, starts })
    }

    /// How many different ones there are.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// How many words they come from.
    pub fn words(&self) -> usize {
        self.starts.len() - 1
    }

    /// The windows of a word, by their places among all.
    pub fn of_word(&self, word: usize) -> &[u32] {
        &self.of_words[self.starts[word]..self.starts[word + 1]]
    }

    /// A window's inputs and, after them, its last target; and from which input on the next token is judged.
    pub fn piece(&self, i: usize) -> (&[u32], usize) {
        let (from, to, judged) = self.pieces[i];
        (&self.tokens[from..=to], judged)
    }

    /// How many tokens of all words are judged.
    pub fn judged(&self) -> usize {
        self.tokens.len() - 1
    }

    /// The most windows of a word.
    pub fn most_windows(&self) -> usize {
        (0..self.words()).map(|word| self.of_word(word).len()).max().unwrap_or(0)
    }

    /// The most inputs of a window, of the windows of a word together, and of all.
    pub fn most_inputs(&self) -> [usize; 3] {
        let inputs = |i: usize| self.pieces[i].1 - self.pieces[i].0;
        let of_word = |word| self.of_word(word).iter().map(|&i| inputs(i as usize)).sum();
        let of_words = (0..self.words()).map(of_word).max().unwrap_or(0);
        [(0..self.len()).map(inputs).max().unwrap_or(0), of_words, (0..self.len()).map(inputs).sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_but_the_first_windows_is_judged_once_with_enough_before_it() {
        for (inputs, context, stride) in [(5, 8, 2), (8, 8, 2), (9, 8, 2), (30, 8, 2), (31, 8, 8), (12, 5, 1)]
        {
            let mut judged = vec![0; inputs];
            for window in windows(inputs, context, stride) {
                for at in window.judged..window.inputs {
                    judged[window.start + at] += 1;
                    assert!(window.start == 0 || at + 1 > context - stride);
                }
            }
            assert_eq!(judged, vec![1; inputs], "{inputs} {context} {stride}");
        }
    }
}
