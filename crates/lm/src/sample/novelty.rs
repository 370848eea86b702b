use serde::Serialize;

use crate::data::{Splits, WordSet};

/// Whether a sampled word is new, or in which split it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Novelty {
    /// In no split.
    New,
    /// In the training split.
    InTrain,
    /// In the validation split, and not in training.
    InVal,
    /// In the test split only.
    InTest,
}

impl std::fmt::Display for Novelty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::InTrain => "in train",
            Self::InVal => "in validation",
            Self::InTest => "in test",
        })
    }
}

/// The words of the splits, with which sampled words are compared.
///
/// ```
/// use charloom::sample::Novelty;
/// use charloom::prelude::*;
///
/// let model = ModelConfig::of("ngram").with("order", 3);
/// let mut config = Config { model, ..Config::default() };
/// let data = load_data(&mut config)?;
/// let (model, _) = models::count(&config, &data)?;
///
/// let known = KnownWords::of(&data.splits);
/// let options = SampleOptions { n: 10, novel: true, ..SampleOptions::default() };
/// for word in Sampler::new(&*model, &data.vocab, options, Some(&known))? {
///     assert_ne!(word?.novelty, Some(Novelty::InTrain));
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KnownWords {
    parts: [(WordSet, Novelty); 3],
}

impl KnownWords {
    /// The words of these splits; none of a text.
    #[must_use]
    pub fn of(splits: &Splits) -> Self {
        let parts = [
            (&splits.train, Novelty::InTrain),
            (&splits.val, Novelty::InVal),
            (&splits.test, Novelty::InTest),
        ];
        Self { parts: parts.map(|(split, novelty)| (WordSet::new(split), novelty)) }
    }

    pub(super) fn novelty(&self, word: &[u32]) -> Novelty {
        let part = self.parts.iter().find(|(words, _)| words.contains(word));
        part.map_or(Novelty::New, |&(_, novelty)| novelty)
    }
}
