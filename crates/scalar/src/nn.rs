//! Neurons, layers of neurons, and networks of layers.

use crate::{Graph, Random, Value};

/// The function that a neuron applies to its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// tanh(z)
    Tanh,
    /// max(0, z)
    Relu,
    /// z
    Linear,
}

/// How a bias is initialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// Drawn like the weights, after them.
    Uniform,
    /// 0; nothing is drawn.
    Zero,
}

/// The settings of a whole [`Mlp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The activation of all layers but the last.
    pub hidden: Activation,
    /// The activation of the last layer.
    pub output: Activation,
    /// How biases are initialized.
    pub bias: Bias,
}

impl Style {
    /// The network of the micrograd lecture's notebook: tanh everywhere, biases drawn.
    pub const NOTEBOOK: Self =
        Self { hidden: Activation::Tanh, output: Activation::Tanh, bias: Bias::Uniform };
    /// The network of the Python package micrograd 0.1.0: relu, then a linear last layer; biases zero.
    pub const MICROGRAD: Self =
        Self { hidden: Activation::Relu, output: Activation::Linear, bias: Bias::Zero };
}

/// activation(b + w0 x0 + w1 x1 + ...)
///
/// ```
/// use charloom_scalar::{Activation, Bias, Graph, Neuron, Random};
///
/// let graph = Graph::new();
/// let neuron = Neuron::new(&graph, &mut Random::seed(42), 2, Activation::Tanh, Bias::Zero);
/// neuron.weight[0].set_data(0.5);
/// neuron.weight[1].set_data(-1.0);
/// let y = neuron.forward(&graph.constants(&[4.0, 1.0]));
/// assert_eq!(y.data(), 1f64.tanh());
/// y.backward();
/// // Each weight's gradient is its input times tanh's slope, which is the bias's gradient.
/// assert_eq!(neuron.weight[0].grad(), 4.0 * neuron.bias.grad());
/// ```
pub struct Neuron<'g> {
    /// One weight per input.
    pub weight: Vec<Value<'g>>,
    /// Added to the weighted sum.
    pub bias: Value<'g>,
    /// Applied to the sum.
    pub activation: Activation,
}

impl<'g> Neuron<'g> {
    /// A neuron whose weights are drawn by `random.uniform(-1, 1)`.
    pub fn new(
        graph: &'g Graph,
        random: &mut Random,
        inputs: usize,
        activation: Activation,
        bias: Bias,
    ) -> Self {
        let mut draw = || graph.value(random.uniform(-1.0, 1.0));
        let weight = (0..inputs).map(|_| draw()).collect();
        let bias = match bias {
            Bias::Uniform => draw(),
            Bias::Zero => graph.value(0.0),
        };
        Self { weight, bias, activation }
    }

    /// The output for inputs `x`; the sum is one node ([`Graph::affine`]).
    ///
    /// # Panics
    /// If there are not as many inputs as weights.
    pub fn forward(&self, x: &[Value<'g>]) -> Value<'g> {
        self.activate(self.bias.graph().affine(&self.weight, x, self.bias))
    }

    /// As [`Neuron::forward`], but with one node per multiplication and addition, for pictures; the same
    /// bits.
    ///
    /// # Panics
    /// If there are not as many inputs as weights.
    pub fn forward_in_steps(&self, x: &[Value<'g>]) -> Value<'g> {
        assert_eq!(self.weight.len(), x.len(), "as many inputs as weights are needed");
        self.activate(self.weight.iter().zip(x).fold(self.bias, |sum, (&w, &x)| sum + w * x))
    }

    /// The weights, then the bias.
    pub fn parameters(&self) -> impl Iterator<Item = Value<'g>> {
        self.weight.iter().copied().chain([self.bias])
    }

    /// Labels its parameters for pictures: `prefix` and w1, w2, ..., b.
    pub fn label(&self, prefix: &str) {
        for (i, w) in self.weight.iter().enumerate() {
            w.label(format!("{prefix}w{}", i + 1));
        }
        self.bias.label(format!("{prefix}b"));
    }

    fn activate(&self, z: Value<'g>) -> Value<'g> {
        match self.activation {
            Activation::Tanh => z.tanh(),
            Activation::Relu => z.relu(),
            Activation::Linear => z,
        }
    }
}

/// Neurons with the same inputs.
pub struct Layer<'g> {
    /// One neuron per output.
    pub neurons: Vec<Neuron<'g>>,
}

impl<'g> Layer<'g> {
    /// `outputs` neurons of `inputs` weights each.
    pub fn new(
        graph: &'g Graph,
        random: &mut Random,
        inputs: usize,
        outputs: usize,
        activation: Activation,
        bias: Bias,
    ) -> Self {
        let neurons = (0..outputs).map(|_| Neuron::new(graph, random, inputs, activation, bias)).collect();
        Self { neurons }
    }

    /// The output of each neuron.
    pub fn forward(&self, x: &[Value<'g>]) -> Vec<Value<'g>> {
        self.neurons.iter().map(|neuron| neuron.forward(x)).collect()
    }

    /// The parameters of each neuron in turn.
    pub fn parameters(&self) -> impl Iterator<Item = Value<'g>> {
        self.neurons.iter().flat_map(Neuron::parameters)
    }
}

/// A multi-layer perceptron: each layer's inputs are the outputs of the layer before.
///
/// ```
/// use charloom_scalar::{Graph, Mlp, Random, Style};
/// let graph = Graph::new();
/// let mlp = Mlp::new(&graph, &mut Random::seed(1337), 3, &[4, 4, 1], Style::NOTEBOOK);
/// let y = mlp.forward(&graph.constants(&[2.0, 3.0, -1.0]))[0];
/// y.backward();
/// assert_eq!(mlp.parameters().count(), 41);
/// ```
pub struct Mlp<'g> {
    /// The layers, from the inputs to the outputs.
    pub layers: Vec<Layer<'g>>,
}

impl<'g> Mlp<'g> {
    /// A network with `inputs` inputs and layers of `sizes` neurons; parameters are drawn layer by layer,
    /// neuron by neuron.
    pub fn new(graph: &'g Graph, random: &mut Random, inputs: usize, sizes: &[usize], style: Style) -> Self {
        let mut before = inputs;
        let mut layers = Vec::with_capacity(sizes.len());
        for (i, &size) in sizes.iter().enumerate() {
            let activation = if i + 1 == sizes.len() { style.output } else { style.hidden };
            layers.push(Layer::new(graph, random, before, size, activation, style.bias));
            before = size;
        }
        Self { layers }
    }

    /// The outputs of the last layer.
    ///
    /// # Panics
    /// If `x` has another length than the network's inputs.
    pub fn forward(&self, x: &[Value<'g>]) -> Vec<Value<'g>> {
        self.layers.iter().fold(x.to_vec(), |x, layer| layer.forward(&x))
    }

    /// The parameters of each layer in turn.
    pub fn parameters(&self) -> impl Iterator<Item = Value<'g>> {
        self.layers.iter().flat_map(Layer::parameters)
    }

    /// Labels every parameter for pictures: "1.2.w3" is the third weight of the first layer's second neuron.
    pub fn label(&self) {
        for (i, layer) in self.layers.iter().enumerate() {
            for (j, neuron) in layer.neurons.iter().enumerate() {
                neuron.label(&format!("{}.{}.", i + 1, j + 1));
            }
        }
    }

    /// Sets every parameter's gradient to 0.
    pub fn zero_grad(&self) {
        self.parameters().for_each(Value::zero_grad);
    }

    /// One step of gradient descent: p := p - lr * d loss / d p.
    pub fn step(&self, lr: f64) {
        self.parameters().for_each(|p| p.set_data(p.data() - lr * p.grad()));
    }
}
