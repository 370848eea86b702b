//! A sequence read in windows, for models that see at most T tokens.

/// A window of a sequence: some of its inputs, of which the later ones have their next token scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The position of the first input in the sequence.
    pub start: usize,
    /// The number of inputs.
    pub inputs: usize,
    /// The first input of the window whose next token is scored; those of earlier ones were scored in the
    /// window before.
    pub scored_from: usize,
}

/// The windows of a sequence of `inputs` inputs: the first T of them, T being `context`, then moved on by
/// `stride` until every input is in a window.
///
/// So each target after the first T is predicted from at least `T - stride + 1` tokens, the first T from all
/// tokens before them.
pub(crate) fn sliding_windows(inputs: usize, context: usize, stride: usize) -> impl Iterator<Item = Window> {
    let further = inputs.saturating_sub(context).div_ceil(stride);
    (0..=further).map(move |k| Window {
        start: k * stride,
        inputs: context.min(inputs - k * stride),
        scored_from: if k == 0 { 0 } else { context - stride },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_but_the_first_windows_is_scored_once_with_enough_before_it() {
        for (inputs, context, stride) in [(5, 8, 2), (8, 8, 2), (9, 8, 2), (30, 8, 2), (31, 8, 8), (12, 5, 1)]
        {
            let mut scored = vec![0; inputs];
            for window in sliding_windows(inputs, context, stride) {
                for at in window.scored_from..window.inputs {
                    scored[window.start + at] += 1;
                    assert!(window.start == 0 || at + 1 > context - stride);
                }
            }
            assert_eq!(scored, vec![1; inputs], "{inputs} {context} {stride}");
        }
    }
}
