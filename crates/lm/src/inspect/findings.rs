//! Findings: what is wrong in a network, and what to try.

use serde::Serialize;

use super::{Inspection, Record, RecordKind, Snapshot};
use crate::config::{Activation, Init, Norm};
use crate::models::MlpSettings;

/// A first loss is too high if it exceeds ln V by this share of it.
const TOO_HIGH: f64 = 0.15;
/// The largest acceptable share of saturated outputs, before and after training.
const SATURATED: [f64; 2] = [0.3, 0.6];
/// The largest share of dead units that is not reported.
const DEAD: f64 = 0.1;
/// The largest acceptable growth or shrinkage, as a factor, of the outputs' deviation from the first to the
/// last hidden layer.
const FADES: f64 = 4.0;
/// The acceptable range of log10(update / weight), which is usually about -3.
const UPDATES: [f64; 2] = [-4.5, -1.5];

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What kind: `first-loss`, `loss`, `saturated`, `dead`, `signal`, `gradient`, `updates`.
    pub kind: &'static str,
    /// The layers that it is about; empty if it is about the whole network.
    pub layers: Vec<String>,
    /// One line: what, where, why, and what to try.
    pub message: String,
}

/// Everything that is wrong, the gravest first.
pub(super) fn all(of: &Inspection, model: &MlpSettings) -> Vec<Finding> {
    let moments = [("at the start", 0, Some(&of.start)), ("at the end", 1, of.end.as_ref())];
    let mut found: Vec<Finding> = first_loss(of, model).into_iter().chain(last_loss(of)).collect();
    for (when, which, snapshot) in moments {
        let Some(snapshot) = snapshot else { continue };
        found.extend(saturated(snapshot, model, when, SATURATED[which]));
        found.extend(dead(snapshot, model, when));
    }
    found.extend(signal(&of.start, model));
    found.extend(gradient(&of.start));
    found.extend(updates(&of.updates));
    found
}

fn first_loss(of: &Inspection, model: &MlpSettings) -> Option<Finding> {
    let (loss, uniform) = (of.start.loss, of.uniform);
    if loss < uniform * (1.0 + TOO_HIGH) {
        return None;
    }
    let deviation = of.start.outputs().last().map_or(f64::NAN, |logits| logits.std);
    // Logits of a deviation below 1/3 hardly raise the loss above ln V.
    let lower = 10f64.powf((0.32 * model.output_scale / deviation).log10().floor());
    let init = if model.init == Init::KaimingNormal { "" } else { " or ``init`` kaiming-normal" };
    let message = format!(
        "the first loss is {loss:.1} where ln V is {uniform:.2}: the output layer's scale is too large (its logits \
         have a deviation of {deviation:.1}): try ``output_scale`` {lower}{init}"
    );
    Some(Finding { kind: "first-loss", layers: Vec::new(), message })
}

fn last_loss(of: &Inspection) -> Option<Finding> {
    let loss = of.end.as_ref()?.loss;
    let message = if !loss.is_finite() {
        format!(
            "the loss at the end is {loss}: the training diverged; try a tenth of the ``lr``, or ``clip`` 1"
        )
    } else if loss >= of.uniform {
        let uniform = of.uniform;
        format!(
            "the loss at the end, {loss:.2}, is no better than guessing (ln V is {uniform:.2}): try another ``lr``"
        )
    } else {
        return None;
    };
    Some(Finding { kind: "loss", layers: Vec::new(), message })
}

fn saturated(of: &Snapshot, model: &MlpSettings, when: &str, limit: f64) -> Option<Finding> {
    let over: Vec<&Record> =
        of.outputs().filter(|r| r.saturated.is_some_and(|share| share > limit || share.is_nan())).collect();
    let share = |r: &Record| r.saturated.unwrap_or(f64::NAN);
    let worst = over.iter().copied().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    let mut remedies = Vec::new();
    match model.init {
        Init::KaimingNormal if model.gain() > 5.0 / 3.0 + 1e-9 => {
            remedies.push(format!("a ``gain`` of 5/3 instead of {}", model.gain()));
        }
        Init::KaimingNormal => {}
        _ => remedies.push("``init`` kaiming-normal".to_owned()),
    }
    if model.norm == Norm::None {
        remedies.push("``norm`` batch".to_owned());
    }
    if remedies.is_empty() || when.ends_with("end") {
        remedies.push("a lower ``lr``".to_owned());
    }
    let message = format!(
        "{when} {:.0} % of the outputs of {} are beyond +-0.97{}, where tanh is flat and passes hardly any gradient: \
         what goes into it is too large; try {}",
        share(worst) * 100.0,
        worst.layer,
        others(over.len(), "saturated too"),
        remedies.join(" or ")
    );
    Some(Finding { kind: "saturated", layers: names(&over), message })
}

fn dead(of: &Snapshot, model: &MlpSettings, when: &str) -> Option<Finding> {
    let share = |r: &Record| r.dead.unwrap_or(0) as f64 / r.units.unwrap_or(1).max(1) as f64;
    let over: Vec<&Record> = of.outputs().filter(|r| share(r) > DEAD).collect();
    let worst = over.iter().copied().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    let mut remedies = vec!["smaller biases and a lower ``lr``".to_owned()];
    if model.norm == Norm::None {
        remedies.push("``norm`` batch".to_owned());
    }
    if model.activation == Activation::Relu {
        remedies.push("``activation`` gelu".to_owned());
    }
    let message = format!(
        "{when} {} of the {} units of {} are dead{}: no example of {} brings them out of the flat part of {}, so no \
         gradient reaches their weights; try {}",
        worst.dead.unwrap_or(0),
        worst.units.unwrap_or(0),
        worst.layer,
        others(over.len(), "have dead units too"),
        of.rows,
        worst.op.to_lowercase(),
        remedies.join(" or ")
    );
    Some(Finding { kind: "dead", layers: names(&over), message })
}

/// Whether the values grow or shrink from hidden layer to hidden layer.
fn signal(of: &Snapshot, model: &MlpSettings) -> Option<Finding> {
    let hidden: Vec<&Record> = of.outputs().filter(|r| r.units.is_some()).collect();
    let [first, .., last] = hidden[..] else { return None };
    let change = last.std / first.std;
    // NaN: no output varies at all. Then `dead` reports it.
    if change.is_nan() || (1.0 / FADES..=FADES).contains(&change) {
        return None;
    }
    let (what, remedy) = if change > 1.0 { ("grows", "lower") } else { ("fades", "higher") };
    let norm = if model.norm == Norm::None { " or ``norm`` batch" } else { "" };
    let message = format!(
        "the signal {what} from layer to layer: the outputs' deviation is {:.3} in {} and {:.3} in {}; try a \
         {remedy} ``gain`` (now {:.2}){norm}",
        first.std,
        first.layer,
        last.std,
        last.layer,
        model.gain()
    );
    Some(Finding { kind: "signal", layers: names(&[first, last]), message })
}

/// Whether the gradient vanishes or explodes on its way back through the hidden layers.
fn gradient(of: &Snapshot) -> Option<Finding> {
    let hidden: Vec<&Record> =
        of.records.iter().filter(|r| r.kind == RecordKind::Gradient && r.op == "Linear").collect();
    let [first, .., last, _] = hidden[..] else { return None };
    let change = first.std / last.std;
    // A tenfold difference is common, a hundredfold one is not.
    if change.is_nan() || (0.01..=100.0).contains(&change) {
        return None;
    }
    let what = if change > 1.0 { "explodes" } else { "vanishes" };
    let message = format!(
        "the gradient {what} on its way back: its deviation is {:.1e} in {} and {:.1e} in {}; try ``norm`` batch or \
         fewer layers",
        last.std, last.layer, first.std, first.layer
    );
    Some(Finding { kind: "gradient", layers: names(&[first, last]), message })
}

/// Whether the median of the weights' update ratios is unusual, over the first half of the run, before the
/// learning rate is lowered.
fn updates(records: &[Record]) -> Option<Finding> {
    let last = records.iter().map(|r| r.step).max()?;
    let mut ratios: Vec<f64> =
        records.iter().filter(|r| r.step > 0 && r.step <= last / 2).filter_map(|r| r.update_ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let median = *ratios.get(ratios.len() / 2)?;
    let [low, high] = UPDATES;
    if (low..=high).contains(&median) {
        return None;
    }
    let (what, remedy) =
        if median > high { ("large", "a lower ``lr``") } else { ("small", "a higher ``lr``") };
    let message = format!(
        "the updates are {what}: a step changes the weights by 10^{median:.1} of themselves, where 10^-3 is usual; \
         try {remedy} (charloom lr-find suggests one)"
    );
    Some(Finding { kind: "updates", layers: Vec::new(), message })
}

fn names(records: &[&Record]) -> Vec<String> {
    records.iter().map(|r| r.layer.clone()).collect()
}

fn others(count: usize, what: &str) -> String {
    match count {
        0 | 1 => String::new(),
        2 => format!(" (1 other layer: {what})"),
        _ => format!(" ({} other layers: {what})", count - 1),
    }
}
