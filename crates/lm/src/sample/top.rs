//! The likeliest words, exactly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Sample, SampleOptions};
use crate::data::{Mode, Vocab};
use crate::models::{LanguageModel, Reader, State};
use crate::{Error, Result};

/// How many candidates are expanded side by side.
const BATCH: usize = 256;
/// The most candidates that are kept: 16 bytes each.
const MAX_CANDIDATES: usize = 1 << 23;
/// Stands for the parent of the first candidate, which is the prefix.
const ROOT: u32 = u32::MAX;

/// The `n` likeliest words of at most `max_length` characters that begin with `prefix`, the likeliest first;
/// fewer if there are fewer. `check` is called now and then; its error ends the search.
///
/// A best-first search. A candidate is the beginning of a word and at least as likely as every word that it
/// can become. So the likeliest candidate is expanded first and, once n words are found, only those likelier
/// than the n-th word.
///
/// ```
/// use charloom::sample::top;
/// use charloom::{Config, models};
///
/// let mut config = Config::from_toml("[model]\nkind = 'ngram'", "my.toml".as_ref())?;
/// let data = charloom::load_data(&mut config)?;
/// let (model, _) = models::count(&config, &data)?;
/// let words = top(&*model, &data.vocab, 3, "ma", 20, &mut || Ok(()))?;
/// assert!(words.len() == 3 && words[0].log_prob >= words[1].log_prob);
/// # Ok::<(), charloom::Error>(())
/// ```
///
/// # Errors
/// A model of running text; a prefix that is as long as `max_length` or has unknown characters; more
/// candidates than can be kept; a probability that is not a number; an error of `check`.
pub fn top(
    model: &dyn LanguageModel,
    vocab: &Vocab,
    n: usize,
    prefix: &str,
    max_length: usize,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Sample>> {
    if vocab.mode() == Mode::Text {
        return Err(Error::usage("the likeliest are words, and this model writes running text"));
    }
    let options = SampleOptions { prefix: prefix.to_owned(), max_length, ..SampleOptions::default() };
    let prefix = options.check(vocab, false)?;
    let mut search = Search::new(model, vocab, &prefix, max_length - prefix.len());
    search.run(n, check)?;
    let mut found: Vec<Candidate> = search.found.into_iter().map(|Reverse(candidate)| candidate).collect();
    found.sort_by(|a, b| b.cmp(a));
    let word = |candidate: &Candidate| {
        let mut tokens = prefix.clone();
        push_tokens(&search.expanded, candidate.parent, &mut tokens);
        let text = vocab.decode(&tokens);
        Sample { text, tokens, log_prob: candidate.log_prob, truncated: false, novelty: None }
    };
    Ok(found.iter().map(word).collect())
}

/// An expanded candidate and a next token: another candidate or, if the token is the boundary, a word.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    /// The log-probability of all tokens after the prefix.
    log_prob: f64,
    /// The index in [`Search::expanded`] of the candidate before the token; or [`ROOT`].
    parent: u32,
    token: u32,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    /// The likelier is greater; of equals the one found first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let found = |candidate: &Self| Reverse((candidate.parent, candidate.token));
        self.log_prob.total_cmp(&other.log_prob).then_with(|| found(self).cmp(&found(other)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Appends the tokens of an expanded candidate, without those of the prefix.
fn push_tokens(expanded: &[(u32, u32)], candidate: u32, tokens: &mut Vec<u32>) {
    let first = tokens.len();
    let mut at = candidate;
    while at != ROOT {
        let (parent, token) = expanded[at as usize];
        tokens.extend((parent != ROOT).then_some(token));
        at = parent;
    }
    tokens[first..].reverse();
}

struct Search<'a> {
    reader: Box<dyn Reader + 'a>,
    /// The reader's state after the prefix.
    start: State,
    /// V
    vocab: usize,
    boundary: Option<u32>,
    /// The most characters after the prefix.
    length: usize,
    /// The parent and the token of each expanded candidate. The first is the prefix.
    expanded: Vec<(u32, u32)>,
    /// The candidates to expand, the likeliest on top.
    open: BinaryHeap<Candidate>,
    /// The likeliest words so far, the unlikeliest on top.
    found: BinaryHeap<Reverse<Candidate>>,
}

impl<'a> Search<'a> {
    fn new(model: &'a dyn LanguageModel, vocab: &Vocab, prefix: &[u32], length: usize) -> Self {
        let mut reader = model.reader();
        let mut start = reader.start(1, vocab.start());
        prefix.iter().for_each(|&token| reader.read(&mut start, &[token]));
        Self {
            reader,
            start,
            vocab: vocab.len(),
            boundary: vocab.boundary(),
            length,
            expanded: Vec::new(),
            open: BinaryHeap::from([Candidate { log_prob: 0.0, parent: ROOT, token: 0 }]),
            found: BinaryHeap::new(),
        }
    }

    fn run(&mut self, n: usize, check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let (mut batch, mut words) = (Vec::new(), Vec::new());
        let mut log_probs = vec![0.0; BATCH * self.vocab];
        if n == 0 {
            return Ok(());
        }
        loop {
            check()?;
            batch.clear();
            words.clear();
            let threshold = self.threshold(n);
            while batch.len() < BATCH
                && self.open.peek().is_some_and(|candidate| candidate.log_prob > threshold)
            {
                let Some(candidate) = self.open.pop() else { break };
                let number = self.expanded.len() as u32;
                self.expanded.push((candidate.parent, candidate.token));
                let mut word = Vec::new();
                push_tokens(&self.expanded, number, &mut word);
                words.push(word);
                batch.push((candidate.log_prob, number));
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.next_log_probs(&words, &mut log_probs);
            for (i, &(log_prob, number)) in batch.iter().enumerate() {
                let row = &log_probs[i * self.vocab..][..self.vocab];
                let goes_on = words[i].len() < self.length;
                for (token, &of_token) in (0..).zip(row) {
                    let candidate =
                        Candidate { log_prob: log_prob + f64::from(of_token), parent: number, token };
                    self.add(candidate, goes_on, n)?;
                }
            }
        }
    }

    /// The log-probability that words and candidates must exceed: that of the n-th word, if n are found.
    fn threshold(&self, n: usize) -> f64 {
        let is_full = self.found.len() >= n;
        self.found.peek().filter(|_| is_full).map_or(f64::NEG_INFINITY, |Reverse(worst)| worst.log_prob)
    }

    fn add(&mut self, candidate: Candidate, goes_on: bool, n: usize) -> Result<()> {
        if candidate.log_prob.is_nan() {
            let message = "the model gives a probability that is not a number; it is broken";
            return Err(Error::Failed(message.to_owned()));
        }
        if candidate.log_prob <= self.threshold(n) {
            return Ok(());
        }
        if Some(candidate.token) == self.boundary {
            self.found.push(Reverse(candidate));
            if self.found.len() > n {
                self.found.pop();
            }
        } else if goes_on {
            if self.open.len().max(self.expanded.len()) >= MAX_CANDIDATES {
                return Err(Error::setting(
                    "n",
                    format!("{n}: too many words are about as likely; ask for fewer"),
                ));
            }
            self.open.push(candidate);
        }
        Ok(())
    }

    /// The log-probability of each next token after each of these words, which may differ in length.
    ///
    /// # Shapes
    /// `out`: (words, V)
    fn next_log_probs(&mut self, words: &[Vec<u32>], out: &mut [f32]) {
        let mut rows: Vec<usize> = (0..words.len()).collect();
        rows.sort_by_key(|&i| words[i].len());
        let mut state = self.start.select(&vec![0; words.len()]);
        let mut of_done = vec![0.0; words.len() * self.vocab];
        for length in 0.. {
            let done = rows.iter().take_while(|&&i| words[i].len() == length).count();
            if done > 0 {
                let finished = state.select(&(0..done).collect::<Vec<_>>());
                let of_done = &mut of_done[..done * self.vocab];
                self.reader.log_probs(&finished, of_done);
                for (&i, row) in rows.iter().zip(of_done.chunks_exact(self.vocab)) {
                    out[i * self.vocab..][..self.vocab].copy_from_slice(row);
                }
                if done == rows.len() {
                    return;
                }
                state = state.select(&(done..rows.len()).collect::<Vec<_>>());
                rows.drain(..done);
            }
            let tokens: Vec<u32> = rows.iter().map(|&i| words[i][length]).collect();
            self.reader.read(&mut state, &tokens);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Data, DataConfig};
    use crate::evaluation::score;
    use crate::sample::Sampler;
    use crate::{Config, models};

    fn ngram(config: &str, data: &str) -> (Box<dyn LanguageModel>, Data) {
        let mut config = Config::from_toml(config, "my.toml".as_ref()).unwrap();
        let path = Some(charloom_testkit::fixture_path(data));
        config.data = DataConfig { path, ..config.data };
        let data = crate::load_data(&mut config).unwrap();
        (models::count(&config, &data).unwrap().0, data)
    }

    fn found(model: &dyn LanguageModel, vocab: &Vocab, n: usize, prefix: &str, max: usize) -> Vec<Sample> {
        top(model, vocab, n, prefix, max, &mut || Ok(())).unwrap()
    }

    #[test]
    fn they_are_the_likeliest_of_all_words_in_order() {
        let (model, data) = ngram("[model]\nkind = 'ngram'\norder = 3", "data/words.txt");
        let vocab = &data.vocab;
        let letters = &vocab.characters()[1..];
        let longer = |words: &[String]| -> Vec<String> {
            words.iter().flat_map(|word| letters.iter().map(move |c| format!("{word}{c}"))).collect()
        };
        let mut all = vec![vec![String::new()]];
        for length in 0..3 {
            all.push(longer(&all[length]));
        }
        for prefix in ["", "a"] {
            let words: Vec<String> =
                all.concat().into_iter().filter(|word| word.starts_with(prefix)).collect();
            let of_prefix = score(&*model, vocab, &[prefix]).pop().unwrap().unwrap();
            let before: f64 = of_prefix.characters[..prefix.len()].iter().map(|c| c.log_prob).sum();
            let mut scored: Vec<(f64, String)> = score(&*model, vocab, &words)
                .into_iter()
                .map(|s| s.unwrap())
                .map(|s| (s.log_prob - before, s.text))
                .collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            for n in [1, 10, 500] {
                let top = found(&*model, vocab, n, prefix, 3);
                assert_eq!(top.len(), n.min(words.len()));
                for (top, scored) in top.iter().zip(&scored) {
                    assert!((top.log_prob - scored.0).abs() < 1e-5, "{top:?} {scored:?}");
                }
            }
            assert_eq!(found(&*model, vocab, 3, prefix, 3)[0].text, scored[0].1);
        }
        assert!(found(&*model, vocab, 0, "", 3).is_empty());
    }

    #[test]
    fn no_word_that_is_drawn_is_likelier_and_left_out() {
        let (model, data) = ngram("[model]\nkind = 'ngram'\norder = 4", "data/words.txt");
        let top = found(&*model, &data.vocab, 300, "", 40);
        let least = top.last().unwrap().log_prob;
        assert!(top.is_sorted_by(|a, b| a.log_prob >= b.log_prob));
        let options = SampleOptions { n: 3000, ..SampleOptions::default() };
        let drawn = Sampler::new(&*model, &data.vocab, options, None).unwrap();
        let likely: Vec<Sample> =
            drawn.map(|word| word.unwrap()).filter(|word| word.log_prob > least).collect();
        assert!(likely.len() > 100);
        for word in likely {
            assert!(top.iter().any(|other| other.text == word.text), "{word:?}");
        }
    }

    #[test]
    fn wrong_use_and_a_caller_that_has_waited_enough_end_it() {
        let (model, data) = ngram("[model]\nkind = 'ngram'", "data/words.txt");
        let said = |prefix, max, stop: bool| {
            let mut check = || if stop { Err(Error::Failed("enough".to_owned())) } else { Ok(()) };
            top(&*model, &data.vocab, 5, prefix, max, &mut check).unwrap_err().to_string()
        };
        assert!(said("\u{1F600}", 20, false).contains("``prefix``"));
        assert!(said("aaa", 3, false).contains("``max_length``"));
        assert_eq!(said("", 20, true), "enough");
        let text = Vocab::new(Mode::Text, "ab".chars());
        assert!(
            top(&*model, &text, 5, "", 9, &mut || Ok(())).unwrap_err().to_string().contains("running text")
        );
    }
}
