//! A training loop of one's own: a learning rate that is found while training, and the best model kept.
//!
//!     cargo run --release -p charloom --example 14_training_loop

use charloom::prelude::*;

fn main() -> Result<()> {
    let mut config = Config::default();
    config.model.set("hidden", vec![100usize]);
    config.train.steps = 20_000;
    let data = load_data(&mut config)?;
    let mut trainer = Trainer::new(&config, &data)?;

    let (mut lr, mut best) = (0.3, f64::INFINITY);
    while trainer.steps_done() < config.train.steps {
        for _ in 0..1000 {
            // A step at this learning rate, whatever the schedule says.
            trainer.step_at(lr)?;
        }
        let Some(val) = evaluate(trainer.model(), &data.splits.val)? else { break };
        println!("step {:6}  lr {lr:.4}  validation {:.4}", trainer.steps_done(), val.loss);
        if val.loss < best - 1e-3 {
            best = val.loss;
        } else {
            lr *= 0.5;
        }
    }
    println!("the best: {best:.4}");
    Ok(())
}
