//! Optimizers: one pass over all parameters, which lie in one slab, and their gradients, which lie in another.

mod adamw;
mod clip;
mod sgd;

pub use adamw::AdamW;
pub use clip::clip_grad_norm;
pub use sgd::Sgd;

use std::ops::Range;

use charloom_tensor::{Element, Entry, Grads, NodeId, Params, Pass, Recording};

/// What turns gradients into updates, and what it remembers between steps.
///
/// ```
/// use charloom_nn::{AdamW, Group, Optimizer};
/// use charloom_tensor::{Grads, Params};
///
/// let mut params = Params::<f32>::new();
/// let w = params.add("w", &[2], &[1.0, -2.0]);
/// let b = params.add("b", &[1], &[0.5]);
/// // Weight decay on `w` only; `b` is frozen.
/// let mut adamw = Optimizer::adamw(&params, AdamW::default(), 0.1).grouped(&params, |entry, group| match &*entry.name {
///     "b" => Group { lr: 0.0, ..group },
///     _ => group,
/// });
/// let mut grads = Grads::zeros(&params);
/// grads.values_mut().fill(1.0);
/// adamw.step(&mut params, &mut grads, 0.01);
/// assert!(params.read(w)[0] < 1.0);
/// assert_eq!(params.read(b), [0.5]);
/// ```
#[derive(Clone, Debug)]
pub struct Optimizer<E> {
    rule: Rule,
    /// Which parts of the parameters are stepped how.
    groups: Vec<(Range<usize>, Group)>,
    steps: u64,
    /// Momentum, or Adam's first moment; empty where there is none.
    first: Vec<E>,
    /// Adam's second moment.
    second: Vec<E>,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Sgd(Sgd),
    AdamW(AdamW),
}

/// How a group of parameters is stepped.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Group {
    /// The weight decay: torch's L2 term for [`Sgd`], decoupled for [`AdamW`].
    pub weight_decay: f64,
    /// What the learning rate is multiplied with; 0: the group is frozen.
    pub lr: f64,
}

/// A stretch of parameters, their gradients, and what is remembered of them.
struct Slabs<'a, E> {
    params: &'a mut [E],
    grads: &'a mut [E],
    first: &'a mut [E],
    second: &'a mut [E],
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
    /// Gradient descent on all parameters alike.
    pub fn sgd(params: &Params<E>, sgd: Sgd, weight_decay: f64) -> Self {
        let first = if sgd.momentum == 0.0 { 0 } else { params.values().len() };
        Self::new(params, Rule::Sgd(sgd), weight_decay, [first, 0])
    }

    /// Adam with decoupled weight decay on all parameters alike.
    pub fn adamw(params: &Params<E>, adamw: AdamW, weight_decay: f64) -> Self {
        let len = params.values().len();
        Self::new(params, Rule::AdamW(adamw), weight_decay, [len, len])
    }

    fn new(params: &Params<E>, rule: Rule, weight_decay: f64, lens: [usize; 2]) -> Self {
        let [first, second] = lens.map(|len| vec![E::zero(); len]);
        let groups = vec![(0..params.values().len(), Group { weight_decay, lr: 1.0 })];
        Self { rule, groups, steps: 0, first, second }
    }

    /// The same, each parameter in the group that `group` says, given its entry and the group of all.
    #[must_use]
    pub fn grouped(mut self, params: &Params<E>, group: impl Fn(&Entry, Group) -> Group) -> Self {
        let Some(&(_, of_all)) = self.groups.first() else { return self };
        let mut groups: Vec<(Range<usize>, Group)> = Vec::new();
        for entry in params.trained() {
            let group = group(entry, of_all);
            match groups.last_mut() {
                Some((range, last)) if *last == group => range.end = entry.range().end,
                _ => groups.push((entry.range(), group)),
            }
        }
        self.groups = groups;
        self
    }

    /// Updates the parameters by their gradients, which it may change.
    pub fn step(&mut self, params: &mut Params<E>, grads: &mut Grads<E>, lr: f64) {
        self.steps += 1;
        let (params, grads) = (params.values_mut(), grads.values_mut());
        for (range, group) in self.groups.iter().filter(|(_, group)| group.lr != 0.0) {
            let part = |slab: &Vec<E>| if slab.is_empty() { 0..0 } else { range.clone() };
            let (first, second) = (part(&self.first), part(&self.second));
            let slabs = Slabs {
                params: &mut params[range.clone()],
                grads: &mut grads[range.clone()],
                first: &mut self.first[first],
                second: &mut self.second[second],
            };
            let (lr, decay) = (lr * group.lr, group.weight_decay);
            match self.rule {
                Rule::Sgd(sgd) => sgd.step(lr, decay, slabs),
                Rule::AdamW(adamw) => adamw.step(self.steps, lr, decay, slabs),
            }
        }
    }

    /// Computes the gradient of `loss` and updates the parameters by it, in one go where that is possible: then the
    /// gradients are not kept.
    pub fn descend(
        &mut self,
        recording: &mut Recording<E>,
        params: &mut Params<E>,
        grads: &mut Grads<E>,
        loss: NodeId,
        lr: f64,
        pass: &Pass<'_>,
    ) {
        if self.is_plain() {
            self.steps += 1;
            recording.descend(params, grads, loss, E::of(lr), pass);
        } else {
            recording.backward(params, grads, loss, pass);
            self.step(params, grads, lr);
        }
    }

    /// Whether a step is `p -= lr g` for all parameters, and nothing else.
    fn is_plain(&self) -> bool {
        let plain = Group { weight_decay: 0.0, lr: 1.0 };
        matches!(self.rule, Rule::Sgd(_))
            && self.first.is_empty()
            && matches!(&self.groups[..], [(_, g)] if *g == plain)
    }

    /// What it remembers between steps, by parameter.
    pub fn state(&self, params: &Params<E>) -> Vec<StateTensor<E>> {
        let tensor = |kind: &str, slab: &[E], entry: &Entry| StateTensor {
            name: format!("{kind}.{}", entry.name),
            shape: entry.shape.dims().to_vec(),
            data: entry.read(slab),
        };
        let slabs = self.kinds().iter().zip([&self.first, &self.second]);
        slabs.flat_map(|(kind, slab)| params.trained().map(move |entry| tensor(kind, slab, entry))).collect()
    }

    /// Takes up a state after `steps` steps; `find` gives the data of the tensor of this name.
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
        for (kind, slab) in self.kinds().iter().zip([&mut self.first, &mut self.second]) {
            for entry in params.trained() {
                let name = format!("{kind}.{}", entry.name);
                let data = find(&name).filter(|data| data.len() == entry.shape.len());
                let missing = || MissingState { name, shape: entry.shape.dims().to_vec() };
                entry.write(data.ok_or_else(missing)?, slab);
            }
        }
        Ok(())
    }

    /// What its slabs are called in its state.
    fn kinds(&self) -> &'static [&'static str] {
        match self.rule {
            Rule::Sgd(_) if self.first.is_empty() => &[],
            Rule::Sgd(_) => &["momentum"],
            Rule::AdamW(_) => &["adam.m", "adam.v"],
        }
    }
}
