//! Checks the peers on a case, then times them in turn.

use protocol::{Case, Task};
use serde::Serialize;

use crate::cases::Definition;
use crate::peers::Peer;
use crate::process::Process;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often each peer is timed.
    pub rounds: u32,
    /// Seconds that a peer works in a round.
    pub seconds: f64,
}

/// The result of one peer on one case.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Its timing.
    Measured(Timing),
    /// The reason why there is none.
    Absent(String),
}

/// The time of one repetition.
///
/// # Units
/// Seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// The median over the rounds.
    pub median: f64,
    /// The time in each round.
    pub rounds: Vec<f64>,
    /// The number of repetitions in a round.
    pub repetitions: u64,
    /// The loss after the first steps, from equal parameters on equal batches.
    pub check: f64,
    /// The value of the last round: a loss, a mean length or a mean log-likelihood.
    pub value: f64,
    /// Whether `check` agrees with the other peers'.
    pub agrees: bool,
}

/// Checks and times a case: one cell for each peer.
pub fn case(
    definition: &Definition,
    case: &Case,
    chosen: &[Peer],
    running: &mut [Result<Process, String>],
    plan: &Plan,
) -> Vec<Cell> {
    eprint!("{:16}", definition.name);
    let mut state: Vec<Result<Running, String>> = running
        .iter_mut()
        .zip(chosen)
        .map(|(process, peer)| {
            let process = process.as_mut().map_err(|why| why.clone())?;
            begin(process, case, definition.task, plan.seconds * peer.patience())
        })
        .collect();
    for round in 0..plan.rounds as usize {
        eprint!(".");
        for turn in 0..state.len() {
            // Each round begins with another peer.
            let i = (turn + round) % state.len();
            let (Ok(process), Ok(peer)) = (&mut running[i], &mut state[i]) else { continue };
            match process.run(definition.task, peer.repetitions) {
                Ok(measured) => {
                    peer.rounds.push(measured.seconds / peer.repetitions as f64);
                    peer.value = measured.value;
                }
                Err(why) => state[i] = Err(why),
            }
        }
    }
    let checks: Vec<f64> = state.iter().flatten().map(|peer| peer.check).collect();
    let reference = median(&checks);
    let cells: Vec<Cell> = state
        .into_iter()
        .map(|peer| match peer {
            Err(why) => Cell::Absent(why),
            Ok(peer) => {
                let error = (peer.check - reference).abs();
                Cell::Measured(Timing {
                    median: median(&peer.rounds),
                    rounds: peer.rounds,
                    repetitions: peer.repetitions,
                    check: peer.check,
                    value: peer.value,
                    agrees: error <= definition.tolerance * reference.abs(),
                })
            }
        })
        .collect();
    eprintln!();
    for (peer, cell) in chosen.iter().zip(&cells) {
        match cell {
            Cell::Measured(t) if !t.agrees => {
                eprintln!("  {}: loss {} after the first steps, the others {reference}", peer.name, t.check);
            }
            Cell::Absent(why) => eprintln!("  {}: {why}", peer.name),
            Cell::Measured(_) => {}
        }
    }
    cells
}

/// A peer that has been checked.
struct Running {
    check: f64,
    repetitions: u64,
    rounds: Vec<f64>,
    value: f64,
}

/// Opens a case, checks it, and finds the number of repetitions that take the time of a round.
fn begin(process: &mut Process, case: &Case, task: Task, seconds: f64) -> Result<Running, String> {
    process.open(case)?;
    let check = process.run(Task::Check, case.checks)?.value;
    let mut n = 1;
    // The first repetitions compile, allocate and fill caches; they are not counted.
    process.run(task, n)?;
    let repetitions = loop {
        // The shorter of two runs, since one that was disturbed would end the search too early.
        let taken = process.run(task, n)?.seconds.min(process.run(task, n)?.seconds);
        if taken >= seconds / 4.0 || n >= 1 << 24 {
            break ((n as f64 * seconds / taken.max(1e-9)).ceil() as u64).max(1);
        }
        n *= 4;
    };
    Ok(Running { check, repetitions, rounds: Vec::new(), value: f64::NAN })
}

/// The median; of an even number of numbers, the mean of the two in the middle.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
