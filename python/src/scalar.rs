//! micrograd's interface over the scalar engine: a `Value` remembers what it was computed from.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use charloom_scalar::{Graph, picture};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// An operation of one or two values.
#[derive(Clone, Copy, PartialEq)]
enum Op {
    Leaf,
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Neg,
    Exp,
    Ln,
    Sqrt,
    Tanh,
    Sigmoid,
    Relu,
}

struct Node {
    op: Op,
    inputs: Vec<Arc<Node>>,
    /// The bits of an f64, as those of `grad`.
    data: AtomicU64,
    grad: AtomicU64,
    label: Mutex<Option<String>>,
}

/// Drops a long chain in a loop, since recursion would overflow the stack.
impl Drop for Node {
    fn drop(&mut self) {
        let mut left = std::mem::take(&mut self.inputs);
        while let Some(node) = left.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                left.append(&mut node.inputs);
            }
        }
    }
}

impl Node {
    fn data(&self) -> f64 {
        f64::from_bits(self.data.load(Ordering::Relaxed))
    }

    fn grad(&self) -> f64 {
        f64::from_bits(self.grad.load(Ordering::Relaxed))
    }

    /// All nodes that it was computed from and itself, each once, inputs before outputs.
    fn order(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let (mut found, mut seen) = (Vec::new(), std::collections::HashSet::new());
        let mut open = vec![(self.clone(), false)];
        while let Some((node, inputs_done)) = open.pop() {
            if inputs_done {
                found.push(node);
            } else if seen.insert(Arc::as_ptr(&node)) {
                open.push((node.clone(), true));
                open.extend(node.inputs.iter().rev().map(|input| (input.clone(), false)));
            }
        }
        found
    }
}

/// The operation's value in a graph.
fn apply<'g>(op: Op, x: &[charloom_scalar::Value<'g>]) -> charloom_scalar::Value<'g> {
    match op {
        Op::Add => x[0] + x[1],
        Op::Sub => x[0] - x[1],
        Op::Mul => x[0] * x[1],
        Op::Div => x[0] / x[1],
        Op::Pow => x[0].pow(x[1]),
        Op::Neg => -x[0],
        Op::Exp => x[0].exp(),
        Op::Ln => x[0].ln(),
        Op::Sqrt => x[0].sqrt(),
        Op::Tanh => x[0].tanh(),
        Op::Sigmoid => x[0].sigmoid(),
        Op::Relu | Op::Leaf => x[0].relu(),
    }
}

/// Replays the computation of nodes in order; returns their values in the graph.
fn replay<'g>(graph: &'g Graph, nodes: &[Arc<Node>]) -> Vec<charloom_scalar::Value<'g>> {
    let mut places = HashMap::new();
    let mut values: Vec<charloom_scalar::Value<'g>> = Vec::with_capacity(nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        let inputs: Vec<_> = node.inputs.iter().map(|input| values[places[&Arc::as_ptr(input)]]).collect();
        let value = if node.op == Op::Leaf { graph.value(node.data()) } else { apply(node.op, &inputs) };
        if let Some(label) = &*node.label.lock().unwrap_or_else(PoisonError::into_inner) {
            value.label(label.clone());
        }
        values.push(value);
        places.insert(Arc::as_ptr(node), i);
    }
    values
}

/// A number that remembers what it was computed from, and has a gradient after `backward`.
///
/// >>> a, b = Value(2.0), Value(-3.0)
/// >>> (a * b + 10).tanh().backward()
/// >>> round(a.grad, 4)
/// -0.004
#[pyclass(frozen, module = "charloom.scalar")]
pub struct Value {
    node: Arc<Node>,
}

impl Value {
    fn made(op: Op, inputs: Vec<Arc<Node>>) -> Self {
        let graph = Graph::new();
        let values: Vec<_> = inputs.iter().map(|input| graph.value(input.data())).collect();
        Self::node(op, inputs, apply(op, &values).data())
    }

    fn node(op: Op, inputs: Vec<Arc<Node>>, data: f64) -> Self {
        let (data, grad) = (AtomicU64::new(data.to_bits()), AtomicU64::new(0));
        Self { node: Arc::new(Node { op, inputs, data, grad, label: Mutex::default() }) }
    }

    fn with(&self, op: Op, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self::made(op, vec![self.node.clone(), operand(other)?]))
    }

    fn after(&self, op: Op, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self::made(op, vec![operand(other)?, self.node.clone()]))
    }

    fn of_one(&self, op: Op) -> Self {
        Self::made(op, vec![self.node.clone()])
    }
}

/// A value, or a number that becomes one.
fn operand(other: &Bound<'_, PyAny>) -> PyResult<Arc<Node>> {
    if let Ok(value) = other.cast::<Value>() {
        return Ok(value.get().node.clone());
    }
    let number: f64 = other.extract().map_err(|_| {
        let kind = other.get_type();
        PyTypeError::new_err(format!("a Value is combined with a Value or a number, not with {kind}"))
    })?;
    Ok(Value::node(Op::Leaf, Vec::new(), number).node)
}

#[pymethods]
impl Value {
    #[new]
    #[pyo3(signature = (data, label=None))]
    fn new(data: f64, label: Option<String>) -> Self {
        let value = Self::node(Op::Leaf, Vec::new(), data);
        *value.node.label.lock().unwrap_or_else(PoisonError::into_inner) = label;
        value
    }

    /// The number.
    #[getter]
    fn get_data(&self) -> f64 {
        self.node.data()
    }

    #[setter]
    fn set_data(&self, data: f64) -> PyResult<()> {
        if self.node.op != Op::Leaf {
            return Err(PyValueError::new_err(
                "this value was computed; only a leaf can be given another number",
            ));
        }
        self.node.data.store(data.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    /// The derivative of what `backward` was last called on; of a leaf the sum over all calls since it was zeroed.
    #[getter]
    fn get_grad(&self) -> f64 {
        self.node.grad()
    }

    #[setter]
    fn set_grad(&self, grad: f64) {
        self.node.grad.store(grad.to_bits(), Ordering::Relaxed);
    }

    /// Its name in pictures.
    #[getter]
    fn get_label(&self) -> Option<String> {
        self.node.label.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[setter]
    fn set_label(&self, label: Option<String>) {
        *self.node.label.lock().unwrap_or_else(PoisonError::into_inner) = label;
    }

    /// Leaves in every value that this one was computed from the derivative of this one with respect to it.
    fn backward(&self) {
        let (graph, nodes) = (Graph::new(), self.node.order());
        let values = replay(&graph, &nodes);
        if let Some(root) = values.last() {
            root.backward();
        }
        for (node, value) in nodes.iter().zip(values) {
            let before = if node.op == Op::Leaf { node.grad() } else { 0.0 };
            node.grad.store((before + value.grad()).to_bits(), Ordering::Relaxed);
        }
    }

    fn __add__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.with(Op::Add, other)
    }

    fn __radd__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.after(Op::Add, other)
    }

    fn __sub__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.with(Op::Sub, other)
    }

    fn __rsub__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.after(Op::Sub, other)
    }

    fn __mul__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.with(Op::Mul, other)
    }

    fn __rmul__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.after(Op::Mul, other)
    }

    fn __truediv__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.with(Op::Div, other)
    }

    fn __rtruediv__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.after(Op::Div, other)
    }

    fn __pow__(&self, other: &Bound<'_, PyAny>, modulo: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        if modulo.is_some() {
            return Err(PyTypeError::new_err("a Value's power has no modulus"));
        }
        self.with(Op::Pow, other)
    }

    fn __rpow__(&self, other: &Bound<'_, PyAny>, _modulo: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        self.after(Op::Pow, other)
    }

    fn __neg__(&self) -> Self {
        self.of_one(Op::Neg)
    }

    /// e to this.
    fn exp(&self) -> Self {
        self.of_one(Op::Exp)
    }

    /// The natural logarithm.
    fn log(&self) -> Self {
        self.of_one(Op::Ln)
    }

    /// The square root.
    fn sqrt(&self) -> Self {
        self.of_one(Op::Sqrt)
    }

    /// The hyperbolic tangent.
    fn tanh(&self) -> Self {
        self.of_one(Op::Tanh)
    }

    /// 1 / (1 + exp(-x))
    fn sigmoid(&self) -> Self {
        self.of_one(Op::Sigmoid)
    }

    /// max(x, 0)
    fn relu(&self) -> Self {
        self.of_one(Op::Relu)
    }

    fn __float__(&self) -> f64 {
        self.node.data()
    }

    fn __repr__(&self) -> String {
        format!("Value(data={:?}, grad={:?})", self.node.data(), self.node.grad())
    }

    /// The computation as SVG.
    fn svg(&self) -> PyResult<String> {
        let (graph, nodes) = (Graph::new(), self.node.order());
        let values = replay(&graph, &nodes);
        let Some(&root) = values.last() else { return Ok(String::new()) };
        let mut shown = graph.nodes_of(root);
        for (shown, node) in shown.iter_mut().zip(&nodes) {
            shown.grad = Some(node.grad());
        }
        picture::svg(&shown).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn _repr_svg_(&self) -> Option<String> {
        self.svg().ok()
    }
}
