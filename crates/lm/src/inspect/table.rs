//! An inspection's statistics as text, a row for each layer at each time.

use super::{Inspection, Record, RecordKind, Values};

impl Inspection {
    /// A header, then for each layer or weight a row at the start and, if the network is trained, one at the
    /// end. The last column is a histogram of at most `blocks` characters.
    #[must_use]
    pub fn table(&self, kind: RecordKind, blocks: usize) -> Vec<Vec<String>> {
        let own: &[&str] = match kind {
            RecordKind::Activation => &["saturated", "dead"],
            RecordKind::Gradient => &[],
            RecordKind::Weight => &["grad/weight", "log10 update"],
        };
        let head = ["layer", "when", "mean", "std"].iter().chain(own).chain(&["histogram"]);
        let mut rows = vec![head.map(|name| (*name).to_owned()).collect::<Vec<_>>()];
        let of_kind =
            |records: &[Record]| records.iter().filter(|r| r.kind == kind).cloned().collect::<Vec<_>>();
        let start = of_kind(&self.start.records);
        let end = self.end.as_ref().map(|end| of_kind(&end.records)).unwrap_or_default();
        for (i, record) in start.iter().enumerate() {
            rows.push(self.row(record, "start", blocks));
            rows.extend(end.get(i).map(|record| self.row(record, "end", blocks)));
        }
        rows
    }

    /// A header, then for the input, each layer and the prediction the mean of |x| and the first values of
    /// one example, at the start and, if the network is trained, at the end.
    #[must_use]
    pub fn values_table(&self) -> Vec<Vec<String>> {
        let mut rows =
            vec![["layer", "when", "mean |x|", "first five of one example"].map(str::to_owned).to_vec()];
        for (i, values) in self.start.values.iter().enumerate() {
            let end = self.end.as_ref().and_then(|end| end.values.get(i)).map(|values| ("end", values));
            for (when, Values { layer, op, mean_abs, first }) in [("start", values)].into_iter().chain(end) {
                let first: Vec<String> = first.iter().map(|&x| format!("{:>9}", number(x.into()))).collect();
                rows.push(vec![format!("{layer} {op}"), when.to_owned(), number(*mean_abs), first.concat()]);
            }
        }
        rows
    }

    fn row(&self, record: &Record, when: &str, blocks: usize) -> Vec<String> {
        let op = if record.kind == RecordKind::Weight { String::new() } else { format!(" {}", record.op) };
        let name = format!("{}{op}", record.layer);
        let mut row = vec![name, when.to_owned(), number(record.mean), number(record.std)];
        let or_none = |text: Option<String>| text.unwrap_or_default();
        match record.kind {
            RecordKind::Activation => {
                row.push(or_none(record.saturated.map(|share| format!("{:.1} %", share * 100.0))));
                row.push(or_none(record.dead.map(|dead| format!("{dead}/{}", record.units.unwrap_or(0)))));
            }
            RecordKind::Gradient => {}
            RecordKind::Weight => {
                row.push(or_none(record.gradient_ratio.map(number)));
                row.push(update(&self.updates, &record.layer, when == "start"));
            }
        }
        row.push(bars(&record.histogram.counts, blocks));
        row
    }
}

/// The first or the last update ratio of this weight in the records of a training with diagnostics.
fn update(updates: &[Record], layer: &str, first: bool) -> String {
    let mut ratios = updates.iter().filter(|r| r.layer == layer).filter_map(|r| r.update_ratio);
    let ratio = if first { ratios.next() } else { ratios.next_back() };
    ratio.map_or(String::from("-"), |ratio| format!("{ratio:.2}"))
}

/// Three decimals, or in scientific notation if the number is very small or large.
fn number(x: f64) -> String {
    if x == 0.0 || (0.001..1000.0).contains(&x.abs()) { format!("{x:.3}") } else { format!("{x:.1e}") }
}

/// A histogram in one line, in which every count above 0 is visible.
fn bars(counts: &[u64], blocks: usize) -> String {
    // A file may hold any counts, so their sums may need more than 64 bits.
    let sum = |part: &[u64]| part.iter().map(|&n| u128::from(n)).sum();
    let merged: Vec<u128> = counts.chunks(counts.len().div_ceil(blocks.max(1)).max(1)).map(sum).collect();
    let most = merged.iter().copied().max().unwrap_or(0).max(1);
    let blocks = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    merged.iter().map(|&n| if n == 0 { ' ' } else { blocks[(n * 7).div_ceil(most) as usize] }).collect()
}
