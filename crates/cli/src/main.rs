//! The `charloom` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(charloom_cli::run(std::env::args_os()))
}
