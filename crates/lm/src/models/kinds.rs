//! The kinds of models: one list, to which a program can add its own.

use std::sync::{PoisonError, RwLock};

use charloom_nn::{Init, Scope};
use charloom_tensor::kernels::Cell;

use super::ngram::NGramKind;
use super::recurrent::RecurrentKind;
use super::{LanguageModel, Net, Reach, bow, linear, mixture, mlp, transformer, wavenet};
use crate::choices::nearest;
use crate::config::{Config, ModelConfig, Setting};
use crate::data::{Data, Vocab};
use crate::files::NamedTensor;
use crate::{Error, Result};

/// A kind of model: what `[model] kind` and `--model` name.
pub trait Kind: Send + Sync {
    /// Its name in a configuration and on the command line.
    fn name(&self) -> &'static str;

    /// Its settings.
    fn settings(&self) -> &'static [Setting];

    /// Checks a configuration of this kind and fills in its defaults; returns how far back the model looks.
    ///
    /// # Errors
    /// A setting that the kind does not have, or one out of range.
    fn fill(&self, model: &mut ModelConfig) -> Result<Reach>;

    /// Fills in the settings whose defaults depend on the data, such as a context for its longest word;
    /// called after [`Kind::fill`].
    ///
    /// # Errors
    /// As [`Kind::fill`].
    fn fill_from_data(&self, _model: &mut ModelConfig, _data: &Data) -> Result<()> {
        Ok(())
    }

    /// How it learns.
    fn learning(&self) -> Learning<'_>;
}

/// How a kind of model learns.
pub enum Learning<'k> {
    /// In steps, by the gradients of its loss.
    ByGradients(&'k dyn NeuralKind),
    /// In one pass.
    ByCounting(&'k dyn CountingKind),
    /// Not itself: it combines models that are trained or counted already.
    OfMembers,
}

/// A kind of model that has parameters.
pub trait NeuralKind {
    /// How its parameters are drawn.
    ///
    /// # Errors
    /// As [`Kind::fill`].
    fn init(&self, model: &ModelConfig) -> Result<Init>;

    /// Declares its layers in `scope`, which draws the parameters or only plans their shapes. `seed` is the
    /// seed of dropout's masks.
    ///
    /// # Errors
    /// As [`Kind::fill`].
    fn net(&self, model: &ModelConfig, vocab: usize, seed: u64, scope: &mut Scope<'_>) -> Result<Net>;
}

/// A kind of model that counts.
pub trait CountingKind {
    /// Counts the training split; returns the model and the tensors from which [`CountingKind::open`]
    /// rebuilds it.
    ///
    /// # Errors
    /// There is nothing to count.
    fn count(&self, model: &ModelConfig, data: &Data) -> Result<(Box<dyn LanguageModel>, Vec<NamedTensor>)>;

    /// The model of these tensors.
    ///
    /// # Errors
    /// Tensors that do not fit the configuration and the vocabulary.
    fn open(
        &self,
        model: &ModelConfig,
        vocab: &Vocab,
        tensors: &[NamedTensor],
    ) -> Result<Box<dyn LanguageModel>>;
}

/// The kinds added by [`register`].
static KINDS: RwLock<Vec<&'static dyn Kind>> = RwLock::new(Vec::new());

/// The kinds that charloom has.
const OWN: &[&dyn Kind] = &[
    &mlp::MlpKind,
    &linear::LinearKind,
    &NGramKind,
    &RecurrentKind(Cell::Rnn),
    &RecurrentKind(Cell::Gru),
    &RecurrentKind(Cell::Lstm),
    &wavenet::WaveNetKind,
    &bow::BowKind,
    &transformer::TransformerKind,
    &mixture::MixtureKind,
];

/// Adds a kind, for the rest of the program's life.
///
/// # Errors
/// There is one of this name.
///
/// A model to which all characters are equally likely:
///
/// ```
/// use charloom::config::Setting;
/// use charloom::data::Vocab;
/// use charloom::files::NamedTensor;
/// use charloom::models::{CountingKind, Distributions, Kind, Learning, Reach, Reader, State, register};
/// use charloom::prelude::*;
///
/// struct Uniform(usize);
///
/// impl LanguageModel for Uniform {
///     fn vocab_size(&self) -> usize {
///         self.0
///     }
///     fn reach(&self) -> Reach {
///         Reach::Window(0)
///     }
///     fn reader(&self) -> Box<dyn Reader + '_> {
///         Box::new(Uniform(self.0))
///     }
/// }
///
/// impl Reader for Uniform {
///     fn start(&mut self, n: usize, _: u32) -> State {
///         State { rows: n, ..State::default() }
///     }
///     fn read(&mut self, _: &mut State, _: &[u32]) {}
///     fn log_probs(&mut self, _: &State, out: &mut [f32]) {
///         out.fill(-(self.0 as f32).ln());
///     }
/// }
///
/// struct UniformKind;
///
/// impl Kind for UniformKind {
///     fn name(&self) -> &'static str {
///         "uniform"
///     }
///     fn settings(&self) -> &'static [Setting] {
///         &[]
///     }
///     fn fill(&self, _: &mut ModelConfig) -> Result<Reach> {
///         Ok(Reach::Window(0))
///     }
///     fn learning(&self) -> Learning<'_> {
///         Learning::ByCounting(self)
///     }
/// }
///
/// impl CountingKind for UniformKind {
///     fn count(&self, _: &ModelConfig, data: &Data) -> Result<(Box<dyn LanguageModel>, Vec<NamedTensor>)> {
///         Ok((Box::new(Uniform(data.vocab.len())), Vec::new()))
///     }
///     fn open(&self, _: &ModelConfig, vocab: &Vocab, _: &[NamedTensor]) -> Result<Box<dyn LanguageModel>> {
///         Ok(Box::new(Uniform(vocab.len())))
///     }
/// }
///
/// register(&UniformKind)?;
/// let mut config = Config { model: ModelConfig::of("uniform"), ..Config::default() };
/// let data = load_data(&mut config)?;
/// let (model, _) = models::count(&config, &data)?;
/// let val = evaluate(&*model, &data.splits.val)?.unwrap();
/// assert!((val.loss - 27f64.ln()).abs() < 1e-6);
/// # Ok::<(), Error>(())
/// ```
///
/// A kind of model with layers returns [`Learning::ByGradients`]; `examples/15_own_model.rs` has one.
pub fn register(kind: &'static dyn Kind) -> Result<()> {
    if find(kind.name()).is_some() {
        return Err(Error::usage(format!("there is a model of kind {:?} already", kind.name())));
    }
    KINDS.write().unwrap_or_else(PoisonError::into_inner).push(kind);
    Ok(())
}

/// The kind of a model's configuration.
///
/// # Errors
/// There is none of that name.
pub fn kind(model: &ModelConfig) -> Result<&'static dyn Kind> {
    let name = &model.kind;
    find(name).ok_or_else(|| {
        let names: Vec<&str> = all().map(|kind| kind.name()).collect();
        let hint = match nearest(name, &names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("it is one of {}", names.join(", ")),
        };
        Error::setting("model", format!("{name:?} is unknown; {hint}"))
    })
}

/// Every kind, charloom's own first.
pub fn all() -> impl Iterator<Item = &'static dyn Kind> {
    let added = KINDS.read().unwrap_or_else(PoisonError::into_inner).clone();
    OWN.iter().copied().chain(added)
}

fn find(name: &str) -> Option<&'static dyn Kind> {
    all().find(|kind| kind.name() == name)
}

/// Checks a model's settings and fills in its defaults; returns how far back the model looks.
///
/// # Errors
/// There is no such kind; a setting that it does not have, or one out of range.
pub fn fill(model: &mut ModelConfig) -> Result<Reach> {
    let kind = kind(model)?;
    let has = |kind: &dyn Kind, key: &str| kind.settings().iter().any(|setting| setting.key == key);
    let mut known = all().flat_map(|other| other.settings());
    if let Some(Setting { key, .. }) = known.find(|s| model.get(s.key).is_some() && !has(kind, s.key)) {
        let others: Vec<&str> = all().filter(|other| has(*other, key)).map(|other| other.name()).collect();
        let (name, others) = (kind.name(), others.join(", "));
        let message = format!(": a model of kind {name:?} has no setting {key:?}; one of kind {others} has");
        return Err(Error::setting(key, message));
    }
    kind.fill(model)
}

/// Fills in what depends on the data: settings of the model, and the feed.
///
/// # Errors
/// As [`fill`]; a feed that is not for the model or the data.
pub fn fill_from_data(config: &mut Config, data: &Data) -> Result<()> {
    kind(&config.model)?.fill_from_data(&mut config.model, data)?;
    super::resolve_feed(config, data)
}

/// Checks a model's settings.
///
/// # Errors
/// As [`fill`].
pub fn check(model: &ModelConfig) -> Result<Reach> {
    fill(&mut model.clone())
}

/// T, the number of characters that a configuration's model looks at; 0 if it looks at all of them.
///
/// # Errors
/// As [`fill`].
pub fn context(model: &ModelConfig) -> Result<usize> {
    Ok(match check(model)? {
        Reach::Window(context) | Reach::AtMost(context) => context,
        Reach::Unbounded => 0,
    })
}
