//! An optimizer's state as named tensors, to be saved and loaded.

use super::{Optimizer, Rule};
use charloom_tensor::{Element, Entry, Params};

/// A tensor of an optimizer's state.
#[derive(Clone, PartialEq, Debug)]
pub struct StateTensor<E> {
    /// Its name, such as `momentum.layers.0.weight`.
    pub name: String,
    /// The shape of its parameter.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub data: Vec<E>,
}

/// A tensor is missing in a state, or has another size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingState {
    /// The tensor's name.
    pub name: String,
    /// The shape it should have.
    pub shape: Vec<usize>,
}

impl std::fmt::Display for MissingState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the optimizer's state has no {} of size {:?}", self.name, self.shape)
    }
}

impl std::error::Error for MissingState {}

impl<E: Element> Optimizer<E> {
    /// The state between steps, by parameter; without the average of the parameters.
    pub fn state(&self, params: &Params<E>) -> Vec<StateTensor<E>> {
        let mut state = Vec::new();
        for (k, slab) in [&self.first, &self.second].into_iter().enumerate() {
            for entry in params.trained() {
                if let Some(kind) = self.kinds(entry).get(k) {
                    let (name, shape) = (format!("{kind}.{}", entry.name), entry.shape.dims().to_vec());
                    state.push(StateTensor { name, shape, data: entry.read(slab) });
                }
            }
        }
        state
    }

    /// Loads the state after `steps` steps; `find` returns the data of a tensor by name.
    ///
    /// # Errors
    /// A tensor is missing or has another size.
    pub fn load<'a>(
        &mut self,
        params: &Params<E>,
        steps: u64,
        find: impl Fn(&str) -> Option<&'a [E]>,
    ) -> Result<(), MissingState> {
        self.steps = steps;
        for entry in params.trained() {
            let kinds = self.kinds(entry);
            for (kind, slab) in kinds.iter().zip([&mut self.first, &mut self.second]) {
                let name = format!("{kind}.{}", entry.name);
                let data = find(&name).filter(|data| data.len() == entry.shape.len());
                let missing = || MissingState { name, shape: entry.shape.dims().to_vec() };
                entry.write(data.ok_or_else(missing)?, slab);
            }
        }
        Ok(())
    }

    /// The names of a parameter's tensors in the state.
    fn kinds(&self, entry: &Entry) -> &'static [&'static str] {
        match self.rule {
            Rule::Sgd(_) if self.first.is_empty() => &[],
            Rule::Sgd(_) => &["momentum"],
            Rule::RmsProp(_) => &["rmsprop.v"],
            Rule::Muon(_) if super::matrix_dims(entry).is_some() => &["momentum"],
            Rule::Muon(_) | Rule::AdamW(_) => &["adam.m", "adam.v"],
        }
    }
}
