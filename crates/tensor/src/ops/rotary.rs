//! Rotary positions: (x, z) -> (x cos a - z sin a, z cos a + x sin a), where the angle a grows with the
//! position

use crate::kernels;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Indices, Var};

/// The angle of pair i of D / 2: position times BASE^(-2 i / D).
const BASE: f64 = 10_000.0;

/// Which heads are rotated, and the maximum position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotary {
    /// How many heads at the beginning of a row are rotated; the rest of the row is copied.
    pub heads: usize,
    /// D: the length of a head, even.
    pub size: usize,
    /// Positions are below this.
    pub length: usize,
}

struct Rotate<E> {
    rotary: Rotary,
    width: usize,
    positions: Indices,
    /// Per position: the cosines, then the sines, of the angles of a head's pairs.
    angles: Vec<E>,
}

impl<E: Element> Rotate<E> {
    fn turn(&self, env: &Env<'_, E>, x: &[E], y: &mut [E], back: bool, add: bool) {
        let positions = env.indices(self.positions);
        let Rotary { heads, size, length } = self.rotary;
        assert_eq!(positions.len(), y.len() / self.width, "rotary: a position for each row in use");
        let most = positions.iter().copied().max().unwrap_or(0);
        assert!((most as usize) < length, "rotary: position {most} is not below {length}");
        E::rotate(
            kernels::Rotary { width: self.width, heads, size, angles: &self.angles },
            positions,
            x,
            y,
            back,
            add,
        );
    }
}

impl<E: Element> Op<E> for Rotate<E> {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        self.turn(env, x.get(0), out, false, false);
    }

    // The transpose of a rotation is the rotation by the negative angle.
    fn backward(
        &mut self,
        _: Inputs<'_, E>,
        _: &[E],
        grad: &[E],
        grads: &mut InputGrads<'_, E>,
        env: &Env<'_, E>,
    ) {
        if let Some(g) = grads.get(0) {
            self.turn(env, grad, g.data, true, g.add);
        }
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// Rotates each row's first heads by the row's position: elements i and i + D / 2 of a head are a pair,
    /// which is rotated by the angle `position 10000^(-2 i / D)`.
    ///
    /// The dot product of two rotated heads depends only on the difference of their positions. For rows of
    /// queries, keys and values side by side, `heads` is twice the attention's, so that queries and keys are
    /// rotated.
    ///
    /// # Shapes
    /// (N, W), positions (N) -> (N, W), W at least heads times D
    ///
    /// # Panics
    /// If the sizes do not fit, D is odd, or a position is not below `length`.
    ///
    /// # Source
    /// Su et al. 2021 (RoFormer), with pairs in halves as in GPT-NeoX and Llama
    ///
    /// ```
    /// use charloom_tensor::{Tape, ops::Rotary};
    ///
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input(&[2, 2], &[1.0, 0.0, 1.0, 0.0]);
    /// let y = x.rotary(Rotary { heads: 1, size: 2, length: 2 }, tape.indices(&[2], &[0, 1])).data();
    /// // Position 0 is not rotated; position 1 is rotated by the angle 1.
    /// assert_eq!(y[..2], [1.0, 0.0]);
    /// assert!((y[2] - 1f64.cos()).abs() < 1e-12 && (y[3] - 1f64.sin()).abs() < 1e-12);
    /// ```
    pub fn rotary(self, rotary: Rotary, positions: Indices) -> Var<'t, E> {
        let x = self.contiguous();
        let (shape, Rotary { heads, size, length }) = (x.shape(), rotary);
        let &[rows, width] = shape.dims() else { panic!("rotary takes rows, not shape {shape:?}") };
        assert!(size > 0 && size.is_multiple_of(2), "rotary: a head of {size} numbers is no number of pairs");
        let fits = heads.checked_mul(size).is_some_and(|all| all <= width);
        assert!(fits, "rotary: {heads} heads of {size} do not fit into rows of {width}");
        assert_eq!(self.tape().indices_shape(positions).dims(), [rows], "rotary: a position for each row");
        let angle =
            |position: usize, i: usize| position as f64 * libm::pow(BASE, -((2 * i) as f64) / size as f64);
        let of_position = |position: usize| {
            let all = move |f: fn(f64) -> f64| (0..size / 2).map(move |i| E::of(f(angle(position, i))));
            all(libm::cos).chain(all(libm::sin))
        };
        let angles = (0..length).flat_map(of_position).collect();
        self.tape().record(Rotate { rotary, width, positions, angles }, &[x.id()], shape)
    }
}

#[cfg(test)]
mod tests {
    use super::Rotary;
    use crate::Tape;
    use crate::check::check;
    use crate::kernels::tests::numbers;

    #[test]
    fn gradient() {
        let rotary = Rotary { heads: 2, size: 4, length: 9 };
        check(&[&[3, 8]], |v| v[0].rotary(rotary, v[0].tape().indices(&[3], &[0, 8, 3])));
        check(&[&[3, 11]], |v| v[0].rotary(rotary, v[0].tape().indices(&[3], &[1, 2, 2])) * v[0]);
    }

    #[test]
    fn products_depend_on_distances_only() {
        let tape = Tape::<f64>::new();
        let rotary = Rotary { heads: 1, size: 6, length: 100 };
        let x = tape.input(&[2, 6], &numbers(12, 1));
        let product = |positions: [u32; 2]| {
            let y = x.rotary(rotary, tape.indices(&[2], &positions)).data();
            y[..6].iter().zip(&y[6..]).map(|(a, b)| a * b).sum::<f64>()
        };
        assert!((product([7, 3]) - product([90, 86])).abs() < 1e-12);
        assert!((product([7, 3]) - product([7, 4])).abs() > 1e-3);
        let plain = x.data();
        assert_eq!(x.rotary(rotary, tape.indices(&[2], &[0, 0])).data(), plain);
    }

    #[test]
    #[should_panic(expected = "rotary: position 9 is not below 9")]
    fn positions_are_below_the_length() {
        let tape = Tape::<f32>::new();
        let rotary = Rotary { heads: 1, size: 2, length: 9 };
        tape.input(&[1, 2], &[0.0; 2]).rotary(rotary, tape.indices(&[1], &[9]));
    }
}
