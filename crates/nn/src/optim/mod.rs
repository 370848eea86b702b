//! Optimizers: one pass over the slab of all parameters and the slab of their gradients.

mod adamw;
mod clip;
mod muon;
mod rmsprop;
mod sgd;
mod state;

pub use adamw::AdamW;
pub use clip::{clip_grad_norm, clip_grad_value};
pub use muon::Muon;
pub use rmsprop::RmsProp;
pub use sgd::Sgd;
pub use state::{MissingState, StateTensor};

use std::ops::Range;

use charloom_tensor::{Element, Entry, Grads, Kind, NodeId, Params, Pass, Recording};

/// An optimizer: turns gradients into updates, and holds its state between steps.
///
/// ```
/// use charloom_nn::{AdamW, Group, Optimizer};
/// use charloom_tensor::{Grads, Params};
///
/// let mut params = Params::<f32>::new();
/// let w = params.add("w", &[2], &[1.0, -2.0]);
/// let b = params.add("b", &[1], &[0.5]);
/// // Weight decay on `w` only; `b` is frozen.
/// let adamw = Optimizer::adamw(&params, AdamW::default(), 0.1);
/// let mut adamw = adamw.grouped(&params, |entry, group| match &*entry.name {
///     "b" => Group { lr_factor: 0.0, ..group },
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
    /// Which ranges of the parameters are updated how.
    ranges: Vec<GroupRange>,
    steps: u64,
    /// The momentum, Adam's first moment, or RMSprop's mean of squares; empty if the rule has none.
    first: Vec<E>,
    /// Adam's second moment.
    second: Vec<E>,
    /// The exponential moving average of the parameters, with its decay.
    average: Option<(f64, Vec<E>)>,
    scratch: muon::Scratch<E>,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Sgd(Sgd),
    AdamW(AdamW),
    RmsProp(RmsProp),
    Muon(Muon),
}

/// How a group of parameters is updated.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Group {
    /// The weight decay: torch's L2 term for [`Sgd`] and [`RmsProp`], decoupled for [`AdamW`] and [`Muon`].
    pub weight_decay: f64,
    /// A factor of the learning rate; 0 freezes the group.
    pub lr_factor: f64,
}

/// A range of parameters of one group.
#[derive(Clone, Debug)]
struct GroupRange {
    range: Range<usize>,
    group: Group,
    /// If it is a matrix that Muon updates as a whole: its rows and columns in memory.
    matrix: Option<[usize; 2]>,
}

/// A range of parameters, with their gradients and state.
struct Slabs<'a, E> {
    params: &'a mut [E],
    grads: &'a mut [E],
    first: &'a mut [E],
    second: &'a mut [E],
}

/// The rows and columns in memory of a linear layer's weight; None for any other tensor.
fn matrix_dims(entry: &Entry) -> Option<[usize; 2]> {
    match *entry.shape.dims() {
        [outputs, inputs] if entry.is_by_columns() => Some([inputs, outputs]),
        [outputs, inputs] => (entry.kind == Kind::Weight).then_some([outputs, inputs]),
        _ => None,
    }
}

impl<E: Element> Optimizer<E> {
    /// Gradient descent, with one group of all parameters.
    pub fn sgd(params: &Params<E>, sgd: Sgd, weight_decay: f64) -> Self {
        let first = if sgd.momentum == 0.0 { 0 } else { params.values().len() };
        Self::new(params, Rule::Sgd(sgd), weight_decay, [first, 0])
    }

    /// Adam with decoupled weight decay, with one group of all parameters.
    pub fn adamw(params: &Params<E>, adamw: AdamW, weight_decay: f64) -> Self {
        let len = params.values().len();
        Self::new(params, Rule::AdamW(adamw), weight_decay, [len, len])
    }

    /// RMSprop, with one group of all parameters.
    pub fn rmsprop(params: &Params<E>, rmsprop: RmsProp, weight_decay: f64) -> Self {
        Self::new(params, Rule::RmsProp(rmsprop), weight_decay, [params.values().len(), 0])
    }

    /// Muon on the weights of linear layers, AdamW on all other parameters.
    pub fn muon(params: &Params<E>, muon: Muon, weight_decay: f64) -> Self {
        let len = params.values().len();
        let optimizer = Self::new(params, Rule::Muon(muon), weight_decay, [len, len]);
        let scratch = muon::Scratch::new(params.trained().filter_map(matrix_dims));
        Self { scratch, ..optimizer.grouped(params, |_, group| group) }
    }

    fn new(params: &Params<E>, rule: Rule, weight_decay: f64, lens: [usize; 2]) -> Self {
        let [first, second] = lens.map(|len| vec![E::zero(); len]);
        let group = Group { weight_decay, lr_factor: 1.0 };
        let ranges = vec![GroupRange { range: 0..params.values().len(), group, matrix: None }];
        let scratch = muon::Scratch::new(std::iter::empty());
        Self { rule, ranges, steps: 0, first, second, average: None, scratch }
    }

    /// Puts each parameter in the group that `group` returns, given its entry and the default group.
    #[must_use]
    pub fn grouped(mut self, params: &Params<E>, group: impl Fn(&Entry, Group) -> Group) -> Self {
        let Some(&GroupRange { group: of_all, .. }) = self.ranges.first() else { return self };
        let mut ranges: Vec<GroupRange> = Vec::new();
        for entry in params.trained() {
            let group = group(entry, of_all);
            let matrix = matrix_dims(entry).filter(|_| matches!(self.rule, Rule::Muon(_)));
            match ranges.last_mut() {
                Some(last) if last.group == group && matrix.is_none() && last.matrix.is_none() => {
                    last.range.end = entry.range().end;
                }
                _ => ranges.push(GroupRange { range: entry.range(), group, matrix }),
            }
        }
        self.ranges = ranges;
        self
    }

    /// Also keeps a moving average of the parameters: after the first step the parameters themselves, after
    /// each later one `average = decay average + (1 - decay) p`.
    ///
    /// # Source
    /// Polyak and Juditsky 1992; `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`
    #[must_use]
    pub fn averaging(self, params: &Params<E>, decay: f64) -> Self {
        Self { average: Some((decay, params.values().to_vec())), ..self }
    }

    /// The average of the parameters, in their layout; before the first step their initial values.
    pub fn average(&self) -> Option<&[E]> {
        self.average.as_ref().map(|(_, average)| average.as_slice())
    }

    /// Sets the average to these parameters, if an average is kept.
    pub fn set_average(&mut self, params: &Params<E>) {
        if let Some((_, average)) = &mut self.average {
            average.copy_from_slice(params.values());
        }
    }

    /// Updates the parameters by their gradients, which it may overwrite.
    pub fn step(&mut self, params: &mut Params<E>, grads: &mut Grads<E>, lr: f64) {
        self.steps += 1;
        let (values, grads) = (params.values_mut(), grads.values_mut());
        for GroupRange { range, group, matrix } in self.ranges.iter().filter(|s| s.group.lr_factor != 0.0) {
            let part = |slab: &Vec<E>| if slab.is_empty() { 0..0 } else { range.clone() };
            let (first, second) = (part(&self.first), part(&self.second));
            let slabs = Slabs {
                params: &mut values[range.clone()],
                grads: &mut grads[range.clone()],
                first: &mut self.first[first],
                second: &mut self.second[second],
            };
            let (lr, decay) = (lr * group.lr_factor, group.weight_decay);
            match (self.rule, *matrix) {
                (Rule::Sgd(sgd), _) => sgd.step(lr, decay, slabs),
                (Rule::RmsProp(rmsprop), _) => rmsprop.step(lr, decay, slabs),
                (Rule::Muon(muon), Some(matrix)) => muon.step(lr, decay, slabs, matrix, &mut self.scratch),
                (Rule::AdamW(adamw) | Rule::Muon(Muon { adamw, .. }), _) => {
                    adamw.step(self.steps, lr, decay, slabs);
                }
            }
        }
        self.move_average(params);
    }

    /// Computes the gradient of `loss` and updates the parameters. Plain gradient descent does both in one
    /// pass and does not keep the gradients.
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
            self.move_average(params);
        } else {
            recording.backward(params, grads, loss, pass);
            self.step(params, grads, lr);
        }
    }

    fn move_average(&mut self, params: &Params<E>) {
        let Some((decay, average)) = &mut self.average else { return };
        let new = E::of(if self.steps == 1 { 1.0 } else { 1.0 - *decay });
        average.iter_mut().zip(params.values()).for_each(|(a, &p)| *a += new * (p - *a));
    }

    /// Sets the gradients of frozen parameters to 0, so that a norm of all gradients does not count them.
    pub fn zero_frozen(&self, grads: &mut Grads<E>) {
        for GroupRange { range, .. } in self.ranges.iter().filter(|s| s.group.lr_factor == 0.0) {
            grads.values_mut()[range.clone()].fill(E::zero());
        }
    }

    /// Whether a step is `p -= lr g` for all parameters, and nothing else.
    fn is_plain(&self) -> bool {
        let plain = Group { weight_decay: 0.0, lr_factor: 1.0 };
        matches!(self.rule, Rule::Sgd(_))
            && self.first.is_empty()
            && matches!(&self.ranges[..], [range] if range.group == plain)
    }
}
