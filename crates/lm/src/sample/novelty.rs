use std::collections::HashMap;

use serde::Serialize;

use crate::data::Splits;

/// Whether a sampled word is one that the data has.
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

/// The words of the splits, to tell new ones by.
#[derive(Clone, Debug, Default)]
pub struct Known {
    words: HashMap<Vec<u32>, Novelty>,
}

impl Known {
    /// The words of these splits; none of a text.
    #[must_use]
    pub fn of(splits: &Splits) -> Self {
        let mut words = HashMap::new();
        let parts = [
            (&splits.test, Novelty::InTest),
            (&splits.val, Novelty::InVal),
            (&splits.train, Novelty::InTrain),
        ];
        for (split, novelty) in parts {
            words.extend(split.words().map(|word| (word.to_vec(), novelty)));
        }
        Self { words }
    }

    pub(super) fn novelty(&self, word: &[u32]) -> Novelty {
        self.words.get(word).copied().unwrap_or(Novelty::New)
    }
}
