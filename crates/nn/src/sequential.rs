use crate::{
    BatchNorm1d, Dropout, Flatten, FlattenConsecutive, Gelu, GeluTanh, LayerNorm, Linear, Relu, RmsNorm,
    SquaredRelu, Tanh,
};
use charloom_tensor::{Element, Var};

macro_rules! layers {
    ($($name:ident,)+) => {
        /// Any layer that maps a tensor to a tensor.
        #[derive(Clone, Copy, Debug)]
        #[expect(missing_docs, reason = "each is the layer of its name")]
        pub enum Layer {
            $($name($name),)+
        }

        impl Layer {
            /// Records the layer.
            pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
                match self {
                    $(Self::$name(layer) => layer.forward(x),)+
                }
            }

            /// Its type's name in torch.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)+
                }
            }
        }

        $(impl From<$name> for Layer {
            fn from(layer: $name) -> Self {
                Self::$name(layer)
            }
        })+
    };
}

layers! {
    Linear, BatchNorm1d, LayerNorm, RmsNorm, Tanh, Relu, Gelu, GeluTanh, SquaredRelu, Dropout, Flatten,
    FlattenConsecutive,
}

impl Layer {
    /// Whether it takes positions in a dimension of their own, (B, T, C), rather than flattened.
    pub fn takes_positions(&self) -> bool {
        matches!(self, Self::FlattenConsecutive(_))
    }
}

/// Layers applied one after the other.
///
/// As in torch, the tensors of layer i are named `layers.i.`, where layers without tensors count too.
///
/// # Source
/// `torch.nn.Sequential`
///
/// ```
/// use charloom_nn::{FlattenConsecutive, Init, Initializer, Linear, Scope, Sequential, Tanh};
/// use charloom_tensor::{Params, Tape, rng::TorchGenerator};
///
/// let mut params = Params::<f32>::new();
/// let mut generator = TorchGenerator::new(42);
/// let mut scope = Scope::draw(&mut params, Initializer::new(Init::Torch, &mut generator));
/// // Eight positions are merged to four, and these to two.
/// let net = Sequential::new(vec![
///     FlattenConsecutive { n: 2 }.into(),
///     Linear::new(&mut scope.at("layers.1"), 6, 5, false).into(),
///     Tanh.into(),
///     FlattenConsecutive { n: 2 }.into(),
///     Linear::new(&mut scope.at("layers.4"), 10, 5, true).into(),
/// ]);
/// let tape = Tape::with(&params);
/// assert_eq!(net.forward(tape.input(&[1, 8, 3], &[0.1; 24])).shape().dims(), [1, 2, 5]);
/// let names: Vec<&str> = net.layers.iter().map(|layer| layer.name()).collect();
/// assert_eq!(names[..3], ["FlattenConsecutive", "Linear", "Tanh"]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sequential {
    /// The layers.
    pub layers: Vec<Layer>,
}

impl Sequential {
    /// A sequence of these layers.
    pub fn new(layers: Vec<Layer>) -> Self {
        Self { layers }
    }

    /// Records all layers in order.
    pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        self.layers.iter().fold(x, |x, layer| layer.forward(x))
    }
}
