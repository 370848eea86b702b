//! Tries settings and says which predict best. Killed and started again, it goes on where it was.
//!
//!     cargo run --release -p charloom-sweep --example 16_sweep

use std::sync::atomic::AtomicBool;

use charloom::prelude::*;
use charloom_sweep::{Address, Event, Spec, Study, WorkOptions, best, importance, work};

const SPEC: &str = "
sampler = \"grid\"
base.train.steps = 2000
[settings]
embed = [2, 6, 10]
lr = [0.03, 0.1, 0.3]
";

fn main() -> Result<()> {
    let path = std::env::temp_dir().join("charloom-example.db");
    let address = Address::File(path.clone());
    let (spec, mut base) = Spec::from_toml(SPEC, "spec.toml".as_ref())?;
    // What the data says of itself belongs to the study; what else depends on it is each trial's own.
    let mut resolved = base.clone();
    let data = load_data(&mut resolved)?;
    base.data = resolved.data;
    let mut study =
        if path.exists() { Study::open(&address)? } else { Study::create(&address, &spec, &base)? };

    let told = |event: &Event| {
        if let Event::Finished { number, loss: Some(loss), .. } = event {
            println!("trial {number}: {loss:.4}");
        }
    };
    work(&address, &data, WorkOptions { threads: 0 }, &AtomicBool::new(false), &told)?;

    let trials = study.trials()?;
    if let Some(trial) = best(&trials) {
        println!("the best is trial {}:\n{}", trial.number, study.config(&trial.settings)?.to_toml());
    }
    for setting in importance(study.space(), &trials) {
        println!("{}: {:.0} %", setting.name, 100.0 * setting.share.unwrap_or(0.0));
    }
    // Left there, it would be gone on with; closed, the file is the whole study.
    drop(study);
    let _ = std::fs::remove_file(path);
    Ok(())
}
