//! Looking at the layers while a training goes on.

use charloom_tensor::Kind as EntryKind;

use super::{StepGraph, Trainer};
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

impl Trainer {
    /// From now on looks at the layers every so many steps, so seldom that it costs few hundredths of the time.
    ///
    /// It changes no number of the training.
    pub fn diagnose(&mut self) {
        self.make_whole();
        let examples = self.batches.examples();
        let probe = Probe::new(&self.network, examples, ROWS);
        let every = interval(self.config.train.steps, self.rows(&self.graph));
        self.diagnostics = Some(Diagnostics { probe, every, before: Vec::new(), records: Vec::new() });
    }

    /// What was seen since this was last asked, layer by layer.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.diagnostics
            .as_mut()
            .map_or_else(Vec::new, |diagnostics| std::mem::take(&mut diagnostics.records))
    }

    /// The rows that a step computes, at most.
    fn rows(&self, graph: &StepGraph) -> usize {
        self.network.tape().indices_shape(graph.contexts).dims()[0]
    }

    /// Whether the layers are to be looked at in the next step.
    pub(super) fn is_to_look(&self) -> bool {
        self.diagnostics.as_ref().is_some_and(|diagnostics| self.step.is_multiple_of(diagnostics.every))
    }

    /// Before an update, if it is time: looks, and keeps the parameters.
    pub(super) fn look(&mut self) {
        let is_to_look = self.is_to_look();
        let Some(diagnostics) = &mut self.diagnostics else { return };
        diagnostics.before.clear();
        if is_to_look {
            diagnostics.records = diagnostics.probe.measure(&self.network, self.step).records;
            let before = &mut diagnostics.before;
            self.network.tape().with_parameters(|params, _| before.extend_from_slice(params));
        }
    }

    /// After it: how large the update was.
    pub(super) fn look_back(&mut self) {
        let Some(diagnostics) = &mut self.diagnostics else { return };
        if diagnostics.before.is_empty() {
            return;
        }
        let tape = self.network.tape();
        let update = &mut diagnostics.before;
        tape.with_parameters(|params, _| update.iter_mut().zip(params).for_each(|(u, p)| *u = *p - *u));
        for entry in tape.entries().iter().filter(|entry| entry.kind == EntryKind::Parameter) {
            let record =
                diagnostics.records.iter_mut().find(|r| r.kind == Kind::Weight && r.layer == entry.name);
            if let Some(record) = record {
                let size = Record::deviation(&entry.read(update));
                record.update_ratio = ratio(size, record.std).map(f64::log10).filter(|r| r.is_finite());
            }
        }
    }
}

/// Steps between looks, for a run of `steps` with so many rows a step.
fn interval(steps: u64, rows: usize) -> u64 {
    (SHARE * ROWS as u64).div_ceil(rows.max(1) as u64).max(steps / MOST).max(LEAST)
}
