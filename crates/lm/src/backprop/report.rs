use charloom_tensor::Element;
use serde::Serialize;

use super::train::Batches;
use super::{
    Matrix, Net, Parameters, Row, Sizes, Terms, Tolerance, Training, by_hand, compare, shortcuts, train,
};
use crate::choices::nearest;
use crate::config::Config;
use crate::data::Data;
use crate::models;
use crate::{Error, Result};

/// The names of the shortcuts.
const SHORTCUTS: [&str; 2] = ["cross_entropy", "batch_norm"];

/// What a report does besides comparing.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A gradient to falsify by adding 0.01 to every element, by the name of its term or shortcut: it shows
    /// that the comparison finds errors.
    pub wrong: Option<String>,
    /// Whether to omit the gradient that reaches `logits` through `logit_maxes`, as notebook 004 does.
    pub unfinished: bool,
    /// Whether to train too, for the configuration's steps.
    pub train: bool,
}

/// The hand-written backward beside the tape's, on one minibatch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// `f32` or `f64`.
    pub precision: &'static str,
    /// The number of parameters.
    pub parameters: usize,
    /// B, the examples of the minibatch.
    pub batch: usize,
    /// The loss of the minibatch.
    ///
    /// # Units
    /// nats
    pub loss: f64,
    /// What counts as approximately equal.
    pub tolerance: Tolerance,
    /// A row for each term, in the order of the backward pass.
    pub rows: Vec<Row>,
    /// `cross_entropy`: the gradient of the logits in one step; `batch_norm`: that of h_preact.
    pub shortcuts: Vec<Row>,
    /// Where a training ends, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// Whether everything is approximately equal.
    pub equal: bool,
}

/// Draws the net of a configuration and a minibatch of the training split, and compares.
///
/// # Errors
/// A net that the lesson is not about, an unknown name in the options, or a training split without examples.
///
/// ```
/// use charloom::backprop::{Options, report};
/// use charloom::{Config, load_data, presets};
///
/// let mut config = Config::layered(Some(presets::get("manual-backprop")?.toml), None)?;
/// let data = load_data(&mut config)?;
/// let mut options = Options::default();
/// assert!(report::<f64>(&config, &data, &options)?.equal);
/// options.wrong = Some("h_preact".to_owned());
/// assert!(!report::<f64>(&config, &data, &options)?.equal);
/// # Ok::<(), charloom::Error>(())
/// ```
pub fn report<E: Element>(config: &Config, data: &Data, options: &Options) -> Result<Report> {
    let sizes = Sizes::of(config, data.vocab.len())?;
    if let Some(name) = &options.wrong {
        known(name)?;
    }
    let wrong = |name: &str| options.wrong.as_deref() == Some(name);
    let examples = data.splits.train.examples(sizes.context)?;
    if examples.is_empty() {
        return Err(Error::Failed(format!(
            "the training split has no examples at context {}; give more data",
            sizes.context
        )));
    }
    let mut generator = models::generator(config, data);
    let model: crate::models::MlpSettings = config.model.read()?;
    let parameters = Parameters::draw(&sizes, model.gain(), model.output_scale, &mut generator);
    let mut batches = Batches::new(&examples, &sizes, generator.clone());
    let (contexts, targets) = batches.next();
    let mut net = Net::<E>::new(&sizes, &parameters, contexts, targets);

    let tolerance = Tolerance::of::<E>();
    let (values, shapes, tape) = (net.values(), net.shapes(), net.tape_gradients());
    let mut hand = by_hand(&values, contexts, targets);
    if options.unfinished {
        hand.logits = hand.norm_logits.clone();
    }
    spoil(&mut hand, options);
    let rows: Vec<Row> = hand
        .named()
        .into_iter()
        .zip(tape.named())
        .zip(shapes.named())
        .map(|(((name, hand), (_, tape)), (_, shape))| compare(name, shape, hand, tape, tolerance))
        .collect();

    let mut logits = shortcuts::cross_entropy(&values.logits, targets);
    let mut h_preact =
        shortcuts::batch_norm(&tape.h_preact_norm, &values.bn_raw, &values.bn_gain, &values.bn_var_inv);
    for (name, d) in SHORTCUTS.iter().zip([&mut logits, &mut h_preact]) {
        if wrong(name) {
            *d = &*d + 0.01;
        }
    }
    let shortcuts = vec![
        compare(SHORTCUTS[0], &shapes.logits, &logits, &tape.logits, tolerance),
        compare(SHORTCUTS[1], &shapes.h_preact, &h_preact, &tape.h_preact, tolerance),
    ];
    let training = options
        .train
        .then(|| train::<E>(&sizes, &parameters, &examples, &generator, &config.train, |d| spoil(d, options)))
        .transpose()?;
    let equal = rows.iter().chain(&shortcuts).all(|row| row.approximate)
        && training.is_none_or(|training| training.approximate);
    Ok(Report {
        precision: E::NAME,
        parameters: net.parameters().len(),
        batch: sizes.batch,
        loss: net.loss().f64(),
        tolerance,
        rows,
        shortcuts,
        training,
        equal,
    })
}

fn spoil<E: Element>(gradients: &mut Terms<Matrix<E>>, options: &Options) {
    if let Some(d) = options.wrong.as_ref().and_then(|name| gradients.get_mut(name)) {
        *d = &*d + 0.01;
    }
}

fn known(name: &str) -> Result<()> {
    let names = [Terms::NAMES, &SHORTCUTS].concat();
    if names.contains(&name) {
        return Ok(());
    }
    let hint = match nearest(name, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("it is one of {}", names.join(", ")),
    };
    Err(Error::setting("break", format!("{name:?} is no gradient of the lesson; {hint}")))
}
