use crate::kernels::{Epilogue, parallel_rows};
use crate::recording::{Fed, Node, Storage};
use crate::{Element, Indices};
use std::ops::Range;

/// An operation: computes its output from its inputs, and the inputs' gradients from the output's.
///
/// Each operation has one file in `ops/`, with forward and backward together. Whatever else backward needs,
/// the operation stores in itself, in memory allocated when it is recorded.
///
/// ```
/// use charloom_tensor::{Element, Env, InputGrads, Inputs, Op, Tape};
///
/// /// y = 2 x
/// struct Twice;
///
/// impl<E: Element> Op<E> for Twice {
///     fn name(&self) -> &'static str {
///         "twice"
///     }
///     fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], _: &Env<'_, E>) {
///         out.iter_mut().zip(x.get(0)).for_each(|(y, &x)| *y = x + x);
///     }
///     fn backward(&mut self, _: Inputs<'_, E>, _: &[E], g: &[E], to: &mut InputGrads<'_, E>, _: &Env<'_, E>) {
///         if let Some(dx) = to.get(0) {
///             dx.each(|i| g[i] + g[i]);
///         }
///     }
/// }
///
/// let tape = Tape::<f64>::new();
/// let x = tape.variable(&[2], &[3.0, 4.0]);
/// let y = tape.record(Twice, &[x.id()], x.shape());
/// assert_eq!(y.data(), [6.0, 8.0]);
/// y.sum_all().backward();
/// assert_eq!(x.grad(), [2.0, 2.0]);
/// ```
pub trait Op<E: Element>: Send {
    /// The name in error messages and pictures.
    fn name(&self) -> &'static str;

    /// Computes the output; must write every element of `out`.
    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>);

    /// Given the output and its gradient, computes the gradient of each input that needs one, except that of
    /// the [`weight`](Op::weight).
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    );

    /// The input whose gradient [`weight_grad`](Op::weight_grad) computes instead of `backward`, if any. It
    /// must be a matrix product on which no other gradient depends: in a step of gradient descent the product
    /// is added directly to the weight.
    fn weight(&self) -> Option<usize> {
        None
    }

    /// Computes the weight's gradient as a product written to `c` as `epilogue` says. It is called some time after
    /// `backward`; the weight itself must not be read any more.
    fn weight_grad(&mut self, _x: Inputs<'_, E>, _grad: &[E], _c: &mut [E], _epilogue: Epilogue<'_, E>) {}

    /// Whether `backward` sends numbers to another thread and [`receive`](Op::receive) waits for the answer,
    /// so that other work can be done in between.
    fn receives(&self) -> bool {
        false
    }

    /// Waits for the other thread's numbers and finishes what `backward` began.
    fn receive(&mut self, _grad: &[E], _grads: &mut InputGrads<'_, E>) {}

    /// Writes what a forward pass in training computed for the buffers, such as new running statistics.
    fn store_buffers(&self, _buffers: &mut [E]) {}

    /// How the operation treats the rows of a batch; see [`RowRule`].
    fn row_rule(&self) -> RowRule {
        RowRule::AcrossRows
    }

    /// Whether its kernels divide the rows of a batch among the threads in the same way as other operations,
    /// so that each thread keeps its rows; see [`Pool::enter`](crate::kernels::Pool::enter).
    fn keeps_rows(&self) -> bool {
        false
    }

    /// The operation as `Any`, for the fusions that search for its type.
    fn as_any(&mut self) -> Option<&mut dyn std::any::Any> {
        None
    }
}

/// How an operation treats the first dimension of its inputs. Only some of the rows along it may be in use,
/// and a row may stand for several equal ones.
///
/// When several examples of a batch have the same context, their rows are equal and can be computed once.
/// That is exact as long as every operation either treats each row alike and independently, or knows how
/// often each row counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowRule {
    /// Row i of the output depends only on row i of the inputs, or rows are weighted by their counts.
    PerRow,
    /// Row i of the output depends on row i of the inputs and on i itself: equal rows must not be merged.
    PerRowIndex,
    /// The output has the rows of this axis, such as that of the index tensor that chooses them; None if their
    /// number does not vary.
    AlongAxis(Option<usize>),
    /// It combines rows without knowing how often each counts: equal rows must not be merged.
    AcrossRows,
    /// The output has no rows; it is a sum or mean in which each input row was weighted by its count.
    WeightedReduction,
}

/// The inputs' values, in the order given to the operation.
#[derive(Clone, Copy)]
pub struct Inputs<'a, E> {
    pub(crate) nodes: &'a [Node],
    pub(crate) ids: &'a [usize],
    pub(crate) params: ParamValues<'a, E>,
    pub(crate) values: &'a [E],
    pub(crate) used: &'a [usize],
}

impl<'a, E: Element> Inputs<'a, E> {
    /// The memory of input `k`: its elements in order if it is contiguous, else everything from its first
    /// element to its last, to be read with the strides that it was recorded with.
    #[inline]
    pub fn get(&self, k: usize) -> &'a [E] {
        let node = &self.nodes[self.ids[k]];
        let range = node.span(self.used);
        match node.storage {
            Storage::Params => self.params.get(range),
            Storage::Recording => &self.values[range],
        }
    }

    /// How many inputs there are.
    pub fn count(&self) -> usize {
        self.ids.len()
    }
}

/// All parameters, except one range that may be borrowed by the operation that updates it.
#[derive(Clone, Copy)]
pub(crate) struct ParamValues<'a, E> {
    before: &'a [E],
    after: &'a [E],
    /// The index at which `after` begins.
    end: usize,
}

impl<'a, E> ParamValues<'a, E> {
    pub fn all(all: &'a [E]) -> Self {
        Self { before: all, after: &[], end: all.len() }
    }

    /// The range `piece`, mutable, and all other parameters.
    pub fn lend(all: &'a mut [E], piece: Range<usize>) -> (&'a mut [E], Self) {
        let (before, rest) = all.split_at_mut(piece.start);
        let (lent, after) = rest.split_at_mut(piece.len());
        (lent, Self { before, after, end: piece.end })
    }

    /// # Panics
    /// If `range` is in the borrowed piece.
    #[inline]
    fn get(&self, range: Range<usize>) -> &'a [E] {
        match range.end <= self.before.len() {
            true => &self.before[range],
            false => &self.after[range.start - self.end..range.end - self.end],
        }
    }
}

/// The inputs' gradients. Get them in the order of the inputs; the weight's comes last, in
/// [`weight_grad`](Op::weight_grad).
pub struct InputGrads<'a, E> {
    pub(crate) nodes: &'a [Node],
    pub(crate) ids: &'a [usize],
    pub(crate) params: &'a mut [E],
    pub(crate) values: &'a mut [E],
    pub(crate) add: &'a [bool],
    pub(crate) used: &'a [usize],
}

impl<E: Element> InputGrads<'_, E> {
    /// Whether input `k` needs a gradient.
    #[inline]
    pub fn needs_grad(&self, k: usize) -> bool {
        self.nodes[self.ids[k]].needs_grad
    }

    /// The gradient of input `k`; None if it needs none.
    #[inline]
    pub fn get(&mut self, k: usize) -> Option<Grad<'_, E>> {
        let node = &self.nodes[self.ids[k]];
        if !node.needs_grad {
            return None;
        }
        let memory = match node.storage {
            Storage::Params => &mut *self.params,
            Storage::Recording => &mut *self.values,
        };
        let data = &mut memory[node.span(self.used)];
        Some(Grad { data, add: self.add[k] })
    }
}

/// One input's gradient: the first operation that reaches it writes, later ones add.
pub struct Grad<'a, E> {
    /// Its memory, with the layout of the input.
    pub data: &'a mut [E],
    /// Whether it holds a gradient already, to be added to.
    pub add: bool,
}

impl<E: Element> Grad<'_, E> {
    /// Sets element `i` of the gradient to `f(i)`, or adds that.
    #[inline(always)]
    pub fn each(self, f: impl Fn(usize) -> E) {
        if self.add {
            self.data.iter_mut().enumerate().for_each(|(i, g)| *g += f(i));
        } else {
            self.data.iter_mut().enumerate().for_each(|(i, g)| *g = f(i));
        }
    }
}

impl<'a, E: Element> Grad<'a, E> {
    /// Divides it among the threads by whole rows: `part(at, g)` gets the part that begins at element `at`.
    pub(crate) fn parallel_rows(self, width: usize, work: usize, part: impl Fn(usize, Grad<'_, E>) + Sync) {
        let add = self.add;
        parallel_rows(self.data, width, work, |at, data| part(at, Grad { data, add }));
    }

    /// The memory, set to zeros if it held no gradient: for an operation that adds to elements in any order.
    pub fn zeroed(self) -> &'a mut [E] {
        if !self.add {
            bytemuck::fill_zeroes(self.data);
        }
        self.data
    }
}

/// What an operation can read besides its inputs.
pub struct Env<'a, E> {
    /// Whether batch norm and dropout behave as in training.
    pub training: bool,
    /// The step of the training; random masks depend on it.
    pub step: u64,
    /// Which of several recordings that share a step's work this is.
    pub replica: u64,
    /// Memory that outlives a step and is not trained, such as running statistics.
    pub buffers: &'a [E],
    pub(crate) fed: &'a Fed<E>,
}

impl<'a, E> Env<'a, E> {
    /// The integers of an index tensor, only of the rows in use.
    #[inline]
    pub fn indices(&self, which: Indices) -> &'a [u32] {
        self.fed.indices(which.index)
    }

    /// How often each row of an axis counts; empty when each counts once.
    #[inline]
    pub fn counts(&self, axis: Option<usize>) -> &'a [E] {
        axis.map_or(&[], |axis| &self.fed.counts[axis])
    }
}

/// From this number of units on, sums over a layer's units are computed in two halves.
const MANY_UNITS: usize = 64;

/// Whether two threads can share a layer of this number of units, each with half of them.
pub fn can_be_cut(units: usize) -> bool {
    units >= MANY_UNITS && units.is_multiple_of(2)
}
