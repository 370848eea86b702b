//! Scopes: where layers declare their tensors, with names, shapes and initial values.

use charloom_tensor::{ParamId, Params};

use crate::Initializer;

/// Where layers declare their tensors: forms their full names, and draws their values or only lists their
/// shapes.
///
/// Tensors are drawn in single precision, as in torch; [`Params::cast`] converts them for a computation in
/// f64.
///
/// ```
/// use charloom_nn::{Init, Initializer, Linear, Scope, TensorShapes};
/// use charloom_tensor::{Params, rng::TorchGenerator};
///
/// // The size of a layer too large to draw.
/// let mut shapes = TensorShapes::default();
/// Linear::new(&mut Scope::shapes(&mut shapes).at("layers.0"), 1_000_000_000, 1_000_000_000, true);
/// assert_eq!(shapes.parameters(), 1_000_000_001_000_000_000);
/// // Drawn in the order of declaration.
/// let mut params = Params::<f32>::new();
/// let mut generator = TorchGenerator::new(42);
/// let mut scope = Scope::draw(&mut params, Initializer::new(Init::Torch, &mut generator));
/// Linear::new(&mut scope.at("layers.0"), 3, 2, true);
/// assert_eq!(params.entries()[0].name, "layers.0.weight");
/// ```
pub struct Scope<'s> {
    store: Store<'s>,
    path: String,
    gain: f64,
    scale: f64,
}

enum Store<'s> {
    Draw { params: &'s mut Params<f32>, init: Initializer<'s> },
    Shapes(&'s mut TensorShapes),
}

/// The names and shapes of tensors that are not drawn.
#[derive(Clone, Debug, Default)]
pub struct TensorShapes {
    /// Name, shape, and whether it is trained.
    tensors: Vec<(String, Vec<usize>, bool)>,
}

impl TensorShapes {
    /// How many numbers are trained, at most [`u64::MAX`].
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().filter(|(.., trained)| *trained).fold(0, |sum, (_, dims, _)| {
            let size = dims.iter().fold(1u64, |size, &dim| size.saturating_mul(dim as u64));
            sum.saturating_add(size)
        })
    }

    /// Name and shape of each tensor, in the order of declaration.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, dims, _)| (name.as_str(), dims.as_slice()))
    }
}

impl<'s> Scope<'s> {
    /// A scope whose tensors are drawn and added to `params`.
    pub fn draw(params: &'s mut Params<f32>, init: Initializer<'s>) -> Self {
        Self { store: Store::Draw { params, init }, path: String::new(), gain: 1.0, scale: 1.0 }
    }

    /// A scope whose tensors are only listed in `shapes`.
    pub fn shapes(shapes: &'s mut TensorShapes) -> Self {
        Self { store: Store::Shapes(shapes), path: String::new(), gain: 1.0, scale: 1.0 }
    }

    /// The scope of a part: its name is appended to this scope's path.
    pub fn at(&mut self, part: &str) -> Scope<'_> {
        let (path, gain, scale) = (self.name(part), self.gain, self.scale);
        let store = match &mut self.store {
            Store::Draw { params, init } => Store::Draw { params, init: init.reborrow() },
            Store::Shapes(shapes) => Store::Shapes(shapes),
        };
        Scope { store, path, gain, scale }
    }

    /// The same scope, with a gain for [`Init::KaimingNormal`](crate::Init::KaimingNormal): 5/3 suits tanh.
    #[must_use]
    pub fn with_gain(self, gain: f64) -> Self {
        Self { gain, ..self }
    }

    /// The same scope, with a factor for the weights of linear layers.
    #[must_use]
    pub fn with_scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// The full name: `weight` in the scope `layers.0` is `layers.0.weight`.
    fn name(&self, tensor: &str) -> String {
        if self.path.is_empty() { tensor.to_owned() } else { format!("{}.{tensor}", self.path) }
    }

    /// A tensor to be trained, with the values that `draw` returns in row-major order.
    ///
    /// # Panics
    /// If `draw` returns another number of values.
    pub fn tensor(
        &mut self,
        name: &str,
        dims: &[usize],
        draw: impl FnOnce(&mut Initializer<'_>) -> Vec<f32>,
    ) -> ParamId {
        self.drawn(name, dims, |params, name, init| params.add(name, dims, &draw(init)))
    }

    /// A weight of a linear layer, drawn by the initialization.
    ///
    /// # Shapes
    /// (out, in), column by column in memory
    pub fn weight(&mut self, name: &str, inputs: usize, outputs: usize) -> ParamId {
        let (gain, scale) = (self.gain, self.scale);
        self.matrix(name, [outputs, inputs], |init| init.weight(inputs, outputs, gain, scale))
    }

    /// As [`Scope::weight`], but row by row in memory.
    ///
    /// # Shapes
    /// (out, in)
    pub fn weight_by_rows(&mut self, name: &str, inputs: usize, outputs: usize) -> ParamId {
        let (dims, gain, scale) = ([outputs, inputs], self.gain, self.scale);
        self.drawn(name, &dims, |params, name, init| {
            params.add_by_rows(name, dims, &init.weight(inputs, outputs, gain, scale))
        })
    }

    /// A matrix to be trained that lies column by column in memory, the fastest layout for most linear
    /// layers.
    ///
    /// # Panics
    /// As [`Scope::tensor`].
    pub fn matrix(
        &mut self,
        name: &str,
        dims: [usize; 2],
        draw: impl FnOnce(&mut Initializer<'_>) -> Vec<f32>,
    ) -> ParamId {
        self.drawn(name, &dims, |params, name, init| params.add_by_columns(name, dims, &draw(init)))
    }

    /// A tensor to be trained that `add` draws and adds under its full name, unless it is only listed.
    fn drawn(
        &mut self,
        name: &str,
        dims: &[usize],
        add: impl FnOnce(&mut Params<f32>, &str, &mut Initializer<'_>) -> ParamId,
    ) -> ParamId {
        let name = self.name(name);
        match &mut self.store {
            Store::Draw { params, init } => add(params, &name, init),
            Store::Shapes(shapes) => shapes.push(name, dims, true),
        }
    }

    /// A tensor to be trained with all elements equal to `value`; nothing is drawn.
    pub fn constant(&mut self, name: &str, dims: &[usize], value: f32) -> ParamId {
        self.tensor(name, dims, |_| vec![value; dims.iter().product()])
    }

    /// A tensor that is not trained, with all elements initially equal to `value`.
    pub fn buffer(&mut self, name: &str, dims: &[usize], value: f32) -> ParamId {
        let name = self.name(name);
        match &mut self.store {
            Store::Draw { params, .. } => params.add_buffer(&name, dims, &vec![value; dims.iter().product()]),
            Store::Shapes(shapes) => shapes.push(name, dims, false),
        }
    }
}

impl TensorShapes {
    fn push(&mut self, name: String, dims: &[usize], trained: bool) -> ParamId {
        self.tensors.push((name, dims.to_vec(), trained));
        ParamId::placeholder()
    }
}
