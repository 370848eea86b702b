//! Successive halving: at which steps a trial is compared with the others, and whether it goes on.

use super::spec::{Pruning, Spec};

/// The steps at which trial `number` is compared: each `reduction` times the one before, rounded up to an
/// evaluation, and below the last step.
///
/// # Source
/// Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning (ASHA); Li et al. 2018, Hyperband.
pub(super) fn rungs(spec: &Spec, number: u64, steps: u64, eval_every: u64) -> Vec<u64> {
    let first = spec.min_steps.unwrap_or(steps / spec.reduction.pow(3)).max(1);
    let mut rungs: Vec<u64> = std::iter::successors(Some(first), |rung| rung.checked_mul(spec.reduction))
        .map(|rung| rung.div_ceil(eval_every).saturating_mul(eval_every))
        .take_while(|&rung| rung < steps)
        .collect();
    rungs.dedup();
    match spec.prune {
        Pruning::None => Vec::new(),
        Pruning::Asha => rungs,
        Pruning::Hyperband => {
            let spared = number % (rungs.len() as u64 + 1);
            rungs.split_off(spared as usize)
        }
    }
}

/// Whether `loss` is among the best 1 / `reduction` of itself and `others`; the lowest always is.
pub(super) fn goes_on(loss: f64, others: &[f64], reduction: u64) -> bool {
    let better = others.iter().filter(|&&other| other < loss).count() as u64;
    better < ((others.len() as u64 + 1) / reduction).max(1)
}
