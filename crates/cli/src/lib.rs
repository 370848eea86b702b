//! The `charloom` command: parses arguments and prints results; the library does the work.
#![forbid(unsafe_code)]

mod args;
mod backprop;
mod bench;
mod compare;
mod completions;
#[cfg(feature = "dashboard")]
mod dashboard;
#[cfg(not(feature = "dashboard"))]
#[path = "no_dashboard.rs"]
mod dashboard;
mod data;
mod download;
mod ensemble;
mod eval;
mod examples;
mod explain;
mod gradcheck;
mod graph;
mod help;
mod info;
mod inspect;
mod lr_find;
mod man;
mod mix;
mod next;
mod output;
mod plot;
mod presets;
mod report;
mod sample;
mod score;
mod setup;
mod show;
mod subcommands;
mod sweep;
mod train;
mod watch;

use std::ffi::OsString;

use charloom::Error;
use charloom::data::Mode;
use charloom::speed::Isa;
use charloom::threads::{self, Pool};
use clap::error::ErrorKind;
use clap::{ColorChoice, FromArgMatches, Parser, ValueEnum};

use output::Out;

/// Trains, explains and ships character-level neural language models
#[derive(Parser)]
#[command(name = "charloom", version, subcommand_required = true, arg_required_else_help = true)]
// In a subcommand's help these global flags come after its own.
#[command(next_display_order = 900)]
struct Flags {
    /// Print results as one JSON object
    #[arg(long, global = true)]
    json: bool,
    /// Say on standard error what is done, and when
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Colours: auto, always, never; auto has them on a terminal
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    color: ColorChoice,
}

/// Runs the command with these arguments, the first of which is its name; returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // The pool of evaluations, samples and the like has all cores; a training measures how many threads it
    // needs.
    run_on(&Pool::new(threads::available()), arguments)
}

/// As [`run`], on the threads of `pool`.
fn run_on(pool: &Pool, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Err(error) = Isa::check_asked() {
        output::note(format_args!("error: {error}"));
        return 2;
    }
    let command = help::command(subcommands::meant(&arguments)).color(color(&arguments));
    let parsed = command.try_get_matches_from(arguments);
    let parsed = parsed.and_then(|matches| Ok((Flags::from_arg_matches(&matches)?, matches)));
    let (flags, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return refused(&error),
    };
    output::set_verbose(flags.verbose);
    let mut out = Out::new(flags.json, flags.color);
    let done = pool.enter(false, || subcommands::run(&matches, &mut out));
    match done.and_then(|()| out.flush()) {
        Ok(()) => {
            output::detail("done");
            0
        }
        // The reader of our output, such as `head`, closed it: that is no error.
        Err(error) if output::is_closed(&error) => 0,
        Err(error) => {
            let way = || "make room there, or name another place, and give the command again".to_owned();
            let error = output::explain_full_disk(error, way);
            // The message may quote a file, so control characters are escaped; a formula's error has two
            // lines.
            output::note(format_args!(
                "error: {}",
                output::shown(&output::flags(&error.to_string()), Mode::Text)
            ));
            exit_code(&error)
        }
    }
}

/// The value of `--color`, read before the arguments are parsed: help and parse errors have colours too.
fn color(arguments: &[OsString]) -> ColorChoice {
    let mut words = arguments.iter().filter_map(|argument| argument.to_str());
    let asked = words.find_map(|word| word.strip_prefix("--color").map(|rest| rest.strip_prefix('=')));
    let when = asked.and_then(|after| after.or_else(|| words.next()));
    when.and_then(|when| ColorChoice::from_str(when, true).ok()).unwrap_or_default()
}

/// The exit code: 2 for wrong use, 1 for any other error.
fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Setting { .. } | Error::Usage { .. } => 2,
        _ => 1,
    }
}

/// Prints the requested help, or the error in one line; returns the exit code.
fn refused(error: &clap::Error) -> u8 {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        // An error is ignored: the output is closed.
        let _ = error.print();
        return u8::try_from(error.exit_code()).unwrap_or(2);
    }
    output::note(format_args!("error: {}; see --help", wrong_use(error)));
    2
}

/// What is wrong with the arguments, in one line.
fn wrong_use(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.trim_start_matches("error: ").lines().map(str::trim).filter(|line| !line.is_empty());
    let said: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .collect();
    let said = said.join("; ").replace(":; ", ": ");
    // clap quotes the wrong argument, which may be a database's URL with a password.
    let said: Vec<String> = said.split('\'').map(charloom_sweep::without_password).collect();
    said.join("'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_computes_shares_its_work_among_the_threads() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let words = "emma\nolivia\nava\nisabella\nsophia\nmia\ncharlotte\namelia\nharper\nevelyn\n";
        std::fs::write(path("words"), words.repeat(4)).unwrap();
        // Kernels of any size are split among the threads.
        let jobs = |arguments: &str| {
            let pool = Pool::with_least_work(2, 1);
            let mut all = vec!["charloom".to_owned()];
            all.extend(arguments.split(' ').map(|word| word.strip_prefix('@').map_or(word.to_owned(), path)));
            assert_eq!(run_on(&pool, all.into_iter().map(OsString::from)), 0, "{arguments}");
            pool.jobs()
        };
        // No recurrent net: at these sizes it runs on one thread.
        for kind in ["mlp --context 3", "transformer --layers 1 --embed 8"] {
            let name = kind.split(' ').next().unwrap_or(kind);
            let run = format!("@{name}");
            jobs(&format!("train @words --model {kind} --steps 2 --out {run} --threads 1 --json"));
            let mix = format!("mix {run} {run} --out {run}-mix --json");
            for command in
                ["eval @ --json", "score @ @words --json", "sample @ --json", "compare @ @ --json", &mix]
            {
                let command = command.replace("@ ", &format!("{run} "));
                assert!(jobs(&command) > 0, "{command}");
            }
        }
        assert!(jobs("inspect @mlp --json") > 0);
        assert_eq!(jobs("presets --json"), 0);
    }
}
