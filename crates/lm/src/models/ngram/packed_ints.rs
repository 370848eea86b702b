//! Whole numbers in few bytes.

use std::ops::Range;

/// Whole numbers one after another, each in as many bytes as the largest needs: 1, 2, 4 or 8.
#[derive(Clone, Debug, Default)]
pub(super) struct PackedInts {
    /// Little-endian.
    bytes: Vec<u8>,
    /// The base-2 logarithm of the bytes of a number.
    log_width: u32,
}

impl PackedInts {
    /// The number of numbers.
    pub fn len(&self) -> usize {
        self.bytes.len() >> self.log_width
    }

    /// The number at index i.
    #[inline]
    pub fn at(&self, i: usize) -> u64 {
        match self.log_width {
            0 => self.bytes[i].into(),
            log_width => {
                let width = 1 << log_width;
                let mut number = [0; 8];
                number[..width].copy_from_slice(&self.bytes[i << log_width..][..width]);
                u64::from_le_bytes(number)
            }
        }
    }

    pub fn push(&mut self, number: u64) {
        self.make_wide(number);
        self.bytes.extend_from_slice(&number.to_le_bytes()[..1 << self.log_width]);
    }

    /// Puts another number in place of the last one.
    pub fn replace_last(&mut self, number: u64) {
        self.bytes.truncate(self.bytes.len().saturating_sub(1 << self.log_width));
        self.push(number);
    }

    /// Binary search in a range, in which numbers are sorted.
    pub fn find(&self, mut range: Range<usize>, number: u64) -> Option<usize> {
        while !range.is_empty() {
            let middle = range.start + range.len() / 2;
            match self.at(middle) {
                found if found == number => return Some(middle),
                found if found < number => range.start = middle + 1,
                _ => range.end = middle,
            }
        }
        None
    }

    /// Frees unused memory.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Widens all numbers if this one needs more bytes.
    fn make_wide(&mut self, number: u64) {
        let needed = (u64::BITS - number.leading_zeros()).div_ceil(8).max(1).next_power_of_two().ilog2();
        if needed > self.log_width {
            let old = std::mem::replace(self, Self { bytes: Vec::new(), log_width: needed });
            self.bytes.reserve((old.len() + 1) << needed);
            (0..old.len()).for_each(|i| self.push(old.at(i)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_are_what_was_put_in() {
        let mut ints = PackedInts::default();
        let all = [0, 3, 255, 256, 70_000, 1 << 31, 1 << 32, u64::MAX];
        for (i, &number) in all.iter().enumerate() {
            ints.push(number);
            assert_eq!((0..ints.len()).map(|i| ints.at(i)).collect::<Vec<_>>(), all[..=i]);
        }
        assert_eq!([ints.find(0..8, 256), ints.find(0..3, 256), ints.find(0..8, 4)], [Some(3), None, None]);
        let mut ints = PackedInts::default();
        ints.push(7);
        ints.replace_last(300);
        ints.shrink();
        assert_eq!((ints.len(), ints.at(0), ints.bytes.len()), (1, 300, 2));
    }
}
