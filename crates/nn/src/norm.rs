use crate::Scope;
use charloom_tensor::ops::RunningStats;
use charloom_tensor::{Element, ParamId, Var};

/// What is added to a variance; torch's default.
const EPS: f64 = 1e-5;

/// Normalizes each channel to mean 0 and variance 1 over the batch, then scales and shifts it.
///
/// In evaluation the running statistics replace the batch's.
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
    /// (C), initially 1.
    pub weight: ParamId,
    /// (C), initially 0.
    pub bias: ParamId,
    /// (C) each, initially 0 and 1.
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

/// Normalizes each row to mean 0 and variance 1, then scales and shifts it.
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
    /// (C), initially 1; None: rows are not scaled.
    pub weight: Option<ParamId>,
    /// (C), initially 0; None: rows are not shifted.
    pub bias: Option<ParamId>,
}

impl LayerNorm {
    /// A layer whose tensors are `weight` and `bias`.
    pub fn new(scope: &mut Scope<'_>, channels: usize) -> Self {
        Self::with(scope, channels, true, true)
    }

    /// As [`LayerNorm::new`], but `weight` and `bias` are optional.
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

/// Normalizes each row to a mean square of 1, then scales it if there is a weight.
///
/// 1e-5 is added to the mean square, as in the other norms; torch's default is the precision's epsilon.
///
/// # Shapes
/// (..., C) -> as given; weight (C)
///
/// # Source
/// Zhang and Sennrich 2019; `torch.nn.RMSNorm`
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// (C), initially 1; None: rows are not scaled.
    pub weight: Option<ParamId>,
}

impl RmsNorm {
    /// A layer whose tensor is `weight`.
    pub fn new(scope: &mut Scope<'_>, channels: usize) -> Self {
        Self { weight: Some(scope.constant("weight", &[channels], 1.0)) }
    }

    /// A layer without a weight.
    pub fn plain() -> Self {
        Self { weight: None }
    }

    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        x.rms_norm(self.weight.map(|weight| x.tape().param(weight)), EPS)
    }
}
