//! Random initialization of parameters, in torch's order of draws.

use charloom_tensor::rng::TorchGenerator;

/// An initialization.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Init {
    /// All tensors standard normal, biases too.
    UnitNormal,
    /// Weights standard normal times gain / sqrt(fan-in); biases zero and not drawn; embeddings standard normal.
    KaimingNormal,
    /// As `nn.Embedding` and `nn.Linear`: embeddings standard normal, others uniform within 1 / sqrt(fan-in).
    Torch,
    /// Standard normal, then each column of the drawn (in, out) matrix divided by its norm.
    UnitColumns,
    /// Weights and embeddings normal with this standard deviation, drawn as `torch.randn` of their shape;
    /// biases are zero and not drawn.
    Normal(f64),
}

/// Draws the parameters of layers, one after the other, from one generator.
///
/// Numbers are drawn in single precision and in torch's order, so that a seed gives the same parameters as in
/// PyTorch: a layer's weight as `torch.randn((in, out))` ([`Init::Torch`]: uniform, (out, in)), then its
/// bias.
///
/// ```
/// use charloom_nn::{Init, Initializer};
/// use charloom_tensor::rng::TorchGenerator;
///
/// let mut generator = TorchGenerator::new(42);
/// let mut init = Initializer::new(Init::KaimingNormal, &mut generator);
/// assert_eq!((init.weight(30, 200, 1.0, 1.0).len(), init.bias(30, 200)), (6000, vec![0.0; 200]));
/// ```
#[derive(Debug)]
pub struct Initializer<'g> {
    init: Init,
    generator: &'g mut TorchGenerator,
}

impl<'g> Initializer<'g> {
    /// An initializer that draws from this generator.
    pub fn new(init: Init, generator: &'g mut TorchGenerator) -> Self {
        Self { init, generator }
    }

    /// The same initializer, borrowed for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Initializer<'_> {
        Initializer { init: self.init, generator: self.generator }
    }

    /// The weight of an embedding, row-major.
    ///
    /// # Shapes
    /// (count, width)
    pub fn embedding(&mut self, count: usize, width: usize) -> Vec<f32> {
        let mut drawn = self.normal(count, width);
        if let Init::Normal(deviation) = self.init {
            drawn.iter_mut().for_each(|x| *x *= deviation as f32);
        }
        drawn
    }

    /// The weight of a linear layer, row-major. [`Init::KaimingNormal`] multiplies it by gain / sqrt(fan-in);
    /// every initialization multiplies it by `scale`.
    ///
    /// # Shapes
    /// (out, in)
    pub fn weight(&mut self, inputs: usize, outputs: usize, gain: f64, scale: f64) -> Vec<f32> {
        let sqrt_fan_in = (inputs as f64).sqrt();
        if let Init::Normal(deviation) = self.init {
            let mut weight = self.normal(outputs, inputs);
            weight.iter_mut().for_each(|w| *w *= (deviation * scale) as f32);
            return weight;
        }
        let mut weight = match self.init {
            Init::Torch => self.uniform((1.0 / sqrt_fan_in) as f32, inputs * outputs),
            _ => transposed(&self.normal(inputs, outputs), outputs),
        };
        if self.init == Init::KaimingNormal {
            weight.iter_mut().for_each(|w| *w = *w * gain as f32 / sqrt_fan_in as f32);
        }
        weight.iter_mut().for_each(|w| *w *= scale as f32);
        weight
    }

    /// The bias of a linear layer.
    ///
    /// # Shapes
    /// (out)
    pub fn bias(&mut self, inputs: usize, outputs: usize) -> Vec<f32> {
        match self.init {
            Init::Torch => self.uniform((1.0 / (inputs as f64).sqrt()) as f32, outputs),
            Init::KaimingNormal | Init::Normal(_) => vec![0.0; outputs],
            // A bias is drawn as one column.
            Init::UnitNormal | Init::UnitColumns => self.normal(outputs, 1),
        }
    }

    /// A weight of a recurrent layer of `hidden` units, row-major; [`Init::Torch`]: uniform within 1 /
    /// sqrt(hidden).
    ///
    /// # Shapes
    /// (out, in)
    pub fn recurrent_weight(&mut self, inputs: usize, outputs: usize, hidden: usize) -> Vec<f32> {
        match self.init {
            Init::Torch => self.uniform((1.0 / (hidden as f64).sqrt()) as f32, inputs * outputs),
            _ => self.weight(inputs, outputs, 1.0, 1.0),
        }
    }

    /// A bias of a recurrent layer of `hidden` units.
    ///
    /// # Shapes
    /// (out)
    pub fn recurrent_bias(&mut self, outputs: usize, hidden: usize) -> Vec<f32> {
        self.bias(hidden, outputs)
    }

    /// `torch.randn((rows, columns))`; for [`Init::UnitColumns`] each column is divided by its norm.
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

    /// `len` numbers, uniform in (-`bound`, `bound`).
    pub fn uniform(&mut self, bound: f32, len: usize) -> Vec<f32> {
        let mut drawn = vec![0.0; len];
        self.generator.uniform(-bound, bound, &mut drawn);
        drawn
    }
}

/// The transpose of a row-major matrix.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| matrix.iter().skip(c).step_by(columns).copied()).collect()
}
