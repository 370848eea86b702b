//! Trains a model on the names that charloom brings along, and lets it write new ones.
//!
//!     cargo run --release -p charloom --example 11_train_and_sample

use charloom::prelude::*;

fn main() -> Result<()> {
    let mut config = Config::default();
    config.train.steps = 20_000;
    let data = load_data(&mut config)?;

    let mut trainer = Trainer::new(&config, &data)?;
    for _ in 0..config.train.steps {
        trainer.step()?;
    }
    if let Some(test) = evaluate(trainer.model(), &data.splits.test)? {
        println!("{:.4} nats per character on the test split", test.loss);
    }
    let options = SampleOptions { n: 10, seed: 7, ..SampleOptions::default() };
    let known = KnownWords::of(&data.splits);
    for sample in Sampler::new(trainer.model(), &data.vocab, options, Some(&known))? {
        let sample = sample?;
        let novelty = sample.novelty.map_or(String::new(), |novelty| novelty.to_string());
        println!("{:16} {novelty}", sample.text);
    }
    Ok(())
}
