//! `charloom sweep tuning`: the table that ends notebook 001.

use std::path::PathBuf;

use charloom::{Config, Result};
use charloom_sweep::{Address, Study, Trial};
use serde_json::json;

use super::{WorkArgs, load, resolve_data, work};
use crate::output::Out;

/// Trains the rows that the study lacks, and prints all beside the notebook's losses.
pub(super) fn tuning(
    address: &Address,
    ours: bool,
    data: Option<&PathBuf>,
    how: &WorkArgs,
    out: &mut Out,
) -> Result<()> {
    let is_there = matches!(address, Address::File(path) if path.exists());
    let (mut study, loaded) = if is_there {
        let study = Study::open(address)?;
        let data = load(&study, data)?;
        (study, data)
    } else {
        let mut base = Config::default();
        base.data.path = data.cloned();
        let data = charloom::read_data(&mut base)?;
        resolve_data(&mut base, &data)?;
        (Study::create(address, &charloom_sweep::tuning(ours), &base)?, data)
    };
    work(&mut study, &loaded, how)?;
    let trials = study.trials()?;
    let row = |&(name, notebook): &(&'static str, f64)| {
        let is_it = |trial: &&Trial| trial.settings.get("preset").is_some_and(|preset| preset == name);
        let trial = trials.iter().find(is_it);
        let test = trial.and_then(|trial| trial.seeds.first()?.test);
        (name, notebook, trial.and_then(|trial| trial.loss), test)
    };
    let rows: Vec<_> = charloom_sweep::NOTEBOOK.iter().map(row).collect();
    if out.json {
        let each = rows.iter().map(|(name, notebook, validation, test)| {
            json!({"preset": name, "validation": validation, "test": test, "notebook": notebook})
        });
        let init = if ours { "kaiming-normal" } else { "unit-normal" };
        return out
            .object(&json!({"study": address.to_string(), "init": init, "rows": each.collect::<Vec<_>>()}));
    }
    let mut table = vec![["row", "validation", "test", "notebook", "difference"].map(str::to_owned).to_vec()];
    for (name, notebook, validation, test) in rows {
        let number = |x: Option<f64>| x.map_or(String::new(), |x| format!("{x:.4}"));
        let difference = test.map_or(String::new(), |test| format!("{:+.4}", test - notebook));
        table.push(vec![
            name.to_owned(),
            number(validation),
            number(test),
            format!("{notebook:.4}"),
            difference,
        ]);
    }
    out.table(&table)
}
