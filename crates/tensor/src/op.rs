use crate::kernels::End;
use crate::tape::{Home, Node};
use crate::{Element, Indices, Shape};
use std::ops::Range;

/// An operation: how its value follows from its inputs, and how their gradients follow from its own.
///
/// One file in `ops/` an operation; forward and backward stand together. What backward needs beyond inputs and
/// output, the operation keeps in itself, in memory taken when it is recorded.
pub trait Op<E: Element>: Send {
    /// The name that errors and pictures show.
    fn name(&self) -> &'static str;

    /// Writes the output's every element.
    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &mut Env<'_, E>);

    /// Given the output and its gradient, passes the gradient on to each input that wants one, but for its
    /// [`weight`](Op::weight).
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut Grads<'_, E>,
        env: &Env<'_, E>,
    );

    /// Which input is a weight whose gradient [`weight_grad`](Op::weight_grad) makes. Nothing waits for it, and it is a matrix
    /// product: in a step of gradient descent the product ends in the weight itself.
    fn weight(&self) -> Option<usize> {
        None
    }

    /// Makes the gradient of the weight as a product that goes to `c` and ends so. Comes some time after `backward`; the weight
    /// itself is not to be seen any more.
    fn weight_grad(&mut self, _x: Inputs<'_, E>, _grad: &[E], _c: &mut [E], _end: End<'_, E>) {}

    /// Whether `backward` begins what only [`settle`](Op::settle) ends, so that other work can be done between them.
    fn settles(&self) -> bool {
        false
    }

    /// Ends what `backward` began.
    fn settle(&mut self, _grad: &[E], _grads: &mut Grads<'_, E>) {}

    /// How the operation treats rows of a batch; see [`Batch`].
    fn batch(&self) -> Batch {
        Batch::Mixes
    }

    /// Whether its kernels share a batch's rows out alike among threads; see
    /// [`keep_rows`](crate::kernels::keep_rows).
    fn keeps_rows(&self) -> bool {
        false
    }

    /// The operation as itself, for the fusions that look for it.
    fn as_any(&mut self) -> Option<&mut dyn std::any::Any> {
        None
    }
}

/// How an operation treats the first dimension of its inputs.
///
/// When several examples of a batch have the same context, their rows are equal and can be computed once. That is
/// exact as long as every operation either treats rows alike and apart, or knows how often each row counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Batch {
    /// It looks across rows without knowing how often each counts: equal rows must not be merged.
    Mixes,
    /// Each row of the output follows from the same row of the inputs, or the operation weighs rows by count.
    Rows,
    /// Rows begin here: the output has one for each row of the tape's indices.
    Starts,
    /// Rows end here, each counted as often as it occurs.
    Ends,
}

/// The inputs' values, in the order given to the operation.
#[derive(Clone, Copy)]
pub struct Inputs<'a, E> {
    pub(crate) nodes: &'a [Node],
    pub(crate) ids: &'a [usize],
    pub(crate) params: Params<'a, E>,
    pub(crate) values: &'a [E],
    pub(crate) rows: Option<usize>,
}

impl<'a, E: Element> Inputs<'a, E> {
    /// The memory of input `k`: its elements in order if it is contiguous, else everything from its first element
    /// to its last, to be read with the strides it was recorded with.
    #[inline]
    pub fn get(&self, k: usize) -> &'a [E] {
        let node = &self.nodes[self.ids[k]];
        let range = node.span(self.rows);
        match node.home {
            Home::Param => self.params.get(range),
            Home::Local => &self.values[range],
        }
    }
}

/// All parameters, but for a piece of them that may be lent to who changes it.
#[derive(Clone, Copy)]
pub(crate) struct Params<'a, E> {
    before: &'a [E],
    after: &'a [E],
    /// Where `after` begins.
    end: usize,
}

impl<'a, E> Params<'a, E> {
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
pub struct Grads<'a, E> {
    pub(crate) nodes: &'a [Node],
    pub(crate) ids: &'a [usize],
    pub(crate) params: &'a mut [E],
    pub(crate) values: &'a mut [E],
    pub(crate) add: u32,
    pub(crate) rows: Option<usize>,
}

impl<E: Element> Grads<'_, E> {
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
        let data = &mut memory[node.span(self.rows)];
        Some(Grad { data, add: self.add >> k & 1 == 1 })
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
    /// Memory that outlives a step and is not trained, such as running statistics.
    pub buffers: &'a mut [E],
    /// Which step of a training this is; random masks follow from it.
    pub step: u64,
    /// How often each row of the batch counts; empty when each counts once.
    pub counts: &'a [E],
    /// How many examples the batch stands for, if rows are merged.
    pub examples: Option<usize>,
    /// Whether the tape is one of two partners', and so has only a half of every layer's units.
    pub partnered: bool,
    pub(crate) indices: &'a [(Shape, Vec<u32>)],
}

/// From so many units on, sums over a layer's units are made in two halves.
const MANY_UNITS: usize = 64;

impl<E> Env<'_, E> {
    /// Where sums over so many units are cut in two, whose sums are added: where two [partners](crate::kernels::Partners)
    /// cut them, so that both ways give the same bits.
    #[inline]
    pub fn cut(&self, units: usize) -> Option<usize> {
        (!self.partnered && can_be_cut(units)).then_some(units / 2)
    }

    /// The integers of an index tensor.
    #[inline]
    pub fn indices(&self, which: Indices) -> &[u32] {
        &self.indices[which.0].1
    }
}

/// Whether a layer of so many units can be shared by two partners.
pub fn can_be_cut(units: usize) -> bool {
    units >= MANY_UNITS && units.is_multiple_of(2)
}
