//! The loss of a batch, recorded.

use charloom_tensor::{Element, Indices, Tape};

use super::{CausalRows, Decoder};
use crate::models::Precision;
use crate::models::net::{Recorded, pairs_loss};

/// Records the loss of a tree of `nodes` nodes and `pairs` (node, target) pairs.
pub(in super::super) fn of_tree<E: Precision>(
    decoder: &Decoder,
    tape: &Tape<'_, E>,
    [nodes, pairs]: [usize; 2],
) -> Recorded {
    let (nodes, pairs) = (tape.axis(nodes), tape.axis(pairs));
    let [tokens, parents, positions] = [(); 3].map(|()| tape.index_rows(nodes, &[]));
    let logits = decoder.logits(tape, [tokens, positions], &mut CausalRows::Tree(parents));
    let mut recorded = pairs_loss(vec![tokens, parents], logits, pairs);
    recorded.inputs.push(positions);
    recorded
}

/// Records the loss of `sequences` blocks of `length` tokens of a text.
pub(in super::super) fn of_blocks<E: Precision>(
    decoder: &Decoder,
    tape: &Tape<'_, E>,
    [sequences, length]: [usize; 2],
) -> Recorded {
    let [tokens, targets] =
        [(); 2].map(|()| tape.indices(&[sequences * length], &vec![0; sequences * length]));
    let positions = positions(tape, [sequences, length]);
    let logits = decoder.logits(tape, [tokens, positions], &mut CausalRows::Sequences(length));
    Recorded { inputs: vec![tokens, targets], loss: logits.cross_entropy(targets).id(), carried: Vec::new() }
}

/// 0 to T - 1, B times.
pub(super) fn positions<E: Element>(tape: &Tape<'_, E>, [sequences, length]: [usize; 2]) -> Indices {
    let positions: Vec<u32> = (0..sequences).flat_map(|_| 0..length as u32).collect();
    tape.indices(&[sequences * length], &positions)
}
