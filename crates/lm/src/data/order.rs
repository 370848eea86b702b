//! The order of the words, and where they are cut into splits.

use charloom_tensor::rng::{PythonRandom, TorchGenerator};

use super::settings::{DataConfig, Mode, Shuffle, check_split};
use super::tokens::count;
use crate::error::Result;

/// Where each word begins in a text of lines, in the order of `config.shuffle`.
pub fn starts(text: &str, config: &DataConfig) -> Vec<u32> {
    // A text has at most 2^30 bytes, so positions fit into 32 bits.
    let mut starts: Vec<u32> = Vec::with_capacity(count(text.as_bytes(), b'\n') + 1);
    starts.push(0);
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        if byte == b'\n' {
            starts.push(at as u32 + 1);
        }
    }
    // No word begins at the end of the text.
    starts.pop_if(|start| *start as usize == text.len());
    match config.shuffle {
        Shuffle::None => starts,
        Shuffle::Python => {
            PythonRandom::new(config.split_seed).shuffle(&mut starts);
            starts
        }
        Shuffle::Torch => {
            let mut order = TorchGenerator::new(config.split_seed).randperm(starts.len() as u32);
            order.iter_mut().for_each(|word| *word = starts[*word as usize]);
            order
        }
    }
}

/// Where n words or characters are cut into three splits, as a function of n.
pub fn cut(config: &DataConfig, mode: Mode) -> Result<impl Fn(usize) -> [usize; 2]> {
    let split = config.split.unwrap_or(mode.default_split());
    check_split(split)?;
    let is_torch = mode == Mode::Lines && config.shuffle == Shuffle::Torch;
    Ok(move |n: usize| {
        let [first, second] = if is_torch { random_split(n, split) } else { sums(n, split) };
        let first = first.clamp(1, n);
        [first, second.clamp(first, n)]
    })
}

/// Python's `int(train * n)` and `int((train + val) * n)`.
fn sums(n: usize, [train, val, _]: [f64; 3]) -> [usize; 2] {
    // Rounded, since 0.7 + 0.1 in floating point is a little less than 0.8.
    let both = ((train + val) * 1e12).round() / 1e12;
    [train, both].map(|fraction| (fraction * n as f64) as usize)
}

/// Where `torch.utils.data.random_split` cuts: each part gets `floor(f * n)`, and the first parts get one
/// more each until all n are used.
fn random_split(n: usize, fractions: [f64; 3]) -> [usize; 2] {
    let lengths = fractions.map(|fraction| (fraction * n as f64) as usize);
    let left = n.saturating_sub(lengths.iter().sum());
    let longer = |i: usize| lengths[i] + usize::from(i < left);
    [longer(0), longer(0) + longer(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_random_split() {
        let lengths = |n: usize, fractions| {
            let [a, b] = random_split(n, fractions);
            [a, b - a, n - b]
        };
        // torch 2.15: [len(part) for part in random_split(range(n), fractions)]
        for (n, fractions, said) in [
            (32_033, [0.8, 0.1, 0.1], [25_627, 3203, 3203]),
            (10, [0.8, 0.1, 0.1], [8, 1, 1]),
            (19, [0.8, 0.1, 0.1], [16, 2, 1]),
            (7, [0.7, 0.1, 0.2], [5, 1, 1]),
            (8, [0.7, 0.15, 0.15], [6, 1, 1]),
            (9, [0.34, 0.33, 0.33], [4, 3, 2]),
            (3, [1.0, 0.0, 0.0], [3, 0, 0]),
            (1, [0.1, 0.2, 0.7], [1, 0, 0]),
            (101, [0.5, 0.5, 0.0], [51, 50, 0]),
        ] {
            assert_eq!(lengths(n, fractions), said, "{n} by {fractions:?}");
        }
    }

    #[test]
    fn only_torchs_order_has_torchs_lengths() {
        let cuts = |shuffle, mode, n: usize| {
            cut(&DataConfig { shuffle, split: Some([0.8, 0.1, 0.1]), ..DataConfig::default() }, mode).unwrap()(
                n,
            )
        };
        assert_eq!(cuts(Shuffle::Torch, Mode::Lines, 32_033), [25_627, 28_830]);
        assert_eq!(cuts(Shuffle::Python, Mode::Lines, 32_033), [25_626, 28_829]);
        assert_eq!(cuts(Shuffle::Torch, Mode::Text, 32_033), [25_626, 28_829]);
        assert_eq!(cuts(Shuffle::Torch, Mode::Lines, 1), [1, 1]);
    }
}
