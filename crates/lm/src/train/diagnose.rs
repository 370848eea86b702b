//! Diagnostics: statistics of the layers, measured now and then during a training.

use super::Trainer;
use crate::Result;
use crate::inspect::{Probe, Record, RecordKind, ratio};

/// The examples that layers are measured on.
const ROWS: usize = 128;
/// A look costs about as much as 20 steps of ROWS rows; one every SHARE = 500 such steps costs 20/500 = 4 %.
const SHARE: u64 = 500;
/// The fewest steps between two looks: in steps of many rows a row takes less time, so looks would cost more
/// than 4 %.
const MIN_INTERVAL: u64 = 50;
/// The most looks in a run.
const MAX_LOOKS: u64 = 200;

/// Measures the layers every `every` steps, on the same examples.
pub(super) struct Diagnostics {
    probe: Probe,
    every: u64,
    /// The parameters before an update that is measured; else empty.
    before: Vec<f32>,
    /// The records since they were last taken.
    records: Vec<Record>,
}

impl Diagnostics {
    /// Whether the layers are measured in this step.
    pub fn is_due(&self, step: u64) -> bool {
        step.is_multiple_of(self.every)
    }
}

impl Trainer {
    /// From now on measures the layers now and then, in about 4 % of the time. Does nothing for a model
    /// without layers over a window.
    ///
    /// The training's numbers stay the same.
    ///
    /// # Errors
    /// More examples than 32 bits count.
    pub fn diagnose(&mut self) -> Result<()> {
        self.sync_model();
        let Ok(stack) = self.model.stack() else { return Ok(()) };
        let examples = self.train.examples(stack.context)?;
        let probe = Probe::new(&self.model.params, stack, &examples, ROWS);
        let every = interval(self.config.train.steps, self.stepper.rows());
        self.diagnostics = Some(Diagnostics { probe, every, before: Vec::new(), records: Vec::new() });
        Ok(())
    }

    /// Whether the layers are measured.
    #[must_use]
    pub fn diagnoses(&self) -> bool {
        self.diagnostics.is_some()
    }

    /// The records since this was last called, layer by layer.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.diagnostics
            .as_mut()
            .map_or_else(Vec::new, |diagnostics| std::mem::take(&mut diagnostics.records))
    }

    /// Before an update, if a look is due: measures the layers, and keeps a copy of the parameters.
    pub(super) fn before_update(&mut self) {
        if !self.diagnostics.as_ref().is_some_and(|diagnostics| diagnostics.is_due(self.step)) {
            return;
        }
        self.sync_model();
        let Some(diagnostics) = &mut self.diagnostics else { return };
        diagnostics.records = diagnostics.probe.measure(&self.model.params, self.step).records;
        diagnostics.before.clear();
        diagnostics.before.extend_from_slice(self.model.params.values());
    }

    /// After that update: adds log10(std(update) / std(weight)) to each weight matrix's record.
    pub(super) fn after_update(&mut self) {
        if self.diagnostics.as_ref().is_none_or(|diagnostics| diagnostics.before.is_empty()) {
            return;
        }
        self.sync_model();
        let Some(diagnostics) = &mut self.diagnostics else { return };
        let update = &mut diagnostics.before;
        update.iter_mut().zip(self.model.params.values()).for_each(|(u, p)| *u = *p - *u);
        for entry in self.model.params.trained() {
            let record = diagnostics
                .records
                .iter_mut()
                .find(|r| r.kind == RecordKind::Weight && r.layer == entry.name);
            if let Some(record) = record {
                let size = Record::deviation(&entry.read(update));
                record.update_ratio = ratio(size, record.std).map(f64::log10).filter(|r| r.is_finite());
            }
        }
        update.clear();
    }
}

/// Steps between looks, for a run of `steps` steps of `rows` rows.
fn interval(steps: u64, rows: usize) -> u64 {
    (SHARE * ROWS as u64).div_ceil(rows.max(1) as u64).max(steps / MAX_LOOKS).max(MIN_INTERVAL)
}
