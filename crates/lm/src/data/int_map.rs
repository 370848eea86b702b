//! A map from integer keys to 32-bit values.

use rustc_hash::FxHashMap;

/// A map from keys of a known number of bits to values.
pub(crate) enum IntMap {
    /// Indexed by the key, if keys have at most 20 bits, as most have: at most 4 MiB, and several times
    /// faster than a map.
    Table(Vec<u32>),
    /// `default` is the value of keys that are not in the map.
    Map { map: FxHashMap<u64, u32>, default: u32 },
}

impl IntMap {
    /// For keys of `bits` bits, each with the value `default` until it gets another.
    pub fn new(bits: u32, default: u32) -> Self {
        if bits <= 20 {
            Self::Table(vec![default; 1 << bits])
        } else {
            Self::Map { map: FxHashMap::default(), default }
        }
    }

    /// The value of a key, to be changed.
    #[inline(always)]
    pub fn at(&mut self, key: u64) -> &mut u32 {
        match self {
            Self::Table(table) => &mut table[key as usize],
            Self::Map { map, default } => map.entry(key).or_insert(*default),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: u64) -> u32 {
        match self {
            Self::Table(table) => table[key as usize],
            Self::Map { map, default } => map.get(&key).copied().unwrap_or(*default),
        }
    }

    /// Calls `visit` with each key whose value is not 0, and that value, in any order.
    pub fn each(&self, mut visit: impl FnMut(u64, u32)) {
        match self {
            Self::Table(table) => {
                (0..)
                    .zip(table)
                    .filter(|(_, value)| **value != 0)
                    .for_each(|(key, &value)| visit(key, value));
            }
            Self::Map { map, .. } => {
                map.iter().filter(|(_, value)| **value != 0).for_each(|(&key, &value)| visit(key, value));
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
            let mut keyed = IntMap::new(bits, 7);
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
