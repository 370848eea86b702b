//! Numbers as `print(tensor)` shows them in torch: four digits, equal widths, the middle of long tensors left
//! out.
//!
//! # Source
//! `torch/_tensor_str.py` with its default options

use std::fmt::Write;

use crate::{Element, Var};

/// Digits after the decimal point.
const PRECISION: usize = 4;
/// Tensors with more numbers than this are shortened.
const THRESHOLD: usize = 1000;
/// How many numbers are shown at each end of a shortened dimension.
const EDGE: usize = 3;
/// Characters of a line.
const LINE: usize = 80;
/// The width of `tensor(`, which stands before the first bracket.
const INDENT: usize = 7;

/// A tensor of floating-point numbers, row-major, as torch prints it.
///
/// ```
/// use charloom_tensor::print_floats;
/// let text = print_floats(&[2, 2], &[1.0f32, 0.5, -2.0, 10.0]);
/// assert_eq!(text, "tensor([[ 1.0000,  0.5000],\n        [-2.0000, 10.0000]])");
/// ```
///
/// # Panics
/// If there are more or fewer numbers than the sizes say.
pub fn print_floats<E: Element>(dims: &[usize], numbers: &[E]) -> String {
    let dtype = if size_of::<E>() == 4 { None } else { Some("torch.float64") };
    let values = numbers.iter().map(|x| x.f64()).collect();
    Printer { dims, values, is_whole: false, dtype }.print()
}

/// A tensor of whole numbers, row-major, as torch prints it.
///
/// ```
/// assert_eq!(charloom_tensor::print_whole(&[3], &[5, 13, 1]), "tensor([ 5, 13,  1])");
/// ```
///
/// # Panics
/// As [`print_floats`].
pub fn print_whole(dims: &[usize], numbers: &[u64]) -> String {
    let dtype = numbers.is_empty().then_some("torch.int64");
    let values = numbers.iter().map(|&x| x as f64).collect();
    Printer { dims, values, is_whole: true, dtype }.print()
}

impl<E: Element> std::fmt::Debug for Var<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&print_floats(self.shape().dims(), &self.data()))
    }
}

struct Printer<'a> {
    dims: &'a [usize],
    values: Vec<f64>,
    is_whole: bool,
    /// The `dtype` to print, if it is not the default.
    dtype: Option<&'static str>,
}

/// The format of a tensor's numbers.
#[derive(Clone, Copy)]
enum Form {
    Whole,
    /// A whole number among floating-point ones: `3.`
    Pointed,
    Decimal,
    Scientific,
}

impl Printer<'_> {
    fn print(&self) -> String {
        assert_eq!(
            self.dims.iter().product::<usize>(),
            self.values.len(),
            "numbers of shape {:?}",
            self.dims
        );
        let mut text = "tensor(".to_owned();
        let mut said = Vec::new();
        if self.values.is_empty() {
            text += "[]";
            if self.dims.len() != 1 {
                let sizes: Vec<String> = self.dims.iter().map(ToString::to_string).collect();
                said.push(format!("size=({})", sizes.join(", ")));
            }
        } else {
            let form = self.form();
            let shown = self.shown(0, 0);
            let width = shown.iter().map(|&x| (x, form)).filter(|(x, _)| self.counts(*x));
            let width = width.map(|(x, form)| written(x, form).len()).max().unwrap_or(1);
            self.rows(0, 0, INDENT, (form, width), &mut text);
        }
        said.extend(self.dtype.map(|dtype| format!("dtype={dtype}")));
        for part in said {
            let line = text.len() - text.rfind('\n').map_or(0, |at| at + 1) + 2;
            text += if line + part.len() + 2 > LINE { ",\n       " } else { ", " };
            text += &part;
        }
        text + ")"
    }

    fn is_cut(&self) -> bool {
        self.values.len() > THRESHOLD
    }

    /// Whether a number counts for the width; among floating-point numbers 0, infinities and NaN do not.
    fn counts(&self, x: f64) -> bool {
        self.is_whole || (x != 0.0 && x.is_finite())
    }

    fn form(&self) -> Form {
        if self.is_whole {
            return Form::Whole;
        }
        let shown = self.shown(0, 0);
        let sizes = || shown.iter().filter(|x| self.counts(**x)).map(|x| x.abs());
        let (least, most) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
        let is_wide = most > 0.0 && (most / least > 1000.0 || most > 1e8 || least < 1e-4);
        match (is_wide, sizes().all(|x| x == x.ceil())) {
            (true, _) => Form::Scientific,
            (false, true) => Form::Pointed,
            (false, false) => Form::Decimal,
        }
    }

    /// Which indices of a dimension are shown; None stands for the ones left out.
    fn places(&self, dim: usize) -> Vec<Option<usize>> {
        let n = self.dims[dim];
        if !self.is_cut() || n <= 2 * EDGE {
            return (0..n).map(Some).collect();
        }
        (0..EDGE).map(Some).chain([None]).chain((n - EDGE..n).map(Some)).collect()
    }

    /// The numbers shown of the part that begins at element `at`, from dimension `dim` on.
    fn shown(&self, dim: usize, at: usize) -> Vec<f64> {
        if dim == self.dims.len() {
            return vec![self.values[at]];
        }
        let stride: usize = self.dims[dim + 1..].iter().product();
        self.places(dim).into_iter().flatten().flat_map(|i| self.shown(dim + 1, at + i * stride)).collect()
    }

    fn rows(&self, dim: usize, at: usize, indent: usize, form: (Form, usize), text: &mut String) {
        let number = |x: f64| format!("{:>1$}", written(x, form.0), form.1);
        let Some(inner) = self.dims.len().checked_sub(dim + 1) else {
            *text += &number(self.values[at]);
            return;
        };
        let (places, margin) = (self.places(dim), " ".repeat(indent + 1));
        text.push('[');
        if inner == 0 {
            let cells: Vec<String> =
                places.iter().map(|i| i.map_or(" ...".to_owned(), |i| number(self.values[at + i]))).collect();
            let fit = ((LINE - indent.min(LINE)) / (form.1 + 2)).max(1);
            let lines: Vec<String> = cells.chunks(fit).map(|line| line.join(", ")).collect();
            *text += &lines.join(&format!(",\n{margin}"));
        } else {
            let stride: usize = self.dims[dim + 1..].iter().product();
            for (k, place) in places.iter().enumerate() {
                if k > 0 {
                    let _ = write!(text, ",{}{margin}", "\n".repeat(inner));
                }
                match place {
                    Some(i) => self.rows(dim + 1, at + i * stride, indent + 1, form, text),
                    None => *text += "...",
                }
            }
        }
        text.push(']');
    }
}

/// A number in the format that Python would write.
fn written(x: f64, form: Form) -> String {
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    match form {
        Form::Whole => format!("{x:.0}"),
        Form::Pointed => format!("{x:.0}."),
        Form::Decimal => format!("{x:.PRECISION$}"),
        Form::Scientific => {
            let text = format!("{x:.PRECISION$e}");
            let (digits, exponent) = text.split_once('e').expect("the form has an exponent");
            let exponent: i32 = exponent.parse().expect("a whole number");
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
    }
}
