//! The table that ends notebook 001, as a study.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::spec::{Sampler, Spec};

/// The presets of the table's rows, and the notebook's test loss of each.
///
/// # Units
/// Nats per character.
pub const NOTEBOOK: [(&str, f64); 15] = [
    ("tuning-01", 2.3414),
    ("tuning-02", 2.5306),
    ("tuning-03", 2.3566),
    ("tuning-04", 2.3719),
    ("tuning-05", 2.3340),
    ("tuning-06", 2.1759),
    ("tuning-07", 2.1759),
    ("tuning-08", 2.1734),
    ("tuning-09", 2.2322),
    ("tuning-10", 2.1812),
    ("tuning-11", 2.1625),
    ("tuning-12", 2.2723),
    ("tuning-13", 2.1847),
    ("tuning-14", 2.1871),
    ("tuning-15", 2.1850),
];

/// The study of the fifteen rows. With `ours` parameters are drawn by charloom's default, kaiming-normal with
/// the last weight times 0.1, instead of as standard normals.
///
/// It measures every test loss, since those are the notebook's figures; so [`choose`](crate::choose())
/// refuses it.
#[must_use]
pub fn tuning(ours: bool) -> Spec {
    // The longest trainings first, so that no core is idle at the end.
    let mut rows = NOTEBOOK.map(|(name, _)| name);
    let longest = ["tuning-10", "tuning-08", "tuning-13", "tuning-14", "tuning-11", "tuning-15"];
    rows.sort_by_key(|name| longest.iter().position(|long| long == name).unwrap_or(longest.len()));
    let mut settings: BTreeMap<String, Value> = BTreeMap::from([("preset".to_owned(), json!(rows))]);
    if ours {
        settings.insert("init".to_owned(), json!(["kaiming-normal"]));
        settings.insert("output_scale".to_owned(), json!([0.1]));
    }
    Spec { sampler: Sampler::Grid, measure_test: true, settings, ..Spec::default() }
}
