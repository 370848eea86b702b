//! The layers of a model and the shapes of its tensors, before any is allocated, and what they decide: its size, the
//! feed, the steps of an epoch.

use charloom_nn::{Scope, TensorShapes};

use super::{Learning, Net, Stack, kind, mixture};
use crate::config::{self, Batch, Config};
use crate::data::{Data, Mode};
use crate::feed::Shape;
use crate::{Error, Result};

/// The most parameters.
const MAX_PARAMETERS: u64 = 1 << 28;
/// The most elements in the widest layer of a training step.
const MAX_ACTIVATIONS: u64 = 1 << 30;

/// The names and shapes of the tensors of a configuration's model with a vocabulary of `vocab`, and its
/// layers; None for a model that counts and for a mixture.
///
/// # Errors
/// There is no model of that kind.
pub(crate) fn shapes_and_net(config: &Config, vocab: usize) -> Result<Option<(TensorShapes, Net)>> {
    match kind(&config.model)?.learning() {
        Learning::ByGradients(kind) => {
            let mut shapes = TensorShapes::default();
            let net = kind.net(&config.model, vocab, config.train.seed, &mut Scope::shapes(&mut shapes))?;
            Ok(Some((shapes, net)))
        }
        Learning::ByCounting(_) | Learning::OfMembers => Ok(None),
    }
}

/// The number of trained parameters of a configuration's model with a vocabulary of `vocab`, or of a
/// mixture's members in all; None if only counts are learned.
///
/// # Errors
/// There is no model of that kind.
pub fn parameters(config: &Config, vocab: usize) -> Result<Option<u64>> {
    match shapes_and_net(config, vocab)? {
        Some((shapes, _)) => Ok(Some(shapes.parameters())),
        None => mixture::count_parameters(config, vocab),
    }
}

/// The training steps of an epoch, one pass over the training split; 1 for full batches and for a model that
/// counts.
///
/// # Errors
/// There is no model of that kind, or nothing to train on.
pub fn steps_per_epoch(config: &Config, data: &Data) -> Result<f64> {
    let Some((_, net)) = shapes_and_net(config, data.vocab.len())? else { return Ok(1.0) };
    let Batch::Size(batch) = config.train.batch else { return Ok(1.0) };
    let feed = net.feed(&data.splits.train, &config.train, true)?;
    let drawn = match feed.shape() {
        Shape::Streams { streams, length, .. } => streams * length,
        Shape::Blocks { sequences, length } => sequences * length,
        _ => batch,
    };
    Ok(feed.examples() as f64 / drawn as f64)
}

/// The multiplications of one example's forward pass: the sizes of all weight matrices but embeddings; 0 for
/// a model that counts.
///
/// # Errors
/// As [`parameters`].
pub fn multiplications(config: &Config, vocab: usize) -> Result<u64> {
    let Some((shapes, _)) = shapes_and_net(config, vocab)? else {
        let members = mixture::configurations(config)?;
        let mut of_members = members.iter().map(|member| multiplications(member, vocab));
        return of_members.try_fold(0, |sum: u64, own| Ok(sum.saturating_add(own?)));
    };
    // An embedding is a lookup, without multiplications.
    let is_table = |name: &str| ["embedding.", "wte.", "wpe."].iter().any(|table| name.starts_with(table));
    let is_weight = |name: &str, dims: &[usize]| dims.len() == 2 && !is_table(name);
    let weights = shapes.tensors().filter(|(name, dims)| is_weight(name, dims));
    Ok(weights.map(|(_, dims)| size(dims)).fold(0, u64::saturating_add))
}

/// Whether a configuration's model reads whole words of data of this mode, and has no use for a context.
///
/// # Errors
/// There is no model of that kind, or its settings are wrong.
pub fn reads_whole_words(config: &Config, mode: Mode) -> Result<bool> {
    let is_recurrent = matches!(shapes_and_net(config, 1)?, Some((_, Net::Recurrent(_))));
    Ok(is_recurrent && mode == Mode::Lines)
}

/// Whether a configuration's model has layers over a window of characters, which can be looked into.
///
/// # Errors
/// There is no model of that kind, or its settings are wrong.
pub fn has_window(config: &Config) -> Result<bool> {
    Ok(shapes_and_net(config, 1)?.is_some_and(|(_, net)| net.stack().is_some()))
}

/// Fills in the feed of a configuration's training on this data; a mixture is not trained and has none.
///
/// # Errors
/// A feed that it cannot have, or a context that its feed has no use for.
pub fn resolve_feed(config: &mut Config, data: &Data) -> Result<()> {
    let mode = data.mode();
    if matches!(kind(&config.model)?.learning(), Learning::OfMembers) {
        return Ok(());
    }
    let net = shapes_and_net(config, 1)?.map(|(_, net)| net);
    let feeds = net.as_ref().map_or(&[][..], |net| net.feeds(mode));
    if let Some(feed) = config.train.feed
        && !feeds.contains(&feed)
    {
        let (kind, words) = (&config.model.kind, feeds.iter().map(|feed| feed.as_str()).collect::<Vec<_>>());
        let choice = match words[..] {
            [] => "leave it out".to_owned(),
            _ => format!("choose {}", words.join(" or ")),
        };
        let what = format!("{feed}: a model of kind {kind:?} is not trained so on {mode}; {choice}");
        return Err(Error::setting("feed", what));
    }
    config.train.feed = config.train.feed.or(feeds.first().copied());
    if let Some(Net::Recurrent(net)) = net {
        match (config.train.feed, net.context) {
            (Some(config::Feed::Words), Some(context)) => {
                let what = format!("{context} has no effect: words are read whole; leave it out");
                return Err(Error::setting("context", what));
            }
            (Some(feed @ (config::Feed::Streams | config::Feed::Random)), None) => {
                let streams = match config.train.batch {
                    Batch::Size(size @ 1..) if feed == config::Feed::Streams => size,
                    _ => 1,
                };
                let most = data.splits.train.tokens().len().saturating_sub(1) / streams;
                config.model.set("context", super::recurrent::CONTEXT.min(most).max(1));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks the sizes of a configuration's model with a vocabulary of `vocab`, before anything is allocated.
///
/// # Errors
/// One line with the sizes and the limit.
pub fn check_sizes(config: &Config, vocab: usize) -> Result<()> {
    super::check(&config.model)?;
    let Some((shapes, net)) = shapes_and_net(config, vocab)? else {
        return mixture::check_size(config, vocab);
    };
    let parameters = shapes.parameters();
    if parameters > MAX_PARAMETERS {
        let count = if parameters == u64::MAX { "more than 2^64".to_owned() } else { parameters.to_string() };
        let largest = shapes
            .tensors()
            .max_by_key(|(_, dims)| size(dims))
            .map_or_else(String::new, |(name, dims)| format!(", of which {name} is {dims:?}"));
        let settings = kind(&config.model)?.settings();
        let is_one = |size: &&&str| settings.iter().any(|setting| setting.key == **size);
        let sizes = ["hidden", "embed", "layers", "context"].iter().filter(is_one).take(3);
        let sizes: Vec<String> = sizes.map(|size| format!("``{size}``")).collect();
        return Err(Error::usage(format!(
            "{vocab} characters make {count} parameters; the limit is {MAX_PARAMETERS}{largest}: choose smaller sizes, \
             such as {}",
            sizes.join(" or ")
        )));
    }
    if shapes.tensors().any(|(name, _)| name.starts_with("state.")) {
        return Err(Error::usage("a model's part cannot be called \"state\": a training's own tensors are"));
    }
    let has_batch_norm = |stack: &Stack| {
        stack.layers.layers.iter().any(|layer| matches!(layer, charloom_nn::Layer::BatchNorm1d(_)))
    };
    if config.train.batch == Batch::Size(1) && net.stack().is_some_and(has_batch_norm) {
        let limit = "at least 2 with batch norm: one example has no variance";
        return Err(Error::out_of_range("batch", 1, limit));
    }
    if let Batch::Size(batch) = config.train.batch {
        let widest = net.widest() as u64;
        if widest.saturating_mul(batch as u64) > MAX_ACTIVATIONS {
            let most = MAX_ACTIVATIONS / widest;
            let limit = format!("at most {most} with a layer of {widest}");
            return Err(Error::out_of_range("batch", batch, limit));
        }
    }
    Ok(())
}

/// The number of elements of a tensor of these dimensions, at most [`u64::MAX`].
fn size(dims: &[usize]) -> u64 {
    dims.iter().fold(1, |n, &dim| n.saturating_mul(dim as u64))
}
