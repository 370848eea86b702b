//! Evaluates a model on a text, or on a split of its own data.

use charloom::data::Split;
use charloom::evaluation::{Unknown, evaluate_adapting, evaluate_with_progress, with_floor};
use charloom::models::{Adapt, AdaptRule, LanguageModel};
use charloom::threads::{self, Pool};
use charloom::{Error, Result, models};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::model::Model;
use crate::settings::parsed;
use crate::signals::{Listening, Signals};
use crate::text::{Text, named_split, split_of_known};

/// The options of an evaluation.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct How {
    split: Option<String>,
    adapt: Option<f64>,
    adapt_segment: Option<usize>,
    adapt_rule: Option<String>,
    adapt_decay: Option<f64>,
    stride: Option<usize>,
    unknown: Option<String>,
}

impl How {
    /// Refuses options that have no effect.
    fn check(&self, has_text: bool) -> Result<()> {
        let no_effect = |key: &str, why: &str| Err(Error::setting(key, format!("has no effect: {why}")));
        let of_adapting = [
            ("adapt_segment", self.adapt_segment.is_some()),
            ("adapt_rule", self.adapt_rule.is_some()),
            ("adapt_decay", self.adapt_decay.is_some()),
        ];
        match of_adapting.into_iter().find(|(_, is_given)| *is_given && self.adapt.is_none()) {
            Some((key, _)) => no_effect(key, "it is for ``adapt``, a learning rate"),
            None if has_text && self.split.is_some() => {
                no_effect("split", "a text is given, which is judged as a whole")
            }
            None if !has_text && self.unknown.is_some() => {
                no_effect("unknown", "a model knows every character of its own data; give a text")
            }
            None => Ok(()),
        }
    }

    fn adapt<'m>(&self, model: &'m Model) -> Result<Option<Adapt<'m>>> {
        let Some(lr) = self.adapt else { return Ok(None) };
        let rule =
            self.adapt_rule.as_deref().map(|rule| parsed::<AdaptRule>("adapt_rule", rule)).transpose()?;
        let train = || model.data().map(|data| &data.splits.train);
        Adapt::with(lr, self.adapt_segment, rule, self.adapt_decay, train).map(Some)
    }

    /// The model with another stride of its windows, if one is given.
    fn strided(&self, model: &Model) -> Result<Option<Box<dyn LanguageModel>>> {
        let Some(stride) = self.stride else { return Ok(None) };
        let mut checkpoint = model.checkpoint.clone();
        checkpoint.config.model.set("stride", stride);
        models::check(&checkpoint.config.model)?;
        models::open(&checkpoint, "the model".as_ref()).map(Some)
    }

    /// The split to evaluate, and the lines with unknown characters that are evaluated with a floor.
    fn judged(&self, model: &Model, text: Option<&Text>) -> Result<(Split, Vec<String>)> {
        let Some(text) = text else {
            let split = self.split.as_deref().unwrap_or("test");
            return Ok((named_split(model.data()?, split)?.clone(), Vec::new()));
        };
        let unknown = self.unknown.as_deref().map_or(Ok(Unknown::Refuse), |word| parsed("unknown", word))?;
        let checkpoint = &model.checkpoint;
        let (split, left_out) = split_of_known(text, &checkpoint.vocab, &checkpoint.config.data, unknown)?;
        Ok((split, if unknown == Unknown::Floor { left_out } else { Vec::new() }))
    }
}

/// Evaluates a text, or a split of the model's own data; returns loss, bits_per_char, perplexity and
/// examples.
#[pyfunction]
pub fn evaluate<'py>(
    py: Python<'py>,
    model: &Bound<'py, Model>,
    text: Option<Text>,
    how: How,
) -> PyResult<Bound<'py, PyDict>> {
    let (model, signals) = (model.get(), Signals::new());
    let evaluate = || {
        how.check(text.is_some())?;
        let (split, with_unknown) = how.judged(model, text.as_ref())?;
        let (adapt, strided) = (how.adapt(model)?, how.strided(model)?);
        let reader = strided.as_deref().unwrap_or(&*model.model);
        let mut listen = |_| signals.check();
        let evaluated = match &adapt {
            Some(adapt) => evaluate_adapting(reader, &split, adapt, &mut listen)?,
            None => evaluate_with_progress(reader, &split, &mut listen)?,
        };
        if with_unknown.is_empty() {
            return evaluated.ok_or_else(|| Error::usage("nothing in this text is judged; give more of it"));
        }
        let reader = Listening { model: reader, signals: &signals };
        Ok(with_floor(&reader, &model.checkpoint.vocab, evaluated, &with_unknown))
    };
    let pool = Pool::new(threads::available());
    let evaluated = py.detach(|| pool.enter(false, || signals.run(evaluate)));
    let evaluation = signals.or_raise(py, evaluated)?;
    let result = PyDict::new(py);
    result.set_item("loss", evaluation.loss)?;
    result.set_item("bits_per_char", evaluation.bits_per_char)?;
    result.set_item("perplexity", evaluation.perplexity)?;
    result.set_item("examples", evaluation.examples)?;
    Ok(result)
}
