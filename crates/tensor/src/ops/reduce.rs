//! sum, mean, variance and maximum over some dimensions

use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::shape::for_each;
use crate::{Element, Layout, MAX_DIMS, Shape, Var};

/// How numbers are reduced to one.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sum,
    Mean,
    /// The divisor is their number minus `correction`: 1 for the unbiased variance.
    Var {
        correction: f64,
    },
    Max,
}

struct Reduce {
    kind: Kind,
    shape: Shape,
    strides: [usize; MAX_DIMS],
    /// Which dimensions are reduced.
    reduced: [bool; MAX_DIMS],
    contiguous: bool,
    row_rule: RowRule,
}

/// The loops over the elements of the output, and over the inputs of each.
struct Loops {
    outer: Shape,
    inner: Shape,
    x: [usize; MAX_DIMS],
    out: [usize; MAX_DIMS],
}

impl Loops {
    /// How many inputs each output has.
    fn n(&self) -> f64 {
        self.inner.len() as f64
    }

    /// Calls `f(index of the first input, index of the output)` for every output.
    fn outputs(&self, mut f: impl FnMut(usize, usize)) {
        for_each(&self.outer, [self.x, self.out], |[i, k]| f(i, k));
    }

    /// Calls `f(index)` for every input of the output whose first input is at `first`.
    fn inputs(&self, first: usize, mut f: impl FnMut(usize)) {
        for_each(&self.inner, [self.x], |[j]| f(first + j));
    }

    fn sum<E: Element>(&self, first: usize, f: impl Fn(usize) -> E) -> f64 {
        // In f64, so that a long sum of f32 loses no precision.
        let mut sum = 0.0;
        self.inputs(first, |i| sum += f(i).f64());
        sum
    }
}

impl Reduce {
    fn loops(&self, len: usize) -> Loops {
        let shape = if self.contiguous { self.shape.with_len(len) } else { self.shape };
        let (mut outer, mut inner) = ([1; MAX_DIMS], [1; MAX_DIMS]);
        for (d, &size) in shape.dims().iter().enumerate() {
            if self.reduced[d] { inner[d] = size } else { outer[d] = size }
        }
        let outer = Shape::new(&outer[..shape.rank()]);
        let out = Layout::contiguous(&outer, 0).strides;
        Loops { outer, inner: Shape::new(&inner[..shape.rank()]), x: self.strides, out }
    }
}

/// Whether `x` equals the maximum `y`; if any number is NaN, so is the maximum.
fn is_max<E: Element>(x: E, y: E) -> bool {
    x == y || (x.is_nan() && y.is_nan())
}

impl<E: Element> Op<E> for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Mean => "mean",
            Kind::Var { .. } => "var",
            Kind::Max => "max",
        }
    }

    fn row_rule(&self) -> RowRule {
        self.row_rule
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
        let x = x.get(0);
        let loops = self.loops(x.len());
        let n = loops.n();
        loops.outputs(|first, k| {
            out[k] = match self.kind {
                Kind::Sum => E::of(loops.sum(first, |i| x[i])),
                Kind::Mean => E::of(loops.sum(first, |i| x[i]) / n),
                Kind::Var { correction } => {
                    let mean = E::of(loops.sum(first, |i| x[i]) / n);
                    E::of(loops.sum(first, |i| (x[i] - mean) * (x[i] - mean)) / (n - correction))
                }
                Kind::Max => {
                    let mut max = x[first];
                    loops.inputs(first, |i| {
                        if x[i] > max || x[i].is_nan() {
                            max = x[i];
                        }
                    });
                    max
                }
            };
        });
    }

    // sum: dx = dy      mean: dx = dy / n      var: dx = 2 (x - mean) dy / (n - correction)
    // max: dx = dy divided evenly among the elements that equal the maximum, 0 elsewhere
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        _: &Env<'_, E>,
    ) {
        let x = x.get(0);
        let loops = self.loops(x.len());
        let n = loops.n();
        let Some(g) = grads.get(0) else { return };
        let g = g.zeroed();
        loops.outputs(|first, k| match self.kind {
            Kind::Sum => loops.inputs(first, |i| g[i] += grad[k]),
            Kind::Mean => {
                let share = grad[k] / E::of(n);
                loops.inputs(first, |i| g[i] += share);
            }
            Kind::Var { correction } => {
                let mean = E::of(loops.sum(first, |i| x[i]) / n);
                let share = grad[k] * E::of(2.0 / (n - correction));
                loops.inputs(first, |i| g[i] += share * (x[i] - mean));
            }
            Kind::Max => {
                let mut ties = E::zero();
                loops.inputs(first, |i| {
                    if is_max(x[i], out[k]) {
                        ties += E::one();
                    }
                });
                let share = grad[k] / ties;
                loops.inputs(first, |i| {
                    if is_max(x[i], out[k]) {
                        g[i] += share;
                    }
                });
            }
        });
    }
}

impl<'t, E: Element> Var<'t, E> {
    fn reduce(self, kind: Kind, dims: &[usize], keepdim: bool) -> Var<'t, E> {
        let (shape, layout) = (self.shape(), self.layout());
        let mut reduced = [false; MAX_DIMS];
        for &d in dims {
            assert!(d < shape.rank() && !reduced[d], "reduction over dimensions {dims:?} of shape {shape:?}");
            reduced[d] = true;
        }
        let (mut sizes, mut rank) = ([1; MAX_DIMS], 0);
        for (d, &size) in shape.dims().iter().enumerate() {
            if keepdim || !reduced[d] {
                sizes[rank] = if reduced[d] { 1 } else { size };
                rank += 1;
            }
        }
        let row_rule =
            if self.axis().is_some() && !reduced[0] { RowRule::PerRow } else { RowRule::AcrossRows };
        let contiguous = layout.is_contiguous(&shape);
        let op = Reduce { kind, shape, strides: layout.strides, reduced, contiguous, row_rule };
        self.tape().record(op, &[self.id()], Shape::new(&sizes[..rank]))
    }

    fn all_dims(self) -> Vec<usize> {
        (0..self.shape().rank()).collect()
    }

    /// The sum over some dimensions, `y = sum x`. The dimensions are removed, or kept with size 1 if
    /// `keepdim`.
    ///
    /// # Shapes
    /// x (B, T, H), dims `[1]` -> (B, H), or (B, 1, H) with `keepdim`
    ///
    /// # Panics
    /// If a dimension is not there, or named twice.
    ///
    /// # Source
    /// `torch.sum`; its `dim=()` means all dimensions, here it means none
    ///
    /// ```
    /// use charloom_tensor::Tape;
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]);
    /// assert_eq!(x.sum(&[1], false).data(), [6.0, 18.0]);
    /// assert_eq!(x.sum(&[0], true).shape().dims(), [1, 3]);
    /// assert_eq!(x.mean(&[1], false).data(), [2.0, 6.0]);
    /// assert_eq!(x.var(&[1], true, false).data(), [1.0, 7.0]);
    /// assert_eq!(x.max(&[0], false).data(), [4.0, 5.0, 9.0]);
    /// assert_eq!((x.sum_all().item(), x.mean_all().item()), (24.0, 4.0));
    /// ```
    pub fn sum(self, dims: &[usize], keepdim: bool) -> Var<'t, E> {
        self.reduce(Kind::Sum, dims, keepdim)
    }

    /// The mean over some dimensions, `y = 1/n sum x`.
    ///
    /// # Shapes
    /// x (B, T, H), dims `[1]` -> (B, H), or (B, 1, H) with `keepdim`
    ///
    /// # Panics
    /// If a dimension is not there, or named twice.
    ///
    /// # Source
    /// `torch.mean`
    pub fn mean(self, dims: &[usize], keepdim: bool) -> Var<'t, E> {
        self.reduce(Kind::Mean, dims, keepdim)
    }

    /// The variance over some dimensions: `y = 1/(n - 1) sum (x - mean)^2` if `unbiased`, else
    /// `1/n sum (x - mean)^2`.
    ///
    /// In two passes, so that a mean far from zero costs no precision. Unbiased over one number it is NaN, as
    /// in torch.
    ///
    /// # Shapes
    /// x (B, T, H), dims `[1]` -> (B, H), or (B, 1, H) with `keepdim`
    ///
    /// # Panics
    /// If a dimension is not there, or named twice.
    ///
    /// # Source
    /// `torch.var` with `correction` 1 or 0
    pub fn var(self, dims: &[usize], unbiased: bool, keepdim: bool) -> Var<'t, E> {
        self.reduce(Kind::Var { correction: f64::from(u8::from(unbiased)) }, dims, keepdim)
    }

    /// The maximum over some dimensions; equal maxima share the gradient evenly. NaN if any element is NaN.
    ///
    /// # Shapes
    /// x (B, T, H), dims `[1]` -> (B, H), or (B, 1, H) with `keepdim`
    ///
    /// # Panics
    /// If a dimension is not there, or named twice, or there is no element.
    ///
    /// # Source
    /// `torch.amax`; `torch.max(dim)` gives the whole gradient to one of equal maxima instead
    pub fn max(self, dims: &[usize], keepdim: bool) -> Var<'t, E> {
        assert!(!self.shape().is_empty(), "max: no element in shape {:?}", self.shape());
        self.reduce(Kind::Max, dims, keepdim)
    }

    /// The sum of all elements.
    ///
    /// # Shapes
    /// any -> ()
    ///
    /// # Source
    /// `torch.sum`
    pub fn sum_all(self) -> Var<'t, E> {
        self.sum(&self.all_dims(), false)
    }

    /// The mean of all elements.
    ///
    /// # Shapes
    /// any -> ()
    ///
    /// # Source
    /// `torch.mean`
    pub fn mean_all(self) -> Var<'t, E> {
        self.mean(&self.all_dims(), false)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;
    use crate::check::check;

    #[test]
    fn gradient() {
        for keepdim in [false, true] {
            for dims in [&[0][..], &[1], &[2], &[0, 2], &[2, 1], &[0, 1, 2], &[]] {
                check(&[&[2, 3, 4]], |v| v[0].sum(dims, keepdim));
                check(&[&[2, 3, 4]], |v| v[0].mean(dims, keepdim));
                check(&[&[2, 3, 4]], |v| v[0].var(dims, false, keepdim));
                check(&[&[2, 3, 4]], |v| v[0].max(dims, keepdim));
            }
            check(&[&[2, 3, 4]], |v| v[0].var(&[1], true, keepdim));
        }
    }

    #[test]
    fn gradient_of_strided_views() {
        check(&[&[3, 4]], |v| v[0].transpose(0, 1).max(&[0], false) * v[0].slice(1, 2, 3).sum(&[1], false));
        check(&[&[3, 4]], |v| v[0].slice(1, 1, 3).transpose(0, 1).var(&[1], true, false));
        check(&[&[3, 4]], |v| v[0].slice(0, 1, 3).mean(&[0], false));
    }

    #[test]
    fn equal_maxima_share_the_gradient() {
        let tape = Tape::<f64>::new();
        let x = tape.variable(&[2, 2], &[3.0, 3.0, f64::NAN, 1.0]);
        let y = x.max(&[1], false);
        assert!(y.data()[0] == 3.0 && y.data()[1].is_nan());
        y.sum_all().backward();
        assert_eq!(x.grad(), [0.5, 0.5, 1.0, 0.0]);
    }

    #[test]
    fn long_sums_and_far_means_keep_their_digits() {
        let tape = Tape::<f32>::new();
        let x = tape.input(&[1_000_000], &vec![0.1; 1_000_000]);
        assert_eq!(x.sum_all().item(), (f64::from(0.1f32) * 1e6) as f32);
        let far = tape.input(&[3], &[1e4, 1e4 + 1.0, 1e4 + 2.0]);
        assert_eq!(far.var(&[0], true, false).item(), 1.0);
        assert!(tape.input(&[1], &[2.0]).var(&[0], true, false).item().is_nan());
    }
}
