//! Attention of the newest row of each sequence, for generating token by token

use crate::kernels::Cache;
use crate::op::{Env, InputGrads, Inputs, Op, RowRule};
use crate::{Element, Indices, Shape, Var};

struct CachedAttention {
    heads: usize,
    width: usize,
    lengths: Indices,
}

impl<E: Element> Op<E> for CachedAttention {
    fn name(&self) -> &'static str {
        "cached_attention"
    }

    fn row_rule(&self) -> RowRule {
        RowRule::PerRow
    }

    fn forward(&mut self, x: Inputs<'_, E>, out: &mut [E], env: &Env<'_, E>) {
        let (keys, values, lengths) = (x.get(1), x.get(2), env.indices(self.lengths));
        let rows = out.len() / self.width;
        assert_eq!(lengths.len(), rows, "cached_attention: a length for each row in use");
        let most = keys.len() / self.width / rows.max(1);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        assert!(longest as usize <= most, "cached_attention: {longest} earlier rows of at most {most}");
        E::attend_cached(x.get(0), self.width, self.heads, Cache { keys, values, lengths }, out);
    }

    fn backward(&mut self, _: Inputs<'_, E>, _: &[E], _: &[E], _: &mut InputGrads<'_, E>, _: &Env<'_, E>) {
        panic!("cached_attention is for reading on: learn with causal_attention or tree_attention");
    }
}

impl<'t, E: Element> Var<'t, E> {
    /// [`Var::causal_attention`] of only the newest row of each sequence, given the keys and values of the
    /// rows before. It has no gradient.
    ///
    /// # Shapes
    /// (B, 3C), keys and values (B, T, C), lengths (B) -> (B, C); `lengths` is how many of the T rows each
    /// sequence has.
    ///
    /// # Panics
    /// If the sizes do not fit, or a length is above T.
    pub fn cached_attention(
        self,
        heads: usize,
        keys: Var<'t, E>,
        values: Var<'t, E>,
        lengths: Indices,
    ) -> Var<'t, E> {
        let (x, keys, values) = (self.contiguous(), keys.contiguous(), values.contiguous());
        let (shape, of_keys) = (x.shape(), keys.shape());
        let (&[rows, all], &[batch, _, width]) = (shape.dims(), of_keys.dims()) else {
            panic!("cached_attention: rows {shape:?} and keys {of_keys:?} have other dimensions");
        };
        assert!(
            batch == rows && all == 3 * width && of_keys == values.shape(),
            "cached_attention: rows {shape:?}, keys {of_keys:?} and values {:?} do not fit",
            values.shape()
        );
        assert!(
            heads > 0 && width > 0 && width.is_multiple_of(heads),
            "attention: {heads} heads do not divide {width}"
        );
        assert_eq!(
            self.tape().indices_shape(lengths).dims(),
            [rows],
            "cached_attention: a length for each row"
        );
        let op = CachedAttention { heads, width, lengths };
        self.tape().record(op, &[x.id(), keys.id(), values.id()], Shape::new(&[rows, width]))
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::tests::numbers;
    use crate::{Element, Tape};

    /// Token by token, the outputs equal those of whole sequences; keys beyond a length do not matter.
    fn check<E: Element>() {
        let (b, t, c) = (3, 5, 8);
        let x = numbers::<E>(b * t * 3 * c, 1);
        let tape = Tape::new();
        let whole = tape.input(&[b * t, 3 * c], &x).causal_attention(2, t).data();
        let part = |row: usize, part: usize| &x[(3 * row + part) * c..][..c];
        for at in 0..t {
            // Sequences of different lengths side by side.
            let now: Vec<usize> = (0..b).map(|i| i * t + (at + i) % t).collect();
            let newest: Vec<E> = now.iter().flat_map(|&row| x[3 * row * c..][..3 * c].to_vec()).collect();
            let lengths: Vec<u32> = (0..b).map(|i| ((at + i) % t) as u32).collect();
            let kept = |which: usize| {
                let mut kept = vec![E::nan(); b * t * c];
                for i in 0..b {
                    for j in 0..lengths[i] as usize {
                        kept[(i * t + j) * c..][..c].copy_from_slice(part(i * t + j, which));
                    }
                }
                tape.input(&[b, t, c], &kept)
            };
            let lengths = tape.indices(&[b], &lengths);
            let y = tape.input(&[b, 3 * c], &newest).cached_attention(2, kept(1), kept(2), lengths).data();
            for (i, &row) in now.iter().enumerate() {
                let (y, whole) = (&y[i * c..][..c], &whole[row * c..][..c]);
                for (y, whole) in y.iter().zip(whole) {
                    assert!((*y - *whole).abs() <= E::epsilon() * E::of(4.0), "{y} instead of {whole}");
                }
            }
        }
    }

    #[test]
    fn token_by_token_as_whole_sequences() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    #[should_panic(expected = "3 earlier rows of at most 2")]
    fn lengths_are_within_the_cache() {
        let tape = Tape::<f32>::new();
        let kept = tape.input(&[1, 2, 4], &[0.0; 8]);
        tape.input(&[1, 12], &[0.0; 12]).cached_attention(1, kept, kept, tape.indices(&[1], &[3]));
    }
}
