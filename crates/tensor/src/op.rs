use crate::kernels::{End, share_rows};
use crate::recording::{Fed, Home, Node};
use crate::{Element, Indices};
use std::ops::Range;

/// An operation: how its value follows from its inputs, and how their gradients follow from its own.
///
/// One file in `ops/` for each; forward and backward stand together. What backward needs beyond inputs and output, the
/// operation keeps in itself, in memory taken when it is recorded.
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
    /// The name that errors and pictures show.
    fn name(&self) -> &'static str;

    /// Writes the output's every element.
    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>);

    /// Given the output and its gradient, passes the gradient on to each input that wants one, except to the
    /// [`weight`](Op::weight).
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    );

    /// Which input is a weight whose gradient [`weight_grad`](Op::weight_grad) makes. No other gradient depends on it, and
    /// it is a matrix product: in a step of gradient descent the product ends in the weight itself.
    fn weight(&self) -> Option<usize> {
        None
    }

    /// Makes the gradient of the weight as a product that goes to `c` and ends as `end` says. It comes some time after
    /// `backward`; the weight itself cannot be read any more.
    fn weight_grad(&mut self, _x: Inputs<'_, E>, _grad: &[E], _c: &mut [E], _end: End<'_, E>) {}

    /// Whether `backward` sends numbers to another thread that only [`receive`](Op::receive) waits for, so that other work
    /// can be done between them.
    fn receives(&self) -> bool {
        false
    }

    /// Ends what `backward` began.
    fn receive(&mut self, _grad: &[E], _grads: &mut InputGrads<'_, E>) {}

    /// Writes what a forward pass in training found out for the buffers, such as new running statistics.
    fn store_buffers(&self, _buffers: &mut [E]) {}

    /// How the operation treats rows; see [`RowRule`].
    fn row_rule(&self) -> RowRule {
        RowRule::Mixes
    }

    /// Whether its kernels share a batch's rows out alike among threads; see
    /// [`Pool::enter`](crate::kernels::Pool::enter).
    fn keeps_rows(&self) -> bool {
        false
    }

    /// The operation as itself, for the fusions that look for it.
    fn as_any(&mut self) -> Option<&mut dyn std::any::Any> {
        None
    }
}

/// How an operation treats the first dimension of its inputs, along which rows may be in use or not, and may stand for
/// several equal ones.
///
/// When several examples of a batch have the same context, their rows are equal and can be computed once. That is
/// exact as long as every operation either treats rows alike and apart, or knows how often each row counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowRule {
    /// It looks across rows without knowing how often each counts: equal rows must not be merged.
    Mixes,
    /// Each row of the output follows from the same row of the inputs, or the operation weighs rows by count.
    Keeps,
    /// Each row of the output follows from the same row of the inputs and from its place: equal rows must not be merged.
    KeepsApart,
    /// The output has a row for each row of an index tensor, along the axis of that.
    Chooses(Option<usize>),
    /// Rows end here, each counted as often as it occurs.
    Ends,
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
    /// The memory of input `k`: its elements in order if it is contiguous, else everything from its first element
    /// to its last, to be read with the strides it was recorded with.
    #[inline]
    pub fn get(&self, k: usize) -> &'a [E] {
        let node = &self.nodes[self.ids[k]];
        let range = node.span(self.used);
        match node.home {
            Home::Param => self.params.get(range),
            Home::Local => &self.values[range],
        }
    }

    /// How many inputs there are.
    pub fn count(&self) -> usize {
        self.ids.len()
    }
}

/// All parameters, except a piece of them that may be lent to the operation that changes it.
#[derive(Clone, Copy)]
pub(crate) struct ParamValues<'a, E> {
    before: &'a [E],
    after: &'a [E],
    /// Where `after` begins.
    end: usize,
}

impl<'a, E> ParamValues<'a, E> {
    pub fn all(all: &'a [E]) -> Self {
        Self { before: all, after: &[], end: all.len() }
    }

    /// The piece, and all others.
    pub fn lend(all: &'a mut [E], piece: Range<usize>) -> (&'a mut [E], Self) {
        let (before, rest) = all.split_at_mut(piece.start);
        let (lent, after) = rest.split_at_mut(piece.len());
        (lent, Self { before, after, end: piece.end })
    }

    /// # Panics
    /// If it is the piece that is lent.
    #[inline]
    fn get(&self, range: Range<usize>) -> &'a [E] {
        match range.end <= self.before.len() {
            true => &self.before[range],
            false => &self.after[range.start - self.end..range.end - self.end],
        }
    }
}

/// The inputs' gradients. Ask for them in the order of the inputs; the weight's is the last.
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
    pub fn wants(&self, k: usize) -> bool {
        self.nodes[self.ids[k]].needs_grad
    }

    /// Where input `k`'s gradient goes; None if it needs none.
    #[inline]
    pub fn get(&mut self, k: usize) -> Option<Grad<'_, E>> {
        let node = &self.nodes[self.ids[k]];
        if !node.needs_grad {
            return None;
        }
        let memory = match node.home {
            Home::Param => &mut *self.params,
            Home::Local => &mut *self.values,
        };
        let data = &mut memory[node.span(self.used)];
        Some(Grad { data, add: self.add[k] })
    }
}

/// One input's gradient: the first operation to reach it writes, later ones add.
pub struct Grad<'a, E> {
    /// Its memory, laid out as the input's.
    pub data: &'a mut [E],
    /// Whether there is something in it already.
    pub add: bool,
}

impl<E: Element> Grad<'_, E> {
    /// Gives element `i` of the gradient the value `f(i)`, or adds it.
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
    /// Shares it out over the threads by whole rows: `part(at, g)` gets the part that begins at element `at`.
    pub(crate) fn share_rows(self, width: usize, work: usize, part: impl Fn(usize, Grad<'_, E>) + Sync) {
        let add = self.add;
        share_rows(self.data, width, work, |at, data| part(at, Grad { data, add }));
    }

    /// The memory, with zeros in it if nothing was there: for an operation that adds in no fixed order.
    pub fn zeroed(self) -> &'a mut [E] {
        if !self.add {
            self.data.fill(E::zero());
        }
        self.data
    }
}

/// What an operation can see besides its inputs.
pub struct Env<'a, E> {
    /// Whether batch norm and dropout behave as in training.
    pub training: bool,
    /// Which step of a training this is; random masks follow from it.
    pub step: u64,
    /// Which of several recordings that share a step's work this is.
    pub replica: u64,
    /// Memory that outlives a step and is not trained, such as running statistics.
    pub buffers: &'a [E],
    pub(crate) fed: &'a Fed<E>,
}

impl<'a, E> Env<'a, E> {
    /// The integers of an index tensor, of the rows in use.
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

/// From this number of units on, sums over a layer's units are made in two halves.
const MANY_UNITS: usize = 64;

/// Whether a layer of this number of units can be shared by two threads, each of which has a half of them.
pub fn can_be_cut(units: usize) -> bool {
    units >= MANY_UNITS && units.is_multiple_of(2)
}
