//! A training that starts from the weights of another run.

use std::path::Path;

use crate::config::Config;
use crate::data::Vocab;
use crate::files::{NamedTensor, model_file};
use crate::models::{self, Neural};
use crate::{Checkpoint, Error, Result};

/// Overwrites a drawn model with the weights of the run `init_from`, if one is named. Returns the characters
/// that the run does not have, whose rows stay as drawn.
///
/// # Errors
/// A run that cannot be read or that counts; weights that do not fit, all of them named.
pub(super) fn load(model: &mut Neural, config: &Config, vocab: &Vocab) -> Result<Vec<char>> {
    let Some(run) = &config.train.init_from else { return Ok(Vec::new()) };
    if !run.exists() {
        return Err(Error::model(
            run,
            "no such run; it is the one of ``init_from``, to begin with its weights",
        ));
    }
    let file = model_file(run)?;
    let from = Checkpoint::read(&file)?;
    Neural::check(&from, &file)?;
    let (here, there) = (tensors(config, vocab.len())?, tensors(&from.config, from.vocab.len())?);
    if there.is_empty() {
        return Err(Error::model(
            &file,
            "has no weights of its own to begin with, as it counts or is a mixture; name a net",
        ));
    }
    check(&here, &there, [vocab.len(), from.vocab.len()], &file)?;
    let known: Vec<Option<u32>> =
        (0..vocab.len() as u32).map(|token| counterpart(token, vocab, &from.vocab)).collect();
    for tensor in &here {
        let id = model.params.find(&tensor.name).expect("a planned tensor is made");
        let old = from.tensor(&tensor.name).and_then(NamedTensor::as_f32).expect("checked above");
        let mut data = model.params.read(id);
        for (i, x) in data.iter_mut().enumerate() {
            if let Some(index) = tensor.index_there(i, &known, from.vocab.len()) {
                *x = old[index];
            }
        }
        model.params.write(id, &data);
    }
    let new = vocab.characters().iter().zip(&known).filter(|(_, known)| known.is_none());
    Ok(new.map(|(&character, _)| character).collect())
}

/// The other vocabulary's token of the same character, or its boundary.
fn counterpart(token: u32, of: &Vocab, other: &Vocab) -> Option<u32> {
    match of.boundary() == Some(token) {
        true => other.boundary(),
        false => other.token(of.characters()[token as usize]),
    }
}

/// A tensor's dimensions, and by how much each grows with the vocabulary, per token: 1 for the rows of an
/// embedding, T for the columns of a layer on T one-hot vectors.
struct Tensor {
    name: String,
    dims: Vec<usize>,
    grows: Vec<usize>,
}

/// The tensors of a configuration's model; none of one that counts.
fn tensors(config: &Config, vocab: usize) -> Result<Vec<Tensor>> {
    let (Some((shapes, _)), Some((larger, _))) =
        (models::shapes_and_net(config, vocab)?, models::shapes_and_net(config, vocab + 1)?)
    else {
        return Ok(Vec::new());
    };
    let tensor = |(name, dims): (&str, &[usize]), larger: &[usize]| Tensor {
        name: name.to_owned(),
        dims: dims.to_vec(),
        grows: dims.iter().zip(larger).map(|(dim, larger)| larger - dim).collect(),
    };
    Ok(shapes.tensors().zip(larger.tensors()).map(|(one, (_, larger))| tensor(one, larger)).collect())
}

impl Tensor {
    /// The dimensions without the part that depends on the vocabulary.
    fn fixed(&self, vocab: usize) -> Vec<usize> {
        self.dims.iter().zip(&self.grows).map(|(dim, grows)| dim - grows * vocab).collect()
    }

    /// The index of element `i` in the other model's tensor; None if it belongs to a character that the other
    /// does not have.
    fn index_there(&self, mut i: usize, known: &[Option<u32>], other: usize) -> Option<usize> {
        let (mut index, mut stride) = (0, 1);
        for (&dim, &grows) in self.dims.iter().zip(&self.grows).rev() {
            let (at, of_tokens) = (i % dim, grows * known.len());
            let there = match at < of_tokens {
                true => at / known.len() * other + known[at % known.len()]? as usize,
                false => at - of_tokens + grows * other,
            };
            index += there * stride;
            stride *= dim - of_tokens + grows * other;
            i /= dim;
        }
        Some(index)
    }
}

/// Checks that the two models differ in their vocabularies only.
fn check(here: &[Tensor], there: &[Tensor], [vocab, other]: [usize; 2], file: &Path) -> Result<()> {
    let find = |all: &[Tensor], name: &str| all.iter().position(|tensor| tensor.name == name);
    let mut wrong = Vec::new();
    for tensor in here {
        match find(there, &tensor.name).map(|i| &there[i]) {
            None => wrong.push(format!("{} is only here", tensor.name)),
            Some(old) if (tensor.fixed(vocab), &tensor.grows) != (old.fixed(other), &old.grows) => {
                wrong.push(format!("{} is {:?} there and {:?} here", tensor.name, old.dims, tensor.dims));
            }
            Some(_) => {}
        }
    }
    let only_there = there.iter().filter(|old| find(here, &old.name).is_none());
    wrong.extend(only_there.map(|old| format!("{} is only there", old.name)));
    if wrong.is_empty() {
        return Ok(());
    }
    let hint = "choose the model's settings as they are there";
    Err(Error::model(file, format!("its weights do not fit this model: {}; {hint}", wrong.join(", "))))
}
