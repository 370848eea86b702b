//! Two models as runs, and whether the better one is better than by chance.
//!
//!     cargo run --release -p charloom --example 13_compare

use std::sync::atomic::AtomicBool;

use charloom::evaluation::compare;
use charloom::files::RunFolder;
use charloom::prelude::*;
use charloom::train::{FitOptions, Unwatched, fit};

fn main() -> Result<()> {
    let home = std::env::temp_dir().join(format!("charloom-compare-{}", std::process::id()));
    let runs = ["mlp", "ngram"].map(|kind| home.join(kind));
    for (kind, run) in ["mlp", "ngram"].into_iter().zip(&runs) {
        let model = ModelConfig::of(kind);
        let mut config = Config { model, ..Config::default() };
        config.train.steps = 20_000;
        let data = load_data(&mut config)?;
        let mut folder = RunFolder::create(run, false)?;
        folder.write_config(&config)?;
        // Whoever sets it to true stops the training; whoever watches is told of each evaluation.
        let stop = AtomicBool::new(false);
        fit(&config, &data, &mut folder, FitOptions::default(), &stop, &mut Unwatched)?;
    }
    let comparison = compare(&runs, "val", None)?;
    for run in &comparison.runs {
        println!("{:.4}  {}", run.evaluation.loss, run.run.display());
    }
    for test in &comparison.tests {
        let p = test.p.map_or(String::new(), |p| format!(", p = {p:.1e}"));
        println!("the second less the first: {:+.4} ± {:.4}{p}", test.difference, test.standard_error);
    }
    // A folder that cannot be removed is left to the system.
    let _ = std::fs::remove_dir_all(home);
    Ok(())
}
