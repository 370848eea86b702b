use crate::Scope;
use charloom_tensor::kernels::Cell;
use charloom_tensor::{Element, Indices, ParamId, Var};

/// A layer of an rnn, gru or lstm: each row's state depends on its input and on the state before it.
///
/// The tensors are named as in torch, `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, and drawn
/// in this order.
///
/// # Shapes
/// x (N, in) -> states (N, S H); weight_ih (G H, in), weight_hh (G H, H), bias_ih and bias_hh (G H). G is the
/// number of gates, S the number of states per unit: h, and c for an lstm, whose rows hold h and then c.
///
/// # Source
/// `torch.nn.RNN`, `torch.nn.GRU`, `torch.nn.LSTM`
///
/// ```
/// use charloom_nn::{Init, Initializer, Recurrent, Scope};
/// use charloom_tensor::{Params, Tape, kernels::Cell, rng::TorchGenerator};
///
/// let mut params = Params::<f32>::new();
/// let mut generator = TorchGenerator::new(42);
/// let mut scope = Scope::draw(&mut params, Initializer::new(Init::Torch, &mut generator));
/// let layer = Recurrent::new(&mut scope.at("lstm"), Cell::Lstm, 3, 4, 0);
/// let tape = Tape::with(&params);
/// // One sequence of two rows: the second follows the first.
/// let x = tape.input(&[2, 3], &[1.0; 6]);
/// let states = layer.forward(x, Some(tape.indices(&[2], &[0, 0])), None);
/// assert_eq!(states.shape().dims(), [2, layer.state_width()]);
/// assert_eq!(layer.output(states).shape().dims(), [2, 4]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Recurrent {
    /// The kind of cell.
    pub cell: Cell,
    /// H
    pub hidden: usize,
    /// (G H, in)
    pub weight_ih: ParamId,
    /// (G H, H)
    pub weight_hh: ParamId,
    /// (G H)
    pub bias_ih: ParamId,
    /// (G H)
    pub bias_hh: ParamId,
    /// The dropout of `weight_hh`: one mask per training step, shared by all rows.
    pub dropout: f64,
    /// The seed of these masks, and their index in the model.
    pub masks: [u64; 2],
}

impl Recurrent {
    /// The layer numbered `layer`, drawn by the scope, without dropout.
    pub fn new(scope: &mut Scope<'_>, cell: Cell, inputs: usize, hidden: usize, layer: usize) -> Self {
        let gates = cell.gates().saturating_mul(hidden);
        let mut weight = |name: &str, inputs: usize| {
            let name = format!("weight_{name}_l{layer}");
            scope.matrix(&name, [gates, inputs], |init| init.recurrent_weight(inputs, gates, hidden))
        };
        let (weight_ih, weight_hh) = (weight("ih", inputs), weight("hh", hidden));
        let mut bias = |name: &str| {
            let name = format!("bias_{name}_l{layer}");
            scope.tensor(&name, &[gates], |init| init.recurrent_bias(gates, hidden))
        };
        let (bias_ih, bias_hh) = (bias("ih"), bias("hh"));
        Self { cell, hidden, weight_ih, weight_hh, bias_ih, bias_hh, dropout: 0.0, masks: [0; 2] }
    }

    /// S H: the length of a row of states.
    #[must_use]
    pub fn state_width(&self) -> usize {
        self.cell.states() * self.hidden
    }

    /// Records the states of all rows; see [`Var::recurrence`].
    pub fn forward<'t, E: Element>(
        &self,
        x: Var<'t, E>,
        parents: Option<Indices>,
        first: Option<Var<'t, E>>,
    ) -> Var<'t, E> {
        let tape = x.tape();
        let gates = x.linear(tape.param(self.weight_ih), Some(tape.param(self.bias_ih)));
        let mut weight = tape.param(self.weight_hh);
        if self.dropout > 0.0 {
            weight = weight.dropout(self.dropout, self.masks[0], self.masks[1]);
        }
        gates.recurrence(self.cell, [weight, tape.param(self.bias_hh)], parents, first)
    }

    /// The h of the states.
    pub fn output<'t, E: Element>(&self, states: Var<'t, E>) -> Var<'t, E> {
        if self.cell.states() == 1 { states } else { states.first_columns(self.hidden) }
    }
}
