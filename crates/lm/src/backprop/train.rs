use charloom_tensor::Element;
use charloom_tensor::rng::TorchGenerator;
use serde::Serialize;

use super::{Matrix, Net, Parameters, Sizes, Terms, Tolerance, by_hand};
use crate::config::{Optimizer, TrainConfig};
use crate::data::Examples;
use crate::train::learning_rate;
use crate::{Error, Result};

/// The results of two trainings with the same minibatches: one with the gradients by hand, one with the
/// tape's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Training {
    /// Updates.
    pub steps: u64,
    /// The mean loss by hand over the last tenth of the steps.
    ///
    /// # Units
    /// nats
    pub loss: f64,
    /// The same with the tape's gradients.
    pub tape_loss: f64,
    /// The largest difference between the same parameter of both in the end; NaN if one is NaN.
    pub max_difference: f64,
    /// Whether all parameters are approximately equal, see `tolerance`.
    pub approximate: bool,
    /// 1000 times the tolerance of one gradient: rounding errors add up over the steps.
    pub tolerance: Tolerance,
}

/// Trains twice from the same parameters on the same minibatches: with [`by_hand()`], and with the tape.
///
/// `wrong` may alter the gradients by hand.
///
/// # Errors
/// A configuration whose training is not plain gradient descent.
pub fn train<E: Element>(
    sizes: &Sizes,
    parameters: &Parameters,
    examples: &Examples,
    generator: &TorchGenerator,
    config: &TrainConfig,
    wrong: impl Fn(&mut Terms<Matrix<E>>),
) -> Result<Training> {
    let plain = config.optimizer == Optimizer::Sgd
        && [config.momentum, config.weight_decay, config.clip, config.clip_value, config.ema] == [0.0; 5]
        && config.accumulate == 1;
    if !plain {
        return Err(Error::setting(
            "train",
            ": the lesson is plain gradient descent; leave ``optimizer``, ``momentum``, ``weight_decay``, ``clip``, \
             ``clip_value``, ``accumulate`` and ``ema`` out",
        ));
    }
    let lr = learning_rate(config);
    let last = config.steps - config.steps.div_ceil(10);
    let mut ends = [false, true].map(|hand| {
        let mut batches = Batches::new(examples, sizes, generator.clone());
        let (contexts, targets) = batches.next();
        let mut net = Net::<E>::new(sizes, parameters, contexts, targets);
        let mut loss = 0.0;
        for step in 0..config.steps {
            if step > 0 {
                let (contexts, targets) = batches.next();
                net.forward(contexts, targets);
            }
            if step >= last {
                loss += net.loss().f64() / (config.steps - last) as f64;
            }
            let gradients = if hand {
                let mut gradients = by_hand(&net.values(), &batches.contexts, &batches.targets);
                wrong(&mut gradients);
                gradients
            } else {
                net.tape_gradients()
            };
            net.step(&gradients, lr.at(step, config.steps));
        }
        (loss, net.parameters())
    });
    let [(tape_loss, tape), (loss, hand)] = &mut ends;
    let unit = Tolerance::of::<E>();
    let tolerance = Tolerance { atol: 1e3 * unit.atol, rtol: 1e3 * unit.rtol };
    let row = super::compare(
        "parameters",
        &[],
        &Matrix::new(1, std::mem::take(hand)),
        &Matrix::new(1, std::mem::take(tape)),
        tolerance,
    );
    Ok(Training {
        steps: config.steps,
        loss: *loss,
        tape_loss: *tape_loss,
        max_difference: row.max_difference,
        approximate: row.approximate,
        tolerance,
    })
}

/// Minibatches, as a training draws them.
pub(super) struct Batches<'a> {
    examples: &'a Examples,
    generator: TorchGenerator,
    drawn: Vec<u32>,
    /// (B, T)
    pub contexts: Vec<u32>,
    /// (B)
    pub targets: Vec<u32>,
}

impl<'a> Batches<'a> {
    pub fn new(examples: &'a Examples, sizes: &Sizes, generator: TorchGenerator) -> Self {
        Self { examples, generator, drawn: vec![0; sizes.batch], contexts: Vec::new(), targets: Vec::new() }
    }

    /// Contexts and targets of the next minibatch.
    pub fn next(&mut self) -> (&[u32], &[u32]) {
        self.generator.randint_into(self.examples.len() as u32, &mut self.drawn);
        let examples = self.examples;
        self.contexts.clear();
        self.contexts.extend(self.drawn.iter().flat_map(|&i| examples.context(i as usize)));
        self.targets.clear();
        self.targets.extend(self.drawn.iter().map(|&i| examples.target(i as usize)));
        (&self.contexts, &self.targets)
    }
}
