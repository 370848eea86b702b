use crate::kernels::End;
use crate::tape::{Home, Node};
use crate::{Element, Indices, Shape};

/// An operation: how its value follows from its inputs, and how their gradients follow from its own.
///
/// One file in `ops/` an operation; forward and backward stand together. What backward needs beyond inputs and
/// output, the operation keeps in itself, in memory taken when it is recorded.
pub trait Op<E: Element>: Send {
    /// The name that errors and pictures show.
    fn name(&self) -> &'static str;

    /// Writes the output's every element.
    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &mut Env<'_, E>);

    /// Given the output and its gradient, passes the gradient on to each input that wants one.
    fn backward(
        &mut self,
        x: Inputs<'_, E>,
        out: &[E],
        grad: &[E],
        grads: &mut Grads<'_, E>,
        env: &Env<'_, E>,
    );

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
    pub(crate) params: &'a [E],
    pub(crate) values: &'a [E],
    pub(crate) rows: Option<usize>,
}

impl<'a, E: Element> Inputs<'a, E> {
    /// The memory of input `k`: its elements in order if it is contiguous, else everything from its first element
    /// to its last, to be read with the strides it was recorded with.
    #[inline]
    pub fn get(&self, k: usize) -> &'a [E] {
        let node = &self.nodes[self.ids[k]];
        let memory = match node.home {
            Home::Param => self.params,
            Home::Local => self.values,
        };
        &memory[node.layout.offset..][..node.stored(self.rows)]
    }
}

/// The inputs' gradients. Ask for them in the order of the inputs.
pub struct Grads<'a, E> {
    pub(crate) nodes: &'a [Node],
    pub(crate) ids: &'a [usize],
    pub(crate) params: &'a mut [E],
    pub(crate) values: &'a mut [E],
    pub(crate) add: u32,
    pub(crate) rows: Option<usize>,
    /// The parameters as they are, in a step of gradient descent, and its rate.
    pub(crate) descent: Option<(&'a [E], E)>,
    /// Which inputs have no other gradient than this operation's.
    pub(crate) sole: u32,
    /// Which inputs have the step's result where their gradient would be.
    pub(crate) descended: u32,
}

impl<E: Element> Grads<'_, E> {
    /// Where a product goes that is input `k`'s gradient, and the product's [`End`]; None if it needs none. In a step of
    /// gradient descent the step is the end, if input `k` is a parameter whose only gradient this is.
    #[inline]
    pub fn end(&mut self, k: usize) -> Option<(&mut [E], End<'_, E>)> {
        let Some((params, rate)) = self.descent.filter(|_| self.sole >> k & 1 == 1) else {
            return self.get(k).map(|g| (g.data, if g.add { End::Add } else { End::Set }));
        };
        let node = &self.nodes[self.ids[k]];
        let range = node.layout.offset..node.layout.offset + node.shape.len();
        self.descended |= 1 << k;
        let end = End::Onto { from: &params[range.clone()], scale: -rate };
        Some((&mut self.params[range], end))
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
        let data = &mut memory[node.layout.offset..][..node.stored(self.rows)];
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
