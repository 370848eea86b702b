//! The list of subcommands. Each is a module: its flags are `Args`, what it does is `run`.

use std::ffi::{OsStr, OsString};
use std::slice;

use charloom::{Error, Result};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::output::Out;
use crate::wrong_use;

/// A subcommand of charloom.
pub struct Subcommand {
    pub name: &'static str,
    /// Gives a command its flags.
    pub flags: fn(Command) -> Command,
    run: fn(&ArgMatches, &mut Out) -> Result<()>,
}

macro_rules! subcommands {
    ($($name:literal: $module:ident,)*) => {
        /// All subcommands, in the order of `--help`.
        pub const ALL: &[Subcommand] = &[$(Subcommand {
            name: $name,
            flags: crate::$module::Args::augment_args,
            run: |matches, out| {
                let args = crate::$module::Args::from_arg_matches(matches);
                crate::$module::run(&args.map_err(|error| Error::usage(wrong_use(&error)))?, out)
            },
        },)*];
    };
}

subcommands! {
    "train": train,
    "eval": eval,
    "sample": sample,
    "score": score,
    "mix": mix,
    "inspect": inspect,
    "lr-find": lr_find,
    "info": info,
    "data": data,
    "presets": presets,
    "examples": examples,
    "show": show,
    "next": next,
    "bench": bench,
    "plot": plot,
    "compare": compare,
    "report": report,
    "graph": graph,
    "backprop": backprop,
    "gradcheck": gradcheck,
    "explain": explain,
    "sweep": sweep,
    "completions": completions,
    "man": man,
}

/// The subcommands that the arguments can mean: the one they begin with, if they do, else all. Only these are
/// built, since building the flags of all takes a millisecond.
pub fn meant(arguments: &[OsString]) -> &'static [Subcommand] {
    arguments.get(1).and_then(|first| named(first)).map_or(ALL, slice::from_ref)
}

/// Runs the subcommand that was parsed.
pub fn run(matches: &ArgMatches, out: &mut Out) -> Result<()> {
    let found = matches.subcommand().and_then(|(name, matches)| Some((named(name)?, matches)));
    let (subcommand, matches) = found.ok_or_else(|| Error::usage("a subcommand is missing"))?;
    (subcommand.run)(matches, out)
}

/// The subcommand with this name.
fn named(name: impl AsRef<OsStr>) -> Option<&'static Subcommand> {
    ALL.iter().find(|subcommand| name.as_ref() == subcommand.name)
}
