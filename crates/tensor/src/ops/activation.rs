//! tanh, relu, gelu, sigmoid and other activations, element by element.

use crate::kernels::Activation;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Var};

pub(crate) struct Activate(pub Activation);

impl<E: Element> Op<E> for Activate {
    fn name(&self) -> &'static str {
        match self.0 {
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
            Activation::Gelu => "gelu",
            Activation::Sigmoid => "sigmoid",
            Activation::GeluTanh => "gelu_tanh",
            Activation::SquaredRelu => "squared_relu",
        }
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        E::activate(self.0, x.get(0), out);
    }

    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        if let Some(g) = grads.get(0) {
            E::activate_backward(self.0, x.get(0), out, grad, g.data, g.add);
        }
    }

    fn as_any(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// The given activation, element by element.
    ///
    /// # Shapes
    /// any -> as x
    pub fn activate(self, activation: Activation) -> Var<'t, E> {
        let x = self.contiguous();
        self.tape().record(Activate(activation), &[x.id()], x.shape())
    }

    /// The hyperbolic tangent; its slope is `1 - y^2`.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// `torch.tanh`
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input(&[3], &[-2.0, 0.0, 2.0]);
    /// assert_eq!(x.tanh().data()[1], 0.0);
    /// assert_eq!(x.sigmoid().data()[1], 0.5);
    /// assert_eq!((x.relu().data(), x.squared_relu().data()), (vec![0.0, 0.0, 2.0], vec![0.0, 0.0, 4.0]));
    /// // Close to relu.
    /// assert!((x.gelu().data()[2] - 1.9545).abs() < 1e-4 && (x.gelu_tanh().data()[2] - 1.9546).abs() < 1e-4);
    /// ```
    pub fn tanh(self) -> Var<'t, E> {
        self.activate(Activation::Tanh)
    }

    /// `max(x, 0)`; its slope is 1 above 0 and 0 elsewhere.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// `torch.relu`
    pub fn relu(self) -> Var<'t, E> {
        self.activate(Activation::Relu)
    }

    /// `x Phi(x)` with the exact error function; its slope is `Phi(x) + x phi(x)`.
    ///
    /// Phi is the standard normal distribution function, phi its density.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// Hendrycks and Gimpel 2016; `torch.nn.functional.gelu` with `approximate="none"`
    pub fn gelu(self) -> Var<'t, E> {
        self.activate(Activation::Gelu)
    }

    /// `1 / (1 + e^-x)`; its slope is `y (1 - y)`.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// `torch.sigmoid`
    pub fn sigmoid(self) -> Var<'t, E> {
        self.activate(Activation::Sigmoid)
    }

    /// `x (1 + tanh u) / 2` with `u = sqrt(2 / pi) (x + 0.044715 x^3)`: an approximation of
    /// [gelu](Var::gelu). Its slope is `(1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2`.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// Hendrycks and Gimpel 2016; `torch.nn.functional.gelu` with `approximate="tanh"`
    pub fn gelu_tanh(self) -> Var<'t, E> {
        self.activate(Activation::GeluTanh)
    }

    /// `max(x, 0)^2`; its slope is `2 max(x, 0)`.
    ///
    /// # Shapes
    /// any -> as x
    ///
    /// # Source
    /// So et al. 2021 (Primer); `torch.relu(x).square()`
    pub fn squared_relu(self) -> Var<'t, E> {
        self.activate(Activation::SquaredRelu)
    }
}
