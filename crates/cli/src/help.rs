//! The command for clap: which flags `-h` shows, and what stands at the end of `--help`.

use clap::{Command, CommandFactory};

use crate::Flags;
use crate::subcommands::Subcommand;

/// The most common flags: of those under the headings `GROUPS`, `-h` shows only these.
const FIRST: [&str; 6] = ["preset", "model", "context", "hidden", "steps", "out"];

/// The headings of the flags that only `--help` shows, but for those of `FIRST`.
const GROUPS: [&str; 6] = ["Data", "Model", "Transformer", "Training", "Optimizer", RUN];

/// The heading of the flags that only `train` has.
const RUN: &str = "The run";

const END: &str = "\
Exit code:
  0    done
  1    failed: a file that cannot be read or written or is there already, lines
       that were refused, a model that cannot be used, a loss that is no number,
       a gradient that is not confirmed, a download that does not come
  2    wrong use: an unknown flag, a value out of range, flags that do not fit,
       what this build was made without
  130  stopped by a second Ctrl-C, without saving; after the first, training
       saves and ends with 0

Environment:
  CHARLOOM_CACHE     the folder for downloaded data, not the user's cache
  CHARLOOM_DATA_URL  where data is downloaded from, as ADDRESS/NAME
  CHARLOOM_ISA       avx2 or portable: use no more of the processor; the
                     results are the same
  NO_COLOR           set to anything: no colours, as --color never";

/// The command with these subcommands.
pub fn command(subcommands: &[Subcommand]) -> Command {
    let of = |subcommand: &Subcommand| shortened((subcommand.flags)(Command::new(subcommand.name)));
    Flags::command()
        .after_help("Start with: charloom train")
        .after_long_help(END)
        .subcommands(subcommands.iter().map(of))
}

/// Shortens the `-h` of a command that has flags of `GROUPS`.
fn shortened(command: Command) -> Command {
    let in_group = |arg: &clap::Arg| arg.get_help_heading().is_some_and(|heading| GROUPS.contains(&heading));
    if !command.get_arguments().any(in_group) {
        return command;
    }
    let name = command.get_name().to_owned();
    command
        .mut_args(|arg| {
            let is_first = arg.is_positional() || FIRST.contains(&arg.get_id().as_str());
            let is_of_run = name == "train" && arg.get_help_heading().is_none() && !is_first;
            let arg = if is_of_run { arg.help_heading(RUN) } else { arg };
            let hidden = in_group(&arg) && !FIRST.contains(&arg.get_id().as_str());
            arg.hide_short_help(hidden)
        })
        .after_help(format!("All flags, in groups: charloom {name} --help"))
        .after_long_help("Exit codes and environment variables: charloom --help")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::subcommands;

    #[test]
    fn the_command_is_well_formed_and_knows_what_people_set_first() {
        let mut command = command(subcommands::ALL);
        command.build();
        command.clone().debug_assert();
        let train = command.find_subcommand("train").expect("it trains");
        for first in FIRST {
            assert!(train.get_arguments().any(|arg| arg.get_id() == first), "{first}");
        }
        let group = |arg: &clap::Arg| arg.get_help_heading().map(str::to_owned);
        let used: Vec<String> = train.get_arguments().filter_map(group).collect();
        assert!(GROUPS.iter().all(|group| used.iter().any(|heading| heading == group)), "{used:?}");
    }

    #[test]
    fn a_subcommand_alone_is_what_it_is_among_all() {
        let mut all = command(subcommands::ALL);
        all.build();
        for subcommand in subcommands::ALL {
            let arguments = ["charloom", subcommand.name].map(OsString::from);
            let mut alone = command(subcommands::meant(&arguments));
            alone.build();
            assert_eq!(alone.get_subcommands().count(), 2, "{} and help", subcommand.name);
            let help = |command: &mut Command| {
                let found = command.find_subcommand_mut(subcommand.name).expect(subcommand.name);
                (found.render_help().to_string(), found.render_long_help().to_string())
            };
            assert_eq!(help(&mut alone), help(&mut all));
        }
        for other in ["--help", "help", "trian"].map(OsString::from) {
            assert_eq!(subcommands::meant(&[OsString::new(), other]).len(), subcommands::ALL.len());
        }
    }
}
