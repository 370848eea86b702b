//! A number for each key.

use rustc_hash::FxHashMap;

/// A number for each key of a few bits.
pub(crate) enum Keyed {
    /// By the key: 4 MiB at most, where keys are that small; most are, and it is several times faster.
    Table(Vec<u32>),
    /// What is not there is the second.
    Map(FxHashMap<u64, u32>, u32),
}

impl Keyed {
    /// For keys of so many bits, each with the number `begin` until it has another.
    pub fn new(bits: u32, begin: u32) -> Self {
        if bits <= 20 { Self::Table(vec![begin; 1 << bits]) } else { Self::Map(FxHashMap::default(), begin) }
    }

    /// The number of a key.
    #[inline(always)]
    pub fn at(&mut self, key: u64) -> &mut u32 {
        match self {
            Self::Table(table) => &mut table[key as usize],
            Self::Map(map, begin) => map.entry(key).or_insert(*begin),
        }
    }

    /// The number of a key, which stays as it is.
    pub fn get(&self, key: u64) -> u32 {
        match self {
            Self::Table(table) => table[key as usize],
            Self::Map(map, begin) => map.get(&key).copied().unwrap_or(*begin),
        }
    }

    /// Calls `see` with each key whose number is not 0, in any order, and that.
    pub fn each(&self, mut see: impl FnMut(u64, u32)) {
        match self {
            Self::Table(table) => {
                (0..)
                    .zip(table)
                    .filter(|(_, number)| **number != 0)
                    .for_each(|(key, &number)| see(key, number));
            }
            Self::Map(map, _) => {
                map.iter().filter(|(_, number)| **number != 0).for_each(|(&key, &number)| see(key, number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn each_key_has_a_number_of_its_own() {
        for bits in [0, 4, 20, 21, 64] {
            let mut keyed = Keyed::new(bits, 7);
            let largest = if bits == 0 { 0 } else { u64::MAX >> (64 - bits) };
            *keyed.at(largest) += 1;
            *keyed.at(0) += 2;
            let both = if bits == 0 { [10, 10] } else { [8, 9] };
            assert_eq!([*keyed.at(largest), *keyed.at(0)], both);
            assert_eq!(keyed.get(largest / 2), if bits == 0 { 10 } else { 7 });
            assert_eq!(*keyed.at(largest / 2), if bits == 0 { 10 } else { 7 });
            let mut seen = HashMap::new();
            keyed.each(|key, number| assert!(seen.insert(key, number).is_none()));
            assert!(seen[&largest] == both[0] && seen[&0] == both[1]);
        }
    }
}
