//! What a model that sees at most T tokens reads: sequences, in windows.

use std::ops::Range;

use super::{Lesson, Lessons};
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

/// A part of a text: which of its targets are judged in it, counted from the text's second token, and which is the first that
/// is read; the token before that is what is read first of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub begin: usize,
    pub judged: Range<usize>,
}

/// Into how many parts a text is cut at most, and how many characters each of them reads before its first judged one, so that
/// the state knows what stands before it.
pub(crate) const PARTS: [usize; 2] = [256, 1024];

/// The parts of a text of so many targets that are read side by side.
///
/// A part begins to read `warm_up` tokens before the first that it judges, or at the text's beginning: so every token is
/// judged with all that stands before it, or at least so many tokens. There are no more parts than make warming up a third of
/// all reading.
pub(crate) fn parts(targets: usize, [most, warm_up]: [usize; 2]) -> Vec<Part> {
    let each = targets.div_ceil((targets / (2 * warm_up)).clamp(1, most)).max(1);
    let part = |start: usize| Part {
        begin: start.saturating_sub(warm_up),
        judged: start..(start + each).min(targets),
    };
    (0..targets).step_by(each).map(part).collect()
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

    /// Where a window's inputs lie among all tokens.
    pub fn inputs(&self, i: usize) -> Range<usize> {
        self.pieces[i].0..self.pieces[i].1
    }

    /// What a teacher is asked, and of each token the number of the distribution that follows it in the window that judges
    /// what does: a number for each different beginning of a window. Where no word is longer than a window, these are the
    /// different beginnings of words.
    pub fn lessons(&self) -> (Lessons, Vec<u32>) {
        let [longest, ..] = self.most_inputs();
        let (mut numbers, mut count) = (vec![0; self.tokens.len()], 0);
        // The number after each input of the last window, if that was judged there.
        let (mut path, mut before): (Vec<Option<u32>>, &[u32]) = (vec![None; longest], &[]);
        for &(from, to, judged) in &self.pieces {
            let inputs = &self.tokens[from..to];
            let same = before.iter().zip(inputs).take_while(|(a, b)| a == b).count();
            path[same..inputs.len()].fill(None);
            for (number, place) in path[judged..inputs.len()].iter_mut().zip(from + judged..) {
                numbers[place] = *number.get_or_insert_with(|| {
                    count += 1;
                    count - 1
                });
            }
            before = inputs;
        }
        let (first, tokens) = self.tokens.split_first().map_or((0, &[][..]), |(&first, rest)| (first, rest));
        let mut of_targets = Vec::with_capacity(tokens.len());
        let mut sequences: Vec<Range<usize>> = Vec::with_capacity(self.words());
        for word in 0..self.words() {
            let start = of_targets.len();
            for &(from, to, judged) in self.of_word(word).iter().map(|&i| &self.pieces[i as usize]) {
                of_targets.extend_from_slice(&numbers[from + judged..to]);
            }
            sequences.push(start..of_targets.len());
        }
        let is_trie = self.most_windows() == 1;
        if is_trie {
            sequences.sort_by_key(|word| &tokens[word.clone()]);
            sequences.dedup_by(|a, b| tokens[a.clone()] == tokens[b.clone()]);
        }
        let sequences = sequences.into_iter().map(|range| Lesson { first, range }).collect();
        let tokens = tokens.to_vec();
        (Lessons { tokens, sequences, numbers: of_targets, count: count as usize, is_trie }, numbers)
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
