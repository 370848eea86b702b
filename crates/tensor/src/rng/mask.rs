use super::mix;

/// Which elements a dropout keeps: an element's random bits are a hash of its index, so that the same step
/// always has the same mask.
#[derive(Clone, Copy, Debug)]
pub struct DropoutMask {
    key: u64,
    /// An element is dropped if its 32 random bits are below this.
    below: u64,
    /// The factor of a kept element.
    pub scale: f64,
}

impl DropoutMask {
    /// The masks of one layer, which drop elements with probability `p`.
    ///
    /// # Panics
    /// If `p` is not between 0 and 1.
    pub fn new(p: f64, seed: u64, layer: u64) -> Self {
        assert!((0.0..=1.0).contains(&p), "dropout: a probability lies between 0 and 1, not at {p}");
        let key = mix(mix(seed.wrapping_add(1)) ^ layer);
        Self { key, below: (p * 2f64.powi(32)).round() as u64, scale: (1.0 - p).recip() }
    }

    /// The mask of one step and replica.
    #[must_use]
    pub fn at(self, step: u64, replica: u64) -> Self {
        let key = mix(self.key ^ mix(step.wrapping_add(1)));
        Self { key: if replica == 0 { key } else { mix(key ^ mix(!replica)) }, ..self }
    }

    /// The mask of row `row`: each row has its own.
    #[must_use]
    #[inline]
    pub fn row(self, row: usize) -> Self {
        Self { key: mix(self.key.wrapping_add(row as u64)), ..self }
    }

    /// Whether elements 2 `i` and 2 `i` + 1 are kept.
    #[inline]
    pub fn pair(self, i: usize) -> [bool; 2] {
        let bits = mix(self.key.wrapping_add(i as u64));
        [bits & 0xffff_ffff >= self.below, bits >> 32 >= self.below]
    }

    /// Whether element `i` is kept.
    #[inline]
    pub fn keeps(self, i: usize) -> bool {
        self.pair(i / 2)[i % 2]
    }
}
