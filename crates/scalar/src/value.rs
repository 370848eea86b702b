//! A handle to a number in a graph, with operators.

use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::Graph;
use crate::ops::{self, Binary, Op, Unary};

/// A number in a [`Graph`]: a `Copy` handle with the operators of an `f64`, which also take plain numbers.
///
/// ```
/// use charloom_scalar::Graph;
/// let graph = Graph::new();
/// let x = graph.value(3.0).label("x");
/// let y = 2.0 * x * x - x / 3.0 + 1.0;
/// y.backward();
/// assert_eq!(y.data(), 18.0);
/// assert!((x.grad() - (12.0 - 1.0 / 3.0)).abs() < 1e-12);
/// ```
#[derive(Clone, Copy)]
pub struct Value<'g> {
    graph: &'g Graph,
    id: u32,
    epoch: u32,
}

impl<'g> Value<'g> {
    pub(crate) fn new(graph: &'g Graph, id: u32, epoch: u32) -> Self {
        Self { graph, id, epoch }
    }

    pub(crate) fn handle(&self) -> (u32, u32) {
        (self.id, self.epoch)
    }

    /// The graph it belongs to.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// The number.
    pub fn data(self) -> f64 {
        let id = self.graph.id_of(self);
        self.graph.nodes().values[id as usize]
    }

    /// d root / d self from the last [`Value::backward`]; for a leaf, the sum over all of them since it was
    /// zeroed.
    pub fn grad(self) -> f64 {
        let id = self.graph.id_of(self);
        self.graph.nodes().grads[id as usize]
    }

    /// Changes a leaf's number; nodes already computed from it are not updated.
    ///
    /// # Panics
    /// If the value was computed by an op.
    pub fn set_data(self, data: f64) {
        let id = self.graph.id_of(self) as usize;
        self.graph.with(|nodes| {
            let op = nodes.ops[id];
            assert!(matches!(op, Op::Leaf | Op::Constant), "set_data: `{}` computed this value", op.name());
            nodes.values[id] = data;
        });
    }

    /// Sets its gradient to 0.
    pub fn zero_grad(self) {
        let id = self.graph.id_of(self);
        self.graph.with(|nodes| nodes.grads[id as usize] = 0.0);
    }

    /// Sets its label in pictures and tables, and returns it.
    pub fn label(self, label: impl Into<String>) -> Self {
        let id = self.graph.id_of(self);
        self.graph.with(|nodes| nodes.labels.insert(id, label.into()));
        self
    }

    pub(crate) fn has_label(self) -> bool {
        let id = self.graph.id_of(self);
        self.graph.nodes().labels.contains_key(&id)
    }

    /// Computes d self / d v for every v that self was computed from.
    ///
    /// One loop over the nodes from this one to the first, without recursion. Leaves add to the gradient they
    /// have, as in PyTorch.
    ///
    /// # Source
    /// `torch.Tensor.backward`
    pub fn backward(self) {
        let id = self.graph.id_of(self);
        self.graph.with(|nodes| nodes.backward(id));
    }

    /// self^exponent, where the exponent is a number or a value.
    pub fn pow(self, exponent: impl Operand<'g>) -> Self {
        self.binary(&ops::POW, exponent.within(self.graph))
    }

    /// e^self.
    ///
    /// ```
    /// use charloom_scalar::Graph;
    ///
    /// let graph = Graph::new();
    /// let x = graph.value(0.5);
    /// // tanh from its definition.
    /// let double = (2.0 * x).exp();
    /// let y = (double - 1.0) / (double + 1.0);
    /// assert!((y.data() - x.tanh().data()).abs() < 1e-12);
    /// y.backward();
    /// assert!((x.grad() - (1.0 - 0.5f64.tanh().powi(2))).abs() < 1e-12);
    /// assert!((x.sigmoid().data() - 1.0 / (1.0 + (-0.5f64).exp())).abs() < 1e-12);
    /// assert_eq!((x.pow(2.0).sqrt().data(), x.exp().ln().data(), (-x).relu().data()), (0.5, 0.5, 0.0));
    /// ```
    pub fn exp(self) -> Self {
        self.unary(&ops::EXP)
    }

    /// The natural logarithm.
    pub fn ln(self) -> Self {
        self.unary(&ops::LN)
    }

    /// The square root.
    pub fn sqrt(self) -> Self {
        self.unary(&ops::SQRT)
    }

    /// The hyperbolic tangent, whose derivative is 1 - tanh^2.
    pub fn tanh(self) -> Self {
        self.unary(&ops::TANH)
    }

    /// 1 / (1 + e^-self).
    pub fn sigmoid(self) -> Self {
        self.unary(&ops::SIGMOID)
    }

    /// max(0, self), whose derivative at 0 is 0.
    pub fn relu(self) -> Self {
        self.unary(&ops::RELU)
    }

    fn unary(self, op: &'static Unary) -> Self {
        let x = self.graph.id_of(self);
        let y = (op.forward)(self.graph.nodes().values[x as usize]);
        self.graph.push(y, Op::Unary(op, x))
    }

    fn binary(self, op: &'static Binary, other: Self) -> Self {
        let (a, b) = (self.graph.id_of(self), self.graph.id_of(other));
        let y = {
            let nodes = self.graph.nodes();
            (op.forward)(nodes.values[a as usize], nodes.values[b as usize])
        };
        self.graph.push(y, Op::Binary(op, a, b))
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value(data={}, grad={})", self.data(), self.grad())
    }
}

/// An operand beside a [`Value`]: another value, or a number, which becomes a constant.
pub trait Operand<'g> {
    /// The operand as a value of `graph`.
    fn within(self, graph: &'g Graph) -> Value<'g>;
}

impl<'g> Operand<'g> for Value<'g> {
    fn within(self, _: &'g Graph) -> Value<'g> {
        self
    }
}

impl<'g> Operand<'g> for f64 {
    fn within(self, graph: &'g Graph) -> Value<'g> {
        graph.constant(self)
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:expr) => {
        impl<'g, T: Operand<'g>> $trait<T> for Value<'g> {
            type Output = Value<'g>;
            fn $method(self, other: T) -> Value<'g> {
                self.binary(&$op, other.within(self.graph))
            }
        }

        impl<'g> $trait<Value<'g>> for f64 {
            type Output = Value<'g>;
            fn $method(self, other: Value<'g>) -> Value<'g> {
                self.within(other.graph).binary(&$op, other)
            }
        }
    };
}

operator!(Add, add, ops::ADD);
operator!(Sub, sub, ops::SUB);
operator!(Mul, mul, ops::MUL);
operator!(Div, div, ops::DIV);

impl<'g> Neg for Value<'g> {
    type Output = Value<'g>;
    fn neg(self) -> Value<'g> {
        self.unary(&ops::NEG)
    }
}
