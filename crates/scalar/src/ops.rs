//! The ops: a table with the value and the gradient of each.
//!
//! `forward` computes the value `y`; `backward` takes the gradient `g` with respect to `y` and returns the
//! gradient with respect to each input. Where a derivative is a convention (relu at 0, a power at 0), it is
//! PyTorch's.

/// y = f(x).
pub(crate) struct Unary {
    pub name: &'static str,
    pub forward: fn(f64) -> f64,
    pub backward: fn(g: f64, x: f64, y: f64) -> f64,
}

/// y = f(a, b).
pub(crate) struct Binary {
    pub name: &'static str,
    pub forward: fn(f64, f64) -> f64,
    pub backward: fn(g: f64, a: f64, b: f64, y: f64) -> (f64, f64),
}

/// The op that made a node; operands are ids of earlier nodes.
#[derive(Clone, Copy)]
pub(crate) enum Op {
    /// Made by no op; its gradient accumulates over backward passes.
    Leaf,
    /// Made by no op; has no gradient.
    Constant,
    Unary(&'static Unary, u32),
    Binary(&'static Binary, u32, u32),
    /// bias + sum of w[i] * x[i]; its operands start at `start` in the graph's list: bias, w0, x0, w1, x1,
    /// ...
    Affine {
        start: u32,
        len: u32,
    },
}

impl Op {
    /// The op's symbol in pictures and tables; empty for leaves and constants.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Leaf | Op::Constant => "",
            Op::Unary(op, _) => op.name,
            Op::Binary(op, ..) => op.name,
            Op::Affine { .. } => "Σwx+b",
        }
    }
}

pub(crate) static ADD: Binary = Binary { name: "+", forward: |a, b| a + b, backward: |g, _, _, _| (g, g) };

pub(crate) static SUB: Binary = Binary { name: "-", forward: |a, b| a - b, backward: |g, _, _, _| (g, -g) };

pub(crate) static MUL: Binary =
    Binary { name: "*", forward: |a, b| a * b, backward: |g, a, b, _| (g * b, g * a) };

pub(crate) static DIV: Binary =
    Binary { name: "/", forward: |a, b| a / b, backward: |g, _, b, y| (g / b, -g * y / b) };

// d/da of a^0 is 0 even where a^-1 is not finite; d/db of 0^b is 0 for b >= 0, where ln 0 is not finite.
pub(crate) static POW: Binary = Binary {
    name: "pow",
    forward: f64::powf,
    backward: |g, a, b, y| {
        let da = if b == 0.0 { 0.0 } else { g * (b * a.powf(b - 1.0)) };
        let db = if a == 0.0 && b >= 0.0 { 0.0 } else { g * (y * a.ln()) };
        (da, db)
    },
};

pub(crate) static NEG: Unary = Unary { name: "neg", forward: |x| -x, backward: |g, _, _| -g };

pub(crate) static EXP: Unary = Unary { name: "exp", forward: f64::exp, backward: |g, _, y| g * y };

pub(crate) static LN: Unary = Unary { name: "ln", forward: f64::ln, backward: |g, x, _| g / x };

pub(crate) static SQRT: Unary = Unary { name: "sqrt", forward: f64::sqrt, backward: |g, _, y| g / (2.0 * y) };

pub(crate) static TANH: Unary =
    Unary { name: "tanh", forward: f64::tanh, backward: |g, _, y| g * (1.0 - y * y) };

pub(crate) static SIGMOID: Unary =
    Unary { name: "sigmoid", forward: |x| 1.0 / (1.0 + (-x).exp()), backward: |g, _, y| g * ((1.0 - y) * y) };

// Written with <= so that NaN passes through both forward and backward.
pub(crate) static RELU: Unary = Unary {
    name: "relu",
    forward: |x| if x <= 0.0 { 0.0 } else { x },
    backward: |g, _, y| if y <= 0.0 { 0.0 } else { g },
};
