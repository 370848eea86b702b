use crate::path;
use charloom_tensor::ops::RunningStats;
use charloom_tensor::{Element, Id, Tape, Var};

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
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm1d {
    /// (C), 1 at first.
    pub weight: Id,
    /// (C), 0 at first.
    pub bias: Id,
    running: RunningStats,
}

impl BatchNorm1d {
    /// A layer whose state is `name.weight`, `name.bias`, `name.running_mean` and `name.running_var`.
    pub fn new<E: Element>(tape: &Tape<E>, name: &str, channels: usize) -> Self {
        let (ones, zeros) = (vec![E::one(); channels], vec![E::zero(); channels]);
        Self {
            weight: tape.parameter(&path(name, "weight"), &[channels], &ones),
            bias: tape.parameter(&path(name, "bias"), &[channels], &zeros),
            running: RunningStats {
                mean: tape.buffer(&path(name, "running_mean"), &[channels], &zeros),
                var: tape.buffer(&path(name, "running_var"), &[channels], &ones),
                momentum: 0.1,
            },
        }
    }

    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        let tape = x.tape();
        x.batch_norm(tape.var(self.weight), tape.var(self.bias), self.running, EPS)
    }
}

/// Each row brought to mean 0 and variance 1, then scaled and shifted.
///
/// # Shapes
/// (..., C) -> as given; weight, bias (C)
///
/// # Source
/// Ba, Kiros and Hinton 2016; `torch.nn.LayerNorm`
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// (C), 1 at first.
    pub weight: Id,
    /// (C), 0 at first.
    pub bias: Id,
}

impl LayerNorm {
    /// A layer whose state is `name.weight` and `name.bias`.
    pub fn new<E: Element>(tape: &Tape<E>, name: &str, channels: usize) -> Self {
        Self {
            weight: tape.parameter(&path(name, "weight"), &[channels], &vec![E::one(); channels]),
            bias: tape.parameter(&path(name, "bias"), &[channels], &vec![E::zero(); channels]),
        }
    }

    /// Records the layer.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        let tape = x.tape();
        x.layer_norm(tape.var(self.weight), tape.var(self.bias), EPS)
    }
}
