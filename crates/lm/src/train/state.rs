//! Saves a training as a checkpoint, and resumes it.

use std::path::Path;

use charloom_tensor::Entry;
use charloom_tensor::rng::GeneratorState;

use super::Trainer;
use crate::data::Data;
use crate::files::NamedTensor;
use crate::models::Neural;
use crate::{Checkpoint, Error, Result};

/// Prefix of the weights that training continues from, in the state of a checkpoint whose own are their
/// average.
const RAW: &str = "raw.";

/// In the state of a checkpoint whose evaluation was interrupted: resuming makes it.
const OWED: &str = "evaluation.owed";

/// The best evaluation so far, the number of evaluations since, and whether one was begun and did not end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EvaluationState {
    /// Loss and step.
    pub best: Option<(f64, u64)>,
    /// Evaluations since.
    pub waited: u64,
    /// Whether the evaluation of this step was begun and did not end.
    pub owed: bool,
}

impl Trainer {
    /// The model, and all that the training needs to continue bit for bit.
    ///
    /// # Errors
    /// Parameters that are not finite.
    pub fn checkpoint(&mut self) -> Result<Checkpoint> {
        let mut checkpoint = self.weights()?;
        let GeneratorState { words, position, next_normal } = self.generator.state();
        let list = |name: &str, data: Vec<f64>| NamedTensor::f64(name, &[data.len()], data);
        checkpoint.state.extend([
            NamedTensor::u32("generator.words", &[words.len()], words),
            NamedTensor::u32("generator.position", &[1], vec![position]),
            list("generator.next_normal", next_normal.into_iter().collect()),
            list("lr.factor", vec![self.lr_factor]),
            list("best.loss", self.evaluations.best.iter().map(|best| best.0).collect()),
            NamedTensor::u64("best.step", &[1], vec![self.evaluations.best.map_or(0, |best| best.1)]),
            NamedTensor::u64("best.waited", &[1], vec![self.evaluations.waited]),
        ]);
        checkpoint.state.extend(self.evaluations.owed.then(|| NamedTensor::u8(OWED, &[0], Vec::new())));
        checkpoint.state.extend(self.feed.saved());
        let moments = self.optimizer.state(&self.model.params).into_iter();
        checkpoint.state.extend(moments.map(|t| NamedTensor::f32(t.name, &t.shape, t.data)));
        Ok(checkpoint)
    }

    /// The model alone. If an average of the weights is kept, that is the model, and the state has the
    /// weights that training continues from.
    ///
    /// # Errors
    /// As [`Trainer::checkpoint`].
    pub fn weights(&mut self) -> Result<Checkpoint> {
        let tensors = self.evaluated_model().tensors();
        let params = &self.model.params;
        let raw = |entry: &Entry| {
            NamedTensor::f32(format!("{RAW}{}", entry.name), entry.shape.dims(), entry.read(params.values()))
        };
        let state: Vec<NamedTensor> = match self.averaged {
            Some(_) => params.trained().map(raw).collect(),
            None => Vec::new(),
        };
        let finite = |t: &NamedTensor| t.as_f32().is_some_and(|data| data.iter().all(|x| x.is_finite()));
        if let Some(broken) = tensors.iter().chain(&state).find(|t| !finite(t)) {
            return Err(self.diverged(&format!("not all numbers in {} are finite", broken.name)));
        }
        let (config, vocab) = (self.config.clone(), self.vocab.clone());
        Ok(Checkpoint { config, vocab, step: self.step, metrics_bytes: 0, tensors, state })
    }

    /// Continues the training of a checkpoint that [`Trainer::checkpoint`] made; `path` is for messages.
    ///
    /// # Errors
    /// Other data than before; weights or a state that do not fit.
    pub fn resume(checkpoint: &Checkpoint, data: &Data, path: &Path) -> Result<Self> {
        if checkpoint.vocab != data.vocab {
            let how = checkpoint.vocab.difference(&data.vocab);
            let message = format!(
                "was trained on other characters than the data has now ({how}); give it the same data"
            );
            return Err(Error::model(path, message));
        }
        Neural::check(checkpoint, path)?;
        let mut trainer = Self::begin(&checkpoint.config, data, |_, _, _| Ok(Vec::new()))?;
        trainer.model.load(checkpoint, path)?;
        trainer.restore(checkpoint).map_err(|message| {
            Error::model(path, format!("{message}; resume from a run's last.safetensors"))
        })?;
        Ok(trainer)
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> std::result::Result<(), String> {
        let state = |name: &str| checkpoint.state(name).ok_or_else(|| format!("the state has no {name}"));
        let one = |name: &str| match state(name)?.as_u64() {
            Some(&[number]) => Ok(number),
            _ => Err(format!("{name} is not one whole number")),
        };
        let at_most_one = |name: &str| match state(name)?.as_f64() {
            Some([]) => Ok(None),
            Some(&[number]) => Ok(Some(number)),
            _ => Err(format!("{name} is not at most one number")),
        };
        self.generator = checkpoint.generator()?;
        self.step = checkpoint.step;
        let step = one("best.step")?;
        self.evaluations.best = at_most_one("best.loss")?.map(|loss| (loss, step));
        self.evaluations.waited = one("best.waited")?;
        self.evaluations.owed = checkpoint.state(OWED).is_some();
        self.lr_factor = at_most_one("lr.factor")?.ok_or("lr.factor is not a number")?;
        self.feed.restore(&|name| checkpoint.state(name))?;
        let find = |name: &str| checkpoint.state(name).and_then(NamedTensor::as_f32);
        self.optimizer.load(&self.model.params, self.step, find).map_err(|error| error.to_string())?;
        if self.averaged.is_some() {
            self.optimizer.set_average(&self.model.params);
            for entry in self.model.params.trained().cloned().collect::<Vec<_>>() {
                let name = format!("{RAW}{}", entry.name);
                let data = find(&name).filter(|data| data.len() == entry.shape.len());
                let data =
                    data.ok_or_else(|| format!("the state has no {name} of size {:?}", entry.shape))?;
                entry.write(data, self.model.params.values_mut());
            }
        }
        Ok(())
    }
}
