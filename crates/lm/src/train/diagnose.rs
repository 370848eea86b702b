//! Looking at the layers while a training goes on.

use super::Trainer;
use crate::Result;
use crate::inspect::{Kind, Probe, Record, ratio};

/// The examples that are looked at.
const ROWS: usize = 128;
/// A look takes as long as some twenty steps of as many rows; one in so many steps of such costs under four hundredths.
const SHARE: u64 = 500;
/// Steps of many rows take less time a row, so no fewer than this lie between two looks.
const LEAST: u64 = 50;
/// The most looks in a run.
const MOST: u64 = 200;

/// Looks at the same examples every so many steps.
pub(super) struct Diagnostics {
    probe: Probe,
    every: u64,
    /// The parameters before an update.
    before: Vec<f32>,
    /// What was seen, until it is taken.
    records: Vec<Record>,
}

impl Diagnostics {
    /// Whether the layers are to be looked at in this step.
    pub fn is_due(&self, step: u64) -> bool {
        step.is_multiple_of(self.every)
    }
}

impl Trainer {
    /// From now on looks at the layers every so many steps, so seldom that it costs few hundredths of the time. A model
    /// that has no layers over a window has nothing to look at.
    ///
    /// It changes no number of the training.
    ///
    /// # Errors
    /// More examples than 32 bits count.
    pub fn diagnose(&mut self) -> Result<()> {
        self.make_whole();
        let Ok(stack) = self.model.stack() else { return Ok(()) };
        let examples = self.train.examples(stack.context)?;
        let probe = Probe::new(&self.model.params, stack, &examples, ROWS);
        let every = interval(self.config.train.steps, self.ways.rows());
        self.diagnostics = Some(Diagnostics { probe, every, before: Vec::new(), records: Vec::new() });
        Ok(())
    }

    /// Whether the layers are looked at.
    #[must_use]
    pub fn diagnoses(&self) -> bool {
        self.diagnostics.is_some()
    }

    /// What was seen since this was last asked, layer by layer.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.diagnostics
            .as_mut()
            .map_or_else(Vec::new, |diagnostics| std::mem::take(&mut diagnostics.records))
    }

    /// Before an update, if it is time: looks, and keeps the parameters.
    pub(super) fn before_update(&mut self) {
        if !self.diagnostics.as_ref().is_some_and(|diagnostics| diagnostics.is_due(self.step)) {
            return;
        }
        self.make_whole();
        let Some(diagnostics) = &mut self.diagnostics else { return };
        diagnostics.records = diagnostics.probe.measure(&self.model.params, self.step).records;
        diagnostics.before.clear();
        diagnostics.before.extend_from_slice(self.model.params.values());
    }

    /// After it: how large the update was.
    pub(super) fn after_update(&mut self) {
        if self.diagnostics.as_ref().is_none_or(|diagnostics| diagnostics.before.is_empty()) {
            return;
        }
        self.make_whole();
        let Some(diagnostics) = &mut self.diagnostics else { return };
        let update = &mut diagnostics.before;
        update.iter_mut().zip(self.model.params.values()).for_each(|(u, p)| *u = *p - *u);
        for entry in self.model.params.trained() {
            let record =
                diagnostics.records.iter_mut().find(|r| r.kind == Kind::Weight && r.layer == entry.name);
            if let Some(record) = record {
                let size = Record::deviation(&entry.read(update));
                record.update_ratio = ratio(size, record.std).map(f64::log10).filter(|r| r.is_finite());
            }
        }
        update.clear();
    }
}

/// Steps between looks, for a run of `steps` with so many rows a step.
fn interval(steps: u64, rows: usize) -> u64 {
    (SHARE * ROWS as u64).div_ceil(rows.max(1) as u64).max(steps / MOST).max(LEAST)
}
