//! Optimizers: one pass over all parameters, which lie in one slab, and their gradients, which lie in another.

mod adamw;
mod clip;
mod sgd;

pub use adamw::AdamW;
pub use clip::clip_grad_norm;
pub use sgd::Sgd;

use charloom_tensor::{Element, Entry, Id, Kind, Tape};

/// Any optimizer.
#[derive(Clone, Debug)]
pub enum Optimizer<E> {
    /// Gradient descent.
    Sgd(Sgd<E>),
    /// Adam with decoupled weight decay.
    AdamW(AdamW<E>),
}

/// A tensor of an optimizer's state.
#[derive(Clone, PartialEq, Debug)]
pub struct StateTensor<E> {
    /// Such as `momentum.layers.0.weight`.
    pub name: String,
    /// The parameter's sizes.
    pub shape: Vec<usize>,
    /// In row-major order.
    pub data: Vec<E>,
}

/// A state lacks a tensor, or has it in another size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingState {
    /// The tensor's name.
    pub name: String,
    /// The size it should have.
    pub shape: Vec<usize>,
}

impl std::fmt::Display for MissingState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the optimizer's state has no {} of size {:?}", self.name, self.shape)
    }
}

impl std::error::Error for MissingState {}

impl<E: Element> Optimizer<E> {
    /// Updates the parameters by their gradients.
    pub fn step(&mut self, tape: &Tape<E>, lr: f64) {
        match self {
            Self::Sgd(sgd) => sgd.step(tape, lr),
            Self::AdamW(adamw) => adamw.step(tape, lr),
        }
    }

    /// Computes the gradient of `loss` and updates the parameters by it, in one go where that is possible: then the gradients
    /// are not kept.
    pub fn descend(&mut self, tape: &Tape<E>, loss: Id, lr: f64) {
        if matches!(self, Self::Sgd(sgd) if sgd.is_plain()) {
            tape.descend(loss, E::of(lr));
        } else {
            tape.backward(loss);
            self.step(tape, lr);
        }
    }

    /// What it remembers between steps, by parameter.
    pub fn state(&self, tape: &Tape<E>) -> Vec<StateTensor<E>> {
        let parameters = parameters(tape);
        let slabs = match self {
            Self::Sgd(sgd) => sgd.slabs(),
            Self::AdamW(adamw) => adamw.slabs(),
        };
        let tensor = |kind: &str, slab: &[E], entry: &Entry| StateTensor {
            name: format!("{kind}.{}", entry.name),
            shape: entry.shape.dims().to_vec(),
            data: entry.read(slab),
        };
        slabs.iter().flat_map(|(kind, slab)| parameters.iter().map(|e| tensor(kind, slab, e))).collect()
    }

    /// Takes up a state after `steps` steps; `find` gives the data of the tensor of this name.
    ///
    /// # Errors
    /// A tensor is missing or has another size.
    pub fn load<'a>(
        &mut self,
        tape: &Tape<E>,
        steps: u64,
        find: impl Fn(&str) -> Option<&'a [E]>,
    ) -> Result<(), MissingState> {
        let parameters = parameters(tape);
        let slabs = match self {
            Self::Sgd(sgd) => sgd.slabs_mut(),
            Self::AdamW(adamw) => adamw.slabs_mut(steps),
        };
        for (kind, slab) in slabs {
            for entry in &parameters {
                let name = format!("{kind}.{}", entry.name);
                let data = find(&name).filter(|data| data.len() == entry.shape.len());
                let missing = || MissingState { name, shape: entry.shape.dims().to_vec() };
                entry.write(data.ok_or_else(missing)?, slab);
            }
        }
        Ok(())
    }
}

fn parameters<E: Element>(tape: &Tape<E>) -> Vec<Entry> {
    tape.entries().into_iter().filter(|entry| entry.kind == Kind::Parameter).collect()
}

/// Zeros in the layout of the parameters.
fn zeros<E: Element>(tape: &Tape<E>) -> Vec<E> {
    vec![E::zero(); tape.with_parameters(|params, _| params.len())]
}
