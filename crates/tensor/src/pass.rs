//! The settings of one pass through a recording.

use crate::kernels::Pool;

/// How a recording is run: as in training or not, which step it is, and how many rows are in use.
///
/// ```
/// use charloom_tensor::Pass;
///
/// let pass = Pass { step: 7, ..Pass::training() };
/// assert!(pass.training && pass.rows.is_empty());
/// ```
#[derive(Clone, Copy, Default)]
pub struct Pass<'a> {
    /// Whether batch norm and dropout behave as in training.
    pub training: bool,
    /// The step of the training; dropout's masks depend on it.
    pub step: u64,
    /// Which of several recordings that share a step's work this is; dropout's masks depend on it.
    pub replica: u64,
    /// For each [`Axis`](crate::Axis), in the order of their creation, the rows in use. Axes beyond the end
    /// of `rows` use all their rows, once each.
    pub rows: &'a [Rows],
    /// How often each row counts, for [`Rows::Counted`].
    pub counts: &'a [u32],
    /// The threads that share the kernels' work. None: the pool that the caller has entered, or else only the
    /// caller's thread.
    pub pool: Option<&'a Pool>,
}

/// How many rows of an axis are in use, and how often each counts.
///
/// ```
/// use charloom_tensor::{Params, Pass, Recording, Rows};
///
/// let params = Params::<f32>::new();
/// let (mut recording, [x, y]) = Recording::new(&params, |tape| {
///     let x = tape.rows(tape.axis(4), &[1]);
///     [x.id(), (x * x).id()]
/// });
/// recording.set(x, |x| x.copy_from_slice(&[1.0, 2.0, 3.0, 4.0]));
/// // Two of the four rows are computed.
/// recording.forward(&params, &Pass { rows: &[Rows::First(2)], ..Pass::evaluation() });
/// assert_eq!(recording.with_data(y, <[f32]>::to_vec), [1.0, 4.0]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rows {
    /// The given number of first rows, each counting once.
    First(usize),
    /// The first `rows` rows. Row i stands for `counts[from + i]` equal examples; see [`Pass::counts`].
    Counted {
        /// How many rows are in use.
        rows: usize,
        /// Where their counts begin in [`Pass::counts`].
        from: usize,
    },
}

impl Rows {
    /// How many rows are in use.
    pub fn used(self) -> usize {
        match self {
            Self::First(rows) | Self::Counted { rows, .. } => rows,
        }
    }
}

impl Pass<'_> {
    /// As in training, at step 0, with all rows, on the caller's thread alone.
    pub fn training() -> Self {
        Self { training: true, ..Self::default() }
    }

    /// As in evaluation, with all rows, on the caller's thread alone.
    pub fn evaluation() -> Self {
        Self::default()
    }
}
