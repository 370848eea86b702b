//! What most programs need: `use charloom::prelude::*`.
//!
//! ```
//! use charloom::prelude::*;
//!
//! let model = ModelConfig::of("ngram").with("order", 3);
//! let mut config = Config { model, ..Config::default() };
//! let data = load_data(&mut config)?;
//! let (model, _) = models::count(&config, &data)?;
//! let words: Vec<Sample> = Sampler::new(&*model, &data.vocab, SampleOptions::default(), None)?.collect::<Result<_>>()?;
//! assert_eq!(words.len(), 20);
//! # Ok::<(), charloom::Error>(())
//! ```

pub use crate::config::{Config, ModelConfig};
pub use crate::data::{Data, Vocab};
pub use crate::error::{Error, Result};
pub use crate::evaluation::{Evaluation, evaluate, score};
pub use crate::files::Checkpoint;
pub use crate::models::{self, LanguageModel};
pub use crate::prepare::{load_data, read_config};
pub use crate::sample::{KnownWords, Sample, SampleOptions, Sampler};
pub use crate::train::Trainer;
