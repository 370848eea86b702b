use crate::Scope;
use charloom_tensor::ops::RunningStats;
use charloom_tensor::{Element, ParamId, Var};

/// torch's default for what is added to a variance.
const EPS: f64 = 1e-5;

/// Each channel brought to mean 0 and variance 1 over the batch, then scaled and shifted.
///
/// In evaluation the running statistics stand for the batch's.
///
/// # Shapes
/// (B, C) or (B, T, C) -> as given; weight, bias, running_mean, running_var (C). With three dimensions the
/// statistics are over B and T. (torch's channels are the second dimension, not the last.)
///
/// # Source
/// Ioffe and Szegedy 2015; `torch.nn.BatchNorm1d`
///
/// ```
/// use charloom_nn::{BatchNorm1d, Init, Initializer, Scope};
/// use charloom_tensor::{Params, Tape, rng::TorchGenerator};
///
/// let mut params = Params::<f32>::new();
/// let mut generator = TorchGenerator::new(42);
/// let mut scope = Scope::draw(&mut params, Initializer::new(Init::Torch, &mut generator));
/// let norm = BatchNorm1d::new(&mut scope.at("layers.1"), 2);
/// let tape = Tape::with(&params);
/// let y = norm.forward(tape.input(&[2, 2], &[1.0, 10.0, 3.0, 30.0])).data();
/// assert!(y.iter().zip([-1.0, -1.0, 1.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-4));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm1d {
    /// (C), 1 at first.
    pub weight: ParamId,
    /// (C), 0 at first.
    pub bias: ParamId,
    /// (C) each, 0 and 1 at first.
    pub running: RunningStats,
}

impl BatchNorm1d {
    /// A layer whose tensors are `weight`, `bias`, `running_mean` and `running_var`.
    pub fn new(scope: &mut Scope<'_>, channels: usize) -> Self {
        Self {
            weight: scope.constant("weight", &[channels], 1.0),
            bias: scope.constant("bias", &[channels], 0.0),
            running: RunningStats {
                mean: scope.buffer("running_mean", &[channels], 0.0),
                var: scope.buffer("running_var", &[channels], 1.0),
                momentum: 0.1,
            },
        }
    }

    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        let tape = x.tape();
        x.batch_norm(tape.param(self.weight), tape.param(self.bias), self.running, EPS)
    }
}

/// Each row brought to mean 0 and variance 1, then scaled and shifted.
///
/// # Shapes
/// (..., C) -> as given; weight, bias (C)
///
/// # Source
/// Ba, Kiros and Hinton 2016; `torch.nn.LayerNorm`
///
/// ```
/// use charloom_nn::{Init, Initializer, LayerNorm, RmsNorm, Scope};
/// use charloom_tensor::{Params, Tape, rng::TorchGenerator};
///
/// let mut params = Params::<f32>::new();
/// let mut generator = TorchGenerator::new(42);
/// let mut scope = Scope::draw(&mut params, Initializer::new(Init::Torch, &mut generator));
/// let norm = LayerNorm::new(&mut scope.at("norm"), 2);
/// let tape = Tape::with(&params);
/// let x = tape.input(&[2, 2], &[1.0, 3.0, 10.0, 30.0]);
/// assert!(norm.forward(x).data().iter().zip([-1.0, 1.0, -1.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-4));
/// let squares = RmsNorm::plain().forward(x).powf(2.0).mean(&[1], false).data();
/// assert!(squares.iter().all(|square| (square - 1.0).abs() < 1e-4));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// (C), 1 at first; None: rows are not scaled.
    pub weight: Option<ParamId>,
    /// (C), 0 at first; None: rows are not shifted.
    pub bias: Option<ParamId>,
}

impl LayerNorm {
    /// A layer whose tensors are `weight` and `bias`.
    pub fn new(scope: &mut Scope<'_>, channels: usize) -> Self {
        Self::with(scope, channels, true, true)
    }

    /// The same without a weight or a bias.
    pub fn with(scope: &mut Scope<'_>, channels: usize, weight: bool, bias: bool) -> Self {
        Self {
            weight: weight.then(|| scope.constant("weight", &[channels], 1.0)),
            bias: bias.then(|| scope.constant("bias", &[channels], 0.0)),
        }
    }

    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        let tape = x.tape();
        let width = x.shape().last();
        let fixed = |value: f64| tape.input(&[width], &vec![E::of(value); width]);
        let weight = self.weight.map_or_else(|| fixed(1.0), |weight| tape.param(weight));
        let bias = self.bias.map_or_else(|| fixed(0.0), |bias| tape.param(bias));
        x.layer_norm(weight, bias, EPS)
    }
}

/// Each row brought to a mean square of 1, then scaled if there is a weight.
///
/// torch's default for what is added to the mean square is the precision's own epsilon; here it is 1e-5, as for the others.
///
/// # Shapes
/// (..., C) -> as given; weight (C)
///
/// # Source
/// Zhang and Sennrich 2019; `torch.nn.RMSNorm`
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// (C), 1 at first; or none.
    pub weight: Option<ParamId>,
}

impl RmsNorm {
    /// A layer whose tensor is `weight`.
    pub fn new(scope: &mut Scope<'_>, channels: usize) -> Self {
        Self { weight: Some(scope.constant("weight", &[channels], 1.0)) }
    }

    /// A layer that only norms.
    pub fn plain() -> Self {
        Self { weight: None }
    }

    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        x.rms_norm(self.weight.map(|weight| x.tape().param(weight)), EPS)
    }
}
