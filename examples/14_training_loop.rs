//! A training loop of one's own: a learning rate that is found while training, and the best model kept.
//!
//!     cargo run --release -p charloom --example 14_training_loop

use charloom::prelude::*;

fn main() -> Result<()> {
    let mut config = Config::default();
    config.model.set("hidden", vec![100usize]);
    config.train.steps = 20_000;
    config.train.lr = 0.3;
    config.train.schedule = charloom::config::Schedule::Constant;
    config.train.lr_drops.clear();
    let data = load_data(&mut config)?;
    let mut trainer = Trainer::new(&config, &data)?;

    let mut best = f64::INFINITY;
    while trainer.steps_done() < config.train.steps {
        for _ in 0..1000 {
            trainer.step()?;
        }
        let Some(val) = evaluate(trainer.model(), &data.splits.val)? else { break };
        println!("step {:6}  lr {:.4}  validation {:.4}", trainer.steps_done(), trainer.lr(), val.loss);
        if val.loss < best - 1e-3 {
            best = val.loss;
        } else {
            trainer.scale_lr(0.5);
        }
    }
    println!("the best: {best:.4}");
    Ok(())
}
