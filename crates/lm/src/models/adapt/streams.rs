//! Dynamic evaluation of recurrent nets on running text.

use charloom_tensor::{NodeId, Params, Pass, Recording};

use super::{Adapt, Learner};
use crate::Result;
use crate::data::Split;
use crate::feed::Shape;
use crate::models::net::{Net, Recorded};
use crate::models::{Progress, Visit};

/// A segment's length, its recording, and the inputs and loss in it.
type Segment = (usize, Recording<f32>, Recorded);

/// Scores a running text by a net that adapts. The state is carried from segment to segment, but gradients
/// stay within one. The adapted weights are dropped in the end.
///
/// # Errors
/// Only those of `progress`.
pub(in super::super) fn predict_streams(
    params: &Params<f32>,
    net: &Net,
    split: &Split,
    adapt: &Adapt<'_>,
    visit: Visit<'_>,
    progress: Progress<'_>,
) -> Result<()> {
    let record = |length: usize| {
        let (mut recording, recorded) = Recording::new(params, |tape| {
            net.loss(tape, Shape::Streams { streams: 1, length, carried: true })
        });
        let states = recorded.carried.iter().map(|&[_, states]| states);
        recording.fuse(&states.chain([recorded.loss]).collect::<Vec<_>>());
        (length, recording, recorded)
    };
    let (mut whole, mut rest): (Option<Segment>, Option<Segment>) = (None, None);
    Learner::predict(params, split, adapt, visit, progress, |split, most, on_segment| {
        let tokens = split.tokens().to_vec();
        let mut states: Vec<Vec<f32>> = Vec::new();
        let targets = tokens.len().saturating_sub(1);
        for at in (0..targets).step_by(adapt.segment).take(most) {
            let length = adapt.segment.min(targets - at);
            let recorded = if length == adapt.segment { &mut whole } else { &mut rest };
            if recorded.as_ref().is_none_or(|(recorded, ..)| *recorded != length) {
                *recorded = Some(record(length));
            }
            let Some((_, recording, Recorded { inputs, loss, carried })) = recorded else { continue };
            for (k, &which) in inputs.iter().enumerate() {
                recording.set_indices(which, |to| to.copy_from_slice(&tokens[at + k..][..length]));
            }
            for (k, &[first, _]) in carried.iter().enumerate() {
                recording.set(first, |to| match states.get(k) {
                    Some(state) => to.copy_from_slice(state),
                    None => to.fill(0.0),
                });
            }
            on_segment(recording, *loss, &Pass::evaluation(), &mut (0..length))?;
            let last = |&[first, all]: &[NodeId; 2]| {
                let width = recording.shape(first).len();
                recording.with_data(all, |all| all[all.len() - width..].to_vec())
            };
            states = carried.iter().map(last).collect();
        }
        Ok(())
    })
}
