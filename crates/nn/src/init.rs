//! How parameters are drawn: the four initializations, each number in torch's order.

use charloom_tensor::rng::TorchGenerator;

/// A way to draw parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Init {
    /// Everything standard normal, biases too.
    UnitNormal,
    /// Weights standard normal times gain / sqrt(fan-in); biases zero and not drawn; embeddings standard normal.
    KaimingNormal,
    /// The defaults of `nn.Embedding` and `nn.Linear`: standard normal, and uniform within 1 / sqrt(fan-in).
    Torch,
    /// Standard normal, each tensor as drawn, (in, out), divided by its norm along dimension 0.
    UnitColumns,
}

/// Draws the parameters of layers, one after the other, from one generator.
///
/// Numbers are drawn in single precision and in torch's order, so that a seed gives what the same program in PyTorch
/// gets from it: a layer's weight as `torch.randn((in, out))` ([`Init::Torch`]: uniform, (out, in)), then its bias.
///
/// ```
/// use charloom_nn::{Init, Initializer};
/// use charloom_tensor::rng::TorchGenerator;
///
/// let mut generator = TorchGenerator::new(42);
/// let (weight, bias) = Initializer::new(Init::KaimingNormal, &mut generator).linear(30, 200, true);
/// assert_eq!((weight.len(), bias), (6000, Some(vec![0.0; 200])));
/// ```
#[derive(Debug)]
pub struct Initializer<'g> {
    /// How to draw.
    pub init: Init,
    /// What [`Init::KaimingNormal`] multiplies weights with besides 1 / sqrt(fan-in): 5/3 suits tanh.
    pub gain: f64,
    /// What the weight of a linear layer is multiplied with in the end, whatever the way.
    pub scale: f64,
    generator: &'g mut TorchGenerator,
}

impl<'g> Initializer<'g> {
    /// With gain and scale 1.
    pub fn new(init: Init, generator: &'g mut TorchGenerator) -> Self {
        Self { init, gain: 1.0, scale: 1.0, generator }
    }

    /// The weight of an embedding, row-major.
    ///
    /// # Shapes
    /// (count, width)
    pub fn embedding(&mut self, count: usize, width: usize) -> Vec<f32> {
        self.normal(count, width)
    }

    /// Weight and bias of a linear layer, row-major.
    ///
    /// # Shapes
    /// (out, in) and (out)
    pub fn linear(&mut self, inputs: usize, outputs: usize, bias: bool) -> (Vec<f32>, Option<Vec<f32>>) {
        let fan_in = (inputs as f64).sqrt();
        let mut weight = match self.init {
            Init::Torch => self.uniform((1.0 / fan_in) as f32, inputs * outputs),
            _ => transposed(&self.normal(inputs, outputs), outputs),
        };
        if self.init == Init::KaimingNormal {
            weight.iter_mut().for_each(|w| *w = *w * self.gain as f32 / fan_in as f32);
        }
        weight.iter_mut().for_each(|w| *w *= self.scale as f32);
        let bias = bias.then(|| match self.init {
            Init::Torch => self.uniform((1.0 / fan_in) as f32, outputs),
            Init::KaimingNormal => vec![0.0; outputs],
            // A vector's only dimension is its dimension 0.
            Init::UnitNormal | Init::UnitColumns => self.normal(outputs, 1),
        });
        (weight, bias)
    }

    /// `torch.randn((rows, columns))`, its columns brought to norm 1 if that is the way.
    fn normal(&mut self, rows: usize, columns: usize) -> Vec<f32> {
        let mut drawn = vec![0.0; rows * columns];
        self.generator.randn_f32(&mut drawn);
        if self.init == Init::UnitColumns {
            let mut norms = vec![0.0f64; columns];
            for row in drawn.chunks_exact(columns) {
                norms.iter_mut().zip(row).for_each(|(n, &x)| *n += f64::from(x).powi(2));
            }
            norms.iter_mut().for_each(|n| *n = n.sqrt());
            for row in drawn.chunks_exact_mut(columns) {
                row.iter_mut().zip(&norms).for_each(|(x, &n)| *x /= n as f32);
            }
        }
        drawn
    }

    fn uniform(&mut self, bound: f32, len: usize) -> Vec<f32> {
        let mut drawn = vec![0.0; len];
        self.generator.uniform(-bound, bound, &mut drawn);
        drawn
    }
}

/// The transpose of a row-major matrix.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| matrix.iter().skip(c).step_by(columns).copied()).collect()
}
