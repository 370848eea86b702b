/// The most dimensions a tensor can have.
pub const MAX_DIMS: usize = 6;

/// The sizes of a tensor's dimensions, outermost first.
///
/// ```
/// use charloom_tensor::{Layout, Shape};
///
/// let shape = Shape::new(&[2, 3]);
/// assert_eq!((shape.rank(), shape.len(), shape.last()), (2, 6, 3));
/// assert_eq!(shape.broadcast(&Shape::new(&[4, 1, 1])), Some(Shape::new(&[4, 2, 3])));
/// assert_eq!(shape.broadcast(&Shape::new(&[2])), None);
/// assert_eq!(Layout::contiguous(&shape, 0).strides[..2], [3, 1]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    dims: [usize; MAX_DIMS],
    rank: usize,
}

impl Shape {
    /// A shape from its sizes.
    ///
    /// # Panics
    /// If there are more than [`MAX_DIMS`] dimensions, or the number of elements overflows.
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_DIMS, "a tensor has at most {MAX_DIMS} dimensions, not {}", dims.len());
        let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        assert!(
            elements.is_some_and(|n| n <= isize::MAX as usize / 8),
            "a tensor of shape {dims:?} is too large"
        );
        let mut all = [1; MAX_DIMS];
        all[..dims.len()].copy_from_slice(dims);
        Self { dims: all, rank: dims.len() }
    }

    /// The sizes.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// How many dimensions there are.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many elements there are; 1 for a scalar.
    pub fn len(&self) -> usize {
        self.dims().iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of the last dimension; 1 for a scalar.
    pub fn last(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The length of a row: the last dimension; 1 if that is also the first, along which only some elements
    /// may be in use.
    pub(crate) fn row(&self) -> usize {
        if self.rank() > 1 { self.last() } else { 1 }
    }

    /// The same shape, but with only the rows of the first dimension that `len` elements fill.
    pub(crate) fn with_len(&self, len: usize) -> Shape {
        let mut shape = *self;
        if len != self.len() {
            shape.dims[0] = len / (self.len() / self.dims[0]);
        }
        shape
    }

    /// The shape that `self` and `other` broadcast to, by torch's rule: sizes are compared from the last
    /// dimension, and must be equal or 1. None if they do not fit.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank.max(other.rank);
        let mut dims = [1; MAX_DIMS];
        for (i, d) in dims[..rank].iter_mut().enumerate() {
            let size = |s: &Shape| (i + s.rank).checked_sub(rank).map_or(1, |k| s.dims[k]);
            *d = match (size(self), size(other)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(Shape { dims, rank })
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

/// Where the elements of a tensor lie in its memory: an offset, and a stride for each dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The index of the first element.
    pub offset: usize,
    /// The distance in memory between neighbours along each dimension.
    pub strides: [usize; MAX_DIMS],
}

impl Layout {
    /// Row-major from `offset`, without gaps.
    pub fn contiguous(shape: &Shape, offset: usize) -> Self {
        let mut strides = [0; MAX_DIMS];
        let mut stride = 1;
        for i in (0..shape.rank()).rev() {
            strides[i] = stride;
            stride *= shape.dims()[i];
        }
        Self { offset, strides }
    }

    /// Whether the elements lie row-major without gaps.
    pub fn is_contiguous(&self, shape: &Shape) -> bool {
        let plain = Self::contiguous(shape, self.offset);
        (0..shape.rank()).all(|i| shape.dims()[i] == 1 || self.strides[i] == plain.strides[i])
    }

    /// The number of memory cells from the first element to the last, inclusive.
    pub fn extent(&self, shape: &Shape) -> usize {
        if shape.is_empty() {
            return 0;
        }
        1 + shape.dims().iter().zip(&self.strides).map(|(d, s)| (d - 1) * s).sum::<usize>()
    }

    /// The strides for reading a tensor of `shape` as if it had shape `as_if` (0 where it is repeated).
    pub fn broadcast_strides(&self, shape: &Shape, as_if: &Shape) -> [usize; MAX_DIMS] {
        let mut strides = [0; MAX_DIMS];
        let missing = as_if.rank() - shape.rank();
        for i in 0..shape.rank() {
            strides[missing + i] = if shape.dims()[i] == 1 { 0 } else { self.strides[i] };
        }
        strides
    }
}

/// Calls `f([index in a, index in b, ...])` for every element of `shape` in row-major order.
#[inline(always)]
pub(crate) fn for_each<const N: usize>(
    shape: &Shape,
    strides: [[usize; MAX_DIMS]; N],
    mut f: impl FnMut([usize; N]),
) {
    if shape.is_empty() {
        return;
    }
    // The last dimension has a loop of its own; the others count up like an odometer.
    let last = shape.rank().max(1) - 1;
    let (n, last_strides) = (shape.last(), strides.map(|s| s[last]));
    let mut index = [0usize; MAX_DIMS];
    let mut at = [0usize; N];
    loop {
        let mut place = at;
        for _ in 0..n {
            f(place);
            (0..N).for_each(|k| place[k] += last_strides[k]);
        }
        let mut d = last;
        loop {
            if d == 0 {
                return;
            }
            d -= 1;
            index[d] += 1;
            (0..N).for_each(|k| at[k] += strides[k][d]);
            if index[d] < shape.dims()[d] {
                break;
            }
            (0..N).for_each(|k| at[k] -= strides[k][d] * index[d]);
            index[d] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_torch() {
        let s = |d: &[usize]| Shape::new(d);
        assert_eq!(s(&[4, 1, 3]).broadcast(&s(&[2, 1])), Some(s(&[4, 2, 3])));
        assert_eq!(s(&[]).broadcast(&s(&[5])), Some(s(&[5])));
        assert_eq!(s(&[2]).broadcast(&s(&[3])), None);
    }

    #[test]
    fn every_element_is_visited_in_order() {
        let shape = Shape::new(&[2, 3]);
        let transposed = Layout { offset: 0, strides: [1, 2, 0, 0, 0, 0] };
        let mut seen = vec![];
        for_each(&shape, [transposed.strides], |[at]| seen.push(at));
        assert_eq!(seen, [0, 2, 4, 1, 3, 5]);
        assert!(!transposed.is_contiguous(&shape));
        assert_eq!(transposed.extent(&shape), 6);
    }
}
