use crate::config::RandomStream;
use crate::data::{Mode, Vocab};
use crate::error::{Error, Result};

/// What to sample, and how.
///
/// ```
/// use charloom::prelude::*;
///
/// let model = ModelConfig::of("ngram").with("order", 3);
/// let mut config = Config { model, ..Config::default() };
/// let data = load_data(&mut config)?;
/// let (model, _) = models::count(&config, &data)?;
///
/// let options = SampleOptions { n: 5, prefix: "ma".to_owned(), max_length: 8, ..SampleOptions::default() };
/// for word in Sampler::new(&*model, &data.vocab, options, None)? {
///     let word = word?;
///     assert!(word.text.starts_with("ma") && word.tokens.len() <= 8);
/// }
/// // The likeliest character each time: nothing is drawn, and all are alike.
/// let options = SampleOptions { n: 2, temperature: 0.0, ..SampleOptions::default() };
/// let words = Sampler::new(&*model, &data.vocab, options, None)?.collect::<Result<Vec<_>>>()?;
/// assert_eq!(words[0].text, words[1].text);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SampleOptions {
    /// How many words or texts.
    pub n: u64,
    /// The generators' seed.
    pub seed: u64,
    /// The divisor of logits: below 1 likelier, above 1 stranger; 0 takes the likeliest and draws nothing.
    pub temperature: f64,
    /// Only the k likeliest tokens; 0: all.
    pub top_k: usize,
    /// Only the likeliest tokens that together have this probability, after `top_k`; 1: all.
    pub top_p: f64,
    /// The characters that each word or text begins with.
    pub prefix: String,
    /// The fewest characters of a word: until then the boundary is not drawn. 0 for a text, which never ends early.
    pub min_length: usize,
    /// The most characters, prefix included; a word that reaches it is cut off, a text ends there.
    pub max_length: usize,
    /// Leave out words of the training split.
    pub novel: bool,
    /// Leave out words that were sampled before.
    pub unique: bool,
    /// Where the random numbers come from.
    pub stream: RandomStream,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            n: 20,
            seed: 2_147_483_647,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            prefix: String::new(),
            min_length: 0,
            max_length: 500,
            novel: false,
            unique: false,
            stream: RandomStream::Words,
        }
    }
}

impl SampleOptions {
    /// Checks the options and returns the prefix's tokens; `has_known` says whether there are words to
    /// compare with.
    pub(super) fn check(&self, vocab: &Vocab, has_known: bool) -> Result<Vec<u32>> {
        let &Self { temperature, top_p, min_length, max_length, .. } = self;
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::setting("temperature", format!("{temperature}: must be a number from 0 up")));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::setting("top_p", format!("{top_p}: must be above 0 and at most 1")));
        }
        let prefix = vocab.encode(&self.prefix);
        let prefix = prefix.map_err(|e| Error::setting("prefix", format!("{:?}: {e}", self.prefix)))?;
        if max_length < min_length {
            return Err(Error::setting(
                "max_length",
                format!("{max_length}: must be at least ``min_length``, {min_length}"),
            ));
        }
        if max_length == 0 {
            return Err(Error::out_of_range("max_length", max_length, "at least 1"));
        }
        if max_length <= prefix.len() {
            let length = prefix.len();
            let message = format!(
                "has {length} characters, and ``max_length`` is {max_length}: give more than {length}"
            );
            return Err(Error::setting("prefix", message));
        }
        if vocab.mode() == Mode::Text && min_length > 0 {
            let message = format!("{min_length} is for words; a text always has ``max_length`` characters");
            return Err(Error::setting("min_length", message));
        }
        if vocab.mode() == Mode::Text && (self.novel || self.unique) {
            return Err(Error::usage(
                "``novel`` and ``unique`` are for words, and this model writes running text",
            ));
        }
        if self.novel && !has_known {
            return Err(Error::setting(
                "novel",
                "needs the training data to compare with; name it with ``data``",
            ));
        }
        Ok(prefix)
    }
}
