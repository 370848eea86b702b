//! A trained model as a Python object.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use charloom::data::Data;
use charloom::evaluation::score;
use charloom::files::{NamedTensor, model_file};
use charloom::mix::{Weights, mix_models};
use charloom::models::{self, LanguageModel};
use charloom::sample::{KnownWords, MAX_MISSED_CHARACTERS, Sample, SampleOptions, Sampler, top};
use charloom::threads::{self, Pool};
use charloom::{Checkpoint, Error, Result};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::{or_raise, raise};
use crate::settings::parsed;
use crate::signals::{Listening, Signals};
use crate::text::{Text, split};

/// The number of samples or texts that are computed at a time.
const AT_ONCE: usize = 1024;

/// An array with one number for each text.
type Numbers<'py> = Bound<'py, PyArray1<f64>>;

/// A model and its checkpoint. It never changes, so threads can share it.
#[pyclass(frozen, module = "charloom._charloom")]
pub struct Model {
    pub checkpoint: Checkpoint,
    pub model: Box<dyn LanguageModel>,
    /// Its training data, if it was trained here or its data has been read again.
    data: OnceLock<Data>,
    /// The run folder or file that it was read from, if there is one.
    origin: Option<PathBuf>,
    known: OnceLock<KnownWords>,
}

impl Model {
    /// The model of a checkpoint.
    pub fn of(checkpoint: Checkpoint) -> Result<Self> {
        let model = models::open(&checkpoint, Path::new("the model"))?;
        Ok(Self { checkpoint, model, data: OnceLock::new(), origin: None, known: OnceLock::new() })
    }

    /// The model of a run folder or a model file.
    pub fn read(path: &Path) -> Result<Self> {
        let model = Self::of(Checkpoint::read(&model_file(path)?)?)?;
        Ok(Self { origin: Some(path.to_path_buf()), ..model })
    }

    /// The same model with its training data.
    pub fn with_data(self, data: Option<Data>) -> Self {
        Self { data: data.map_or_else(OnceLock::new, OnceLock::from), ..self }
    }

    /// The model with readers that check for signals.
    fn listening<'m>(&'m self, signals: &'m Signals) -> Listening<'m> {
        Listening { model: &*self.model, signals }
    }

    /// Its training data; that of a loaded run is read from its files when first needed.
    pub fn data(&self) -> Result<&Data> {
        if let Some(data) = self.data.get() {
            return Ok(data);
        }
        let config = &self.checkpoint.config.data;
        let is_in_memory = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        let Some(origin) =
            self.origin.as_ref().filter(|_| !is_in_memory(&config.path) && !is_in_memory(&config.val))
        else {
            let message =
                "the data is not kept with a model; give the text, or fit the model in this session";
            return Err(Error::usage(message));
        };
        let vocab = Some(self.checkpoint.vocab.clone());
        let data = charloom::reload_data(config, vocab, origin, None).map_err(|error| {
            Error::usage(format!(
                "what the model was trained on cannot be read again; give the text: {error}"
            ))
        })?;
        Ok(self.data.get_or_init(|| data))
    }
}

#[pymethods]
impl Model {
    /// Reads a run folder or a model file.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        or_raise(py, py.detach(|| Self::read(&path)))
    }

    /// The model of a model file's bytes.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let made = py.detach(|| Self::of(Checkpoint::from_bytes(bytes, Path::new("these bytes"))?));
        or_raise(py, made)
    }

    /// The bytes of its model file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.checkpoint.to_bytes());
        Ok(PyBytes::new(py, &or_raise(py, bytes)?))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        Ok((py.get_type::<Self>().getattr("from_bytes")?, (self.to_bytes(py)?,)))
    }

    /// Its configuration, as JSON.
    #[getter]
    fn config(&self) -> String {
        serde_json::to_string(&self.checkpoint.config).expect("a configuration is plain data")
    }

    /// The number of its parameters; None for a model that counts.
    #[getter]
    fn n_parameters(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        or_raise(py, models::parameters(&self.checkpoint.config, self.checkpoint.vocab.len()))
    }

    /// Its characters in the order of their tokens; the first one of a model of words is the boundary.
    #[getter]
    fn vocab(&self) -> Vec<char> {
        self.checkpoint.vocab.characters().to_vec()
    }

    /// Samples (fewer than `n` if no more are found), their log-probabilities, and how many were drawn.
    /// `matches`, if given, is called with each text; those for which it returns false are left out.
    #[pyo3(signature = (n, seed, temperature, top_k, top_p, prefix, min_length, max_length, novel, unique, stream, matches))]
    #[expect(clippy::too_many_arguments, reason = "called from one place in Python")]
    fn sample<'py>(
        &self,
        py: Python<'py>,
        n: u64,
        seed: u64,
        temperature: f64,
        top_k: usize,
        top_p: f64,
        prefix: String,
        min_length: usize,
        max_length: usize,
        novel: bool,
        unique: bool,
        stream: &str,
        matches: Option<Py<PyAny>>,
    ) -> PyResult<(Vec<String>, Numbers<'py>, u64)> {
        let known = if novel { Some(or_raise(py, self.data())?) } else { None };
        let known = known.map(|data| self.known.get_or_init(|| KnownWords::of(&data.splits)));
        let stream = or_raise(py, parsed("stream", stream))?;
        let options = SampleOptions {
            // With `matches` it is not known how many draws it takes.
            n: if matches.is_some() { u64::MAX } else { n },
            seed,
            temperature,
            top_k,
            top_p,
            prefix,
            min_length,
            max_length,
            novel,
            unique,
            stream,
        };
        let signals = Signals::new();
        let pool = Pool::new(threads::available());
        let model = self.listening(&signals);
        let draw = || {
            let mut sampler = Sampler::new(&model, &self.checkpoint.vocab, options, known)?;
            let (mut texts, mut log_probs, mut missed) = (Vec::new(), Vec::new(), 0);
            while (texts.len() as u64) < n && missed < MAX_MISSED_CHARACTERS && !signals.should_stop() {
                let mut some = sampler.by_ref().take(AT_ONCE).collect::<Result<Vec<Sample>>>()?;
                if some.is_empty() {
                    break;
                }
                if let Some(matches) = &matches {
                    missed += some.iter().map(Sample::drawn).sum::<u64>();
                    some = matching(some, matches, &signals);
                    missed = if some.is_empty() { missed } else { 0 };
                }
                for sample in some.into_iter().take((n - texts.len() as u64) as usize) {
                    texts.push(sample.text);
                    log_probs.push(sample.log_prob);
                }
            }
            Ok((texts, log_probs, sampler.tried()))
        };
        let drawn = py.detach(|| pool.enter(false, || signals.run(draw)));
        let (texts, log_probs, tried) = signals.or_raise(py, drawn)?;
        Ok((texts, PyArray1::from_vec(py, log_probs), tried))
    }

    /// The likeliest words, found exactly, and their log-probabilities.
    fn top<'py>(
        &self,
        py: Python<'py>,
        n: usize,
        prefix: &str,
        max_length: usize,
    ) -> PyResult<(Vec<String>, Numbers<'py>)> {
        let signals = Signals::new();
        let pool = Pool::new(threads::available());
        let model = self.listening(&signals);
        let find = || top(&model, &self.checkpoint.vocab, n, prefix, max_length, &mut || signals.check());
        let found = py.detach(|| pool.enter(false, || signals.run(find)));
        let found = signals.or_raise(py, found)?;
        let log_probs = found.iter().map(|word| word.log_prob).collect();
        Ok((found.into_iter().map(|word| word.text).collect(), PyArray1::from_vec(py, log_probs)))
    }

    /// Each text's log-probability (with the boundary that ends a word) and mean loss per character; -inf and
    /// inf for a text with an unknown character.
    fn score<'py>(&self, py: Python<'py>, texts: Vec<String>) -> PyResult<(Numbers<'py>, Numbers<'py>)> {
        let (mut log_probs, mut losses) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
        let (signals, pool) = (Signals::new(), Pool::new(threads::available()));
        let model = self.listening(&signals);
        let judge = || {
            for scored in texts.chunks(AT_ONCE).flat_map(|some| score(&model, &self.checkpoint.vocab, some)) {
                let (log_prob, loss) =
                    scored.map_or((f64::NEG_INFINITY, f64::INFINITY), |score| (score.log_prob, score.loss));
                log_probs.push(log_prob);
                losses.push(loss);
            }
            Ok(())
        };
        let judged = py.detach(|| pool.enter(false, || signals.run(judge)));
        signals.or_raise(py, judged)?;
        Ok((PyArray1::from_vec(py, log_probs), PyArray1::from_vec(py, losses)))
    }

    /// Each character of a text (a word's boundary last) and its log-probability.
    fn surprise(&self, py: Python<'_>, text: &str) -> PyResult<Vec<(char, f64)>> {
        let signals = Signals::new();
        let model = self.listening(&signals);
        let judge = || {
            let scored = score(&model, &self.checkpoint.vocab, &[text]).pop();
            scored.expect("one text, one score").map_err(Error::from)
        };
        let scored = py.detach(|| signals.run(judge));
        let characters = signals.or_raise(py, scored)?.characters;
        Ok(characters.into_iter().map(|c| (c.character, c.log_prob)).collect())
    }

    /// The probability of each next character after each of these beginnings.
    ///
    /// # Shapes
    /// (n, V)
    fn predict_proba<'py>(
        &self,
        py: Python<'py>,
        beginnings: Vec<String>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let vocab = &self.checkpoint.vocab;
        let mut rows = Vec::with_capacity(beginnings.len() * vocab.len());
        let signals = Signals::new();
        let model = self.listening(&signals);
        let read = || {
            let mut reader = model.reader();
            let mut log_probs = vec![0.0; vocab.len()];
            for beginning in &beginnings {
                let tokens = vocab.encode(beginning)?;
                let mut state = reader.start(1, vocab.start());
                tokens.iter().for_each(|&token| reader.read(&mut state, &[token]));
                reader.log_probs(&state, &mut log_probs);
                rows.extend(log_probs.iter().map(|&log_prob| f64::from(log_prob).exp()));
            }
            Ok(())
        };
        let read = py.detach(|| signals.run(read));
        signals.or_raise(py, read)?;
        PyArray1::from_vec(py, rows).reshape([beginnings.len(), vocab.len()])
    }

    /// Copies of its tensors, by PyTorch's names.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tensors = PyDict::new(py);
        for tensor in &self.checkpoint.tensors {
            if let Some(data) = tensor.as_f32() {
                let array = PyArray1::from_slice(py, data).reshape(tensor.shape.clone())?;
                tensors.set_item(&tensor.name, array)?;
            }
        }
        Ok(tensors)
    }

    /// The same model with the tensors of `state`.
    fn with_state(&self, py: Python<'_>, state: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut checkpoint = self.checkpoint.clone();
        if checkpoint.tensors.iter().any(|tensor| tensor.as_f32().is_none()) {
            let message =
                "a model that counts has no weights to take up; save() and load() keep what it has counted";
            return Err(raise(py, &Error::usage(message)));
        }
        for tensor in &mut checkpoint.tensors {
            let Some(given) = state.get_item(&tensor.name)? else {
                let message = format!("{} is missing from the state", tensor.name);
                return Err(raise(py, &Error::usage(message)));
            };
            let given: PyReadonlyArrayDyn<'_, f32> = given.extract()?;
            if given.shape() != tensor.shape {
                let (name, wanted, is) = (&tensor.name, &tensor.shape, given.shape());
                return Err(raise(py, &Error::usage(format!("{name} is {wanted:?}, and {is:?} was given"))));
            }
            let data: Vec<f32> = given.as_array().iter().copied().collect();
            if let Some(broken) = data.iter().position(|x| !x.is_finite()) {
                let message = format!("{}: number {broken} is not finite", tensor.name);
                return Err(raise(py, &Error::usage(message)));
            }
            *tensor = NamedTensor::f32(tensor.name.clone(), &tensor.shape, data);
        }
        let known: Vec<&str> = self.checkpoint.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        for name in state.keys() {
            let name: String = name.extract()?;
            if !known.contains(&name.as_str()) {
                return Err(raise(py, &Error::usage(format!("this model has no {name}"))));
            }
        }
        Ok(or_raise(py, py.detach(|| Self::of(checkpoint)))?.with_data(self.data.get().cloned()))
    }
}

/// The samples for whose text Python's function `matches` returns something true.
fn matching(samples: Vec<Sample>, matches: &Py<PyAny>, signals: &Signals) -> Vec<Sample> {
    Python::attach(|py| {
        let is_wanted = |sample: &Sample| matches.call1(py, (&sample.text,))?.is_truthy(py);
        let wanted = |sample: &Sample| {
            is_wanted(sample).unwrap_or_else(|error| {
                signals.note(error);
                false
            })
        };
        samples.into_iter().filter(wanted).collect()
    })
}

/// Mixes models with given weights, with weights fitted to a text (else to the first model's own validation
/// split), or as a product; returns the weights too.
#[pyfunction]
pub fn mix(
    py: Python<'_>,
    models: Vec<Py<Model>>,
    val: Option<Text>,
    weights: Option<Vec<f64>>,
    product: bool,
    adapt: Option<f64>,
) -> PyResult<(Model, Vec<f64>)> {
    let weights = match weights {
        Some(weights) => Weights::Given(weights),
        None if product => Weights::Powers { adapt },
        None => Weights::Fitted,
    };
    let signals = Signals::new();
    let mixed = py.detach(|| {
        let first = models.first().ok_or_else(|| Error::usage("two models or more are needed to mix"))?.get();
        let split = match &val {
            Some(text) => split(text, &first.checkpoint.vocab, &first.checkpoint.config.data)?,
            None => first.data()?.splits.val.clone(),
        };
        let checkpoints = models.iter().map(|model| model.get().checkpoint.clone()).collect();
        let (checkpoint, weights) = mix_models(checkpoints, &weights, &split, &mut |_| signals.check())?;
        Ok((Model::of(checkpoint)?.with_data(first.data.get().cloned()), weights))
    });
    signals.or_raise(py, mixed)
}
