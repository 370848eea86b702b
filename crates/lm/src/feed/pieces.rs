//! What a model that sees at most T tokens reads: sequences, in windows.

use std::ops::Range;

use super::{Lesson, Lessons};
use crate::data::{Split, Tokens};

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

/// The different windows of the words of a split, sorted, so that windows with a common beginning are neighbours. It is a view
/// of the split's tokens and 8 bytes for each word, or 12 where some have several windows.
pub(crate) struct Pieces {
    split: Split,
    boundary: u32,
    context: usize,
    stride: usize,
    /// Where each begins in the split's tokens, the boundary before the first word among them.
    pieces: Vec<u32>,
    /// The windows of each word, one word after another, and where each word's begin; nothing where each word has one.
    of_words: Vec<u32>,
    starts: Vec<u32>,
}

impl Pieces {
    /// The windows of all words of a split; None of a running text, or if there is no word.
    pub fn of_words(split: &Split, context: usize, stride: usize) -> Option<Self> {
        let boundary = split.boundary()?;
        // There are fewer windows than tokens, so these are all that has to be counted.
        u32::try_from(split.tokens_with_start().len()).ok()?;
        let [words, longest] =
            split.words().fold([0, 0], |[words, longest], word| [words + 1, longest.max(word.len() + 1)]);
        let (mut pieces, mut starts) = (Vec::with_capacity(words), Vec::new());
        if longest > context {
            starts.reserve_exact(words + 1);
            starts.push(0);
        }
        let mut at = 0;
        for word in split.words() {
            let inputs = word.len() + 1;
            pieces.extend(windows(inputs, context, stride).map(|window| (at + window.start) as u32));
            if longest > context {
                starts.push(pieces.len() as u32);
            }
            at += inputs;
        }
        pieces.shrink_to_fit();
        let split = split.clone();
        let mut all = Self { split, boundary, context, stride, pieces, of_words: Vec::new(), starts };
        all.merge();
        (!all.pieces.is_empty()).then_some(all)
    }

    /// From the windows of all words, in their order, to the different ones.
    fn merge(&mut self) {
        let mut order: Vec<u32> = (0..self.pieces.len() as u32).collect();
        order.sort_unstable_by_key(|&i| (self.piece(i as usize).0, i));
        self.of_words = vec![0; order.len()];
        let mut count = 0;
        for k in 0..order.len() {
            let piece = self.piece(order[k] as usize).0;
            if k == 0 || self.piece(order[count - 1] as usize).0 != piece {
                order[count] = order[k];
                count += 1;
            }
            self.of_words[order[k] as usize] = count as u32 - 1;
        }
        order.truncate(count);
        order.iter_mut().for_each(|i| *i = self.pieces[*i as usize]);
        self.pieces = order;
    }

    /// How many different ones there are.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// How many words they come from.
    pub fn words(&self) -> usize {
        if self.starts.is_empty() { self.of_words.len() } else { self.starts.len() - 1 }
    }

    /// The windows of a word, by their places among all.
    pub fn of_word(&self, word: usize) -> &[u32] {
        match self.starts.get(word..word + 2) {
            Some(range) => &self.of_words[range[0] as usize..range[1] as usize],
            None => &self.of_words[word..word + 1],
        }
    }

    /// A window's inputs and, after them, its last target; and from which input on the next token is judged.
    pub fn piece(&self, i: usize) -> (Tokens<'_>, usize) {
        let Range { start, end } = self.inputs(i);
        let tokens = self.split.tokens_with_start();
        (tokens.part(start..end + 1), self.judged_of(tokens, start))
    }

    /// Where a window's inputs lie among all tokens.
    pub fn inputs(&self, i: usize) -> Range<usize> {
        let (start, tokens) = (self.pieces[i] as usize, self.split.tokens_with_start());
        let most = self.context.min(tokens.len() - start - 1);
        let inside = tokens.part(start + 1..start + most).iter().position(|token| token == self.boundary);
        start..start + inside.map_or(most, |place| place + 1)
    }

    /// From which of its inputs on a window that begins here judges: all of a word's first, which begins with the boundary.
    fn judged_of(&self, tokens: Tokens<'_>, start: usize) -> usize {
        if tokens.at(start) == self.boundary { 0 } else { self.context - self.stride }
    }

    /// What a teacher is asked, and of each token the number of the distribution that follows it in the window that judges
    /// what does: a number for each different beginning of a window. Where no word is longer than a window, these are the
    /// different beginnings of words.
    pub fn lessons(&self) -> (Lessons, Vec<u32>) {
        let [longest, ..] = self.most_inputs();
        let (all, mut count) = (self.split.tokens_with_start().to_vec(), 0);
        let mut numbers = vec![0; all.len()];
        let judged_of = |from| self.judged_of(self.split.tokens_with_start(), from);
        // The number after each input of the last window, if that was judged there.
        let (mut path, mut before): (Vec<Option<u32>>, &[u32]) = (vec![None; longest], &[]);
        for Range { start, end } in (0..self.len()).map(|i| self.inputs(i)) {
            let (inputs, judged) = (&all[start..end], judged_of(start));
            let same = before.iter().zip(inputs).take_while(|(a, b)| a == b).count();
            path[same..inputs.len()].fill(None);
            for (number, place) in path[judged..inputs.len()].iter_mut().zip(start + judged..) {
                numbers[place] = *number.get_or_insert_with(|| {
                    count += 1;
                    count - 1
                });
            }
            before = inputs;
        }
        let (first, tokens) = (self.boundary, &all[1..]);
        let mut of_targets = Vec::with_capacity(tokens.len());
        let mut sequences: Vec<Range<usize>> = Vec::with_capacity(self.words());
        for word in 0..self.words() {
            let start = of_targets.len();
            for inputs in self.of_word(word).iter().map(|&i| self.inputs(i as usize)) {
                of_targets.extend_from_slice(&numbers[inputs.start + judged_of(inputs.start)..inputs.end]);
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
        self.split.tokens().len()
    }

    /// The most windows of a word.
    pub fn most_windows(&self) -> usize {
        (0..self.words()).map(|word| self.of_word(word).len()).max().unwrap_or(0)
    }

    /// The most inputs of a window, of the windows of a word together, and of all.
    pub fn most_inputs(&self) -> [usize; 3] {
        let inputs = |i: usize| self.inputs(i).len();
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
