//! `charloom completions`.

use charloom::config::{
    Activation, DecayOn, Feed, Generator, Init, Norm, Optimizer, Positions, RandomStream, Schedule, Smoothing,
};
use charloom::data::{Dataset, Mode, Normalize, Shuffle};
use charloom::evaluation::Unknown;
use charloom::models::{self, AdaptRule, OpinionPool};
use charloom::size::Size;
use charloom::{Result, presets};
use charloom_sweep::{Pruning, Sampler};
use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;
use serde_json::json;

use crate::output::Out;
use crate::{help, subcommands};

/// Print a script that lets a shell complete commands and flags
///
/// bash: charloom completions bash > ~/.local/share/bash-completion/completions/charloom
///
/// zsh: charloom completions zsh > a folder of $fpath/_charloom
///
/// fish: charloom completions fish > ~/.config/fish/completions/charloom.fish
#[derive(clap::Args)]
pub struct Args {
    /// Which shell
    shell: Shell,
}

pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let script = script(args.shell);
    if out.json { out.object(&json!({"script": script})) } else { out.text(script) }
}

/// The completion script for a shell.
fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut command = with_choices(help::command(subcommands::ALL));
    clap_complete::generate(shell, &mut command, "charloom", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The command with the possible values of its arguments. For completion only: the parsers of the arguments
/// give better errors than clap's check of possible values.
fn with_choices(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let command = command.mut_args(|arg| match choices_of(&name, arg.get_id().as_str()) {
        Some(words) => arg.value_parser(PossibleValuesParser::new(words)),
        None => arg,
    });
    command.mut_subcommands(with_choices)
}

/// The possible values of a command's argument, if there is a list of them.
fn choices_of(command: &str, argument: &str) -> Option<Vec<&'static str>> {
    let words = match (command, argument) {
        ("get" | "path", "name") => return Some(Dataset::all().iter().map(|set| set.name).collect()),
        ("show", "name") | (_, "preset") => {
            return Some(presets::all().iter().map(|preset| preset.name).collect());
        }
        (_, "model") => return Some(models::all().map(|kind| kind.name()).chain(["bigram"]).collect()),
        (_, "activation") => Activation::CHOICES,
        (_, "norm") => Norm::CHOICES,
        (_, "init") => Init::CHOICES,
        (_, "positions") => Positions::CHOICES,
        (_, "smoothing") => Smoothing::CHOICES,
        (_, "feed") => Feed::CHOICES,
        (_, "optimizer") => Optimizer::CHOICES,
        (_, "decay_on") => DecayOn::CHOICES,
        (_, "schedule") => Schedule::CHOICES,
        (_, "generator") => Generator::CHOICES,
        (_, "stream") => RandomStream::CHOICES,
        (_, "size") => Size::CHOICES,
        (_, "pool") => OpinionPool::CHOICES,
        (_, "adapt_rule") => AdaptRule::CHOICES,
        (_, "mode") => Mode::CHOICES,
        (_, "shuffle") => Shuffle::CHOICES,
        (_, "normalize") => Normalize::CHOICES,
        (_, "unknown") => Unknown::CHOICES,
        (_, "sampler") => Sampler::CHOICES,
        (_, "prune") => Pruning::CHOICES,
        _ => return None,
    };
    Some(words.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_learn_the_words_that_arguments_may_be() {
        let script = script(Shell::Zsh);
        for words in
            ["transformer", "names-best", "squared-relu", "muon", "tinyshakespeare", "small", "cosine"]
        {
            assert!(script.contains(words), "{words}");
        }
    }
}
