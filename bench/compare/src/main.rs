//! charloom beside its peers, in one run: `cargo run --release -p compare`.
//!
//! Each peer is a process that first shows that it computes the same: from equal parameters and the same ten
//! batches its loss has to agree with the others'. Then every peer is timed in turn, round by round, so that
//! other work of the machine disturbs all of them alike. The table shows medians over the rounds.
#![forbid(unsafe_code)]

mod cases;
mod footprint;
mod machine;
mod measure;
mod ours;
mod peers;
mod prepare;
mod process;
mod report;
mod roofline;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use cases::Definition;
use peers::{Installed, Peer};
use process::Process;
use report::Report;

type Failure = Box<dyn std::error::Error>;

/// Compares charloom with its peers
#[derive(Parser)]
struct Arguments {
    /// Only cases whose names begin with one of these; sweeps are left out unless named or --sweeps
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these columns
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// How often each peer is timed
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds that a peer works in a round
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Also how cost grows with hidden, context, batch and vocabulary
    #[arg(long)]
    sweeps: bool,
    /// Also start-up time, peak memory, size of the programs
    #[arg(long)]
    footprint: bool,
    /// Also how long a clean build of the command takes
    #[arg(long)]
    build_time: bool,
    /// Where the table goes as Markdown
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Where everything measured goes as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the roofline picture goes (SVG)
    #[arg(long)]
    roofline: Option<PathBuf>,
    /// The folder of names.txt and tinyshakespeare.txt
    #[arg(long)]
    data: Option<PathBuf>,
    /// Do not build the peers and the command first
    #[arg(long)]
    no_build: bool,
    /// List the cases and the columns
    #[arg(long)]
    list: bool,
    /// Be a peer
    #[arg(long, hide = true)]
    serve: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.serve.as_deref() {
        Some("library") => serve::<ours::Library>(),
        Some(_) => serve::<ours::Train>(),
        None if arguments.list => {
            list();
            Ok(true)
        }
        None => compare(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("compare: {e}");
            ExitCode::FAILURE
        }
    }
}

fn serve<P: protocol::Peer>() -> Result<bool, Failure> {
    protocol::serve::<P>(charloom::VERSION)?;
    Ok(true)
}

fn list() {
    println!("cases:");
    for case in cases::all() {
        println!("  {:16} {}", case.name, case.about);
    }
    println!("columns:");
    for peer in peers::ALL {
        println!("  {:16} {}", peer.name, peer.about);
    }
}

/// Runs the comparison; returns whether all peers that ran computed the same.
fn compare(arguments: &Arguments) -> Result<bool, Failure> {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let chosen = choose_peers(&arguments.peers)?;
    let definitions = choose_cases(&arguments.only, arguments.sweeps)?;
    let data = arguments.data.clone().unwrap_or_else(|| bench.join("../../shared/data"));
    let installed = Installed::new(&bench, &chosen, !arguments.no_build);
    let folder = tempfile::tempdir()?;
    let machine = machine::Machine::measure();
    let mut report = Report::new(&machine, &chosen, arguments.rounds);

    if !definitions.is_empty() {
        let mut running: Vec<Result<Process, String>> = Vec::new();
        for peer in &chosen {
            let process = installed.start(&bench, peer).and_then(Process::start);
            match &process {
                Ok(process) => report.version(peer.name, &process.version),
                Err(why) => report.absent(peer.name, why),
            }
            running.push(process);
        }
        for definition in &definitions {
            let case = prepare::prepare(definition, &data, folder.path())?;
            let plan = measure::Plan { rounds: arguments.rounds, seconds: arguments.seconds };
            let cells = measure::case(definition, &case, &chosen, &mut running, &plan);
            report.case(definition, &case, cells);
        }
    }
    if arguments.footprint {
        let model = cases::all().into_iter().find(|case| case.name == "mlp-32").ok_or("no such case")?;
        let case = prepare::prepare(&model, &data, folder.path())?;
        for peer in &chosen {
            report.footprint(footprint::of(&bench, &installed, peer, &case, arguments.rounds));
        }
    }
    if arguments.build_time {
        report.build_seconds = Some(footprint::clean_build(&bench.join(".."))?);
    }

    print!("{}", report.text());
    if let Some(path) = &arguments.markdown {
        fs::write(path, report.markdown())?;
    }
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(path) = &arguments.roofline {
        roofline::draw(path, &machine, &report)?;
    }
    Ok(report.everyone_agrees())
}

fn choose_peers(names: &[String]) -> Result<Vec<Peer>, Failure> {
    if names.is_empty() {
        return Ok(peers::ALL.to_vec());
    }
    let find = |name: &String| {
        let known = peers::ALL.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
        let peer = peers::ALL.iter().find(|peer| peer.name == name).copied();
        peer.ok_or_else(|| format!("--peers {name}: not one of {known}").into())
    };
    names.iter().map(find).collect()
}

fn choose_cases(only: &[String], sweeps: bool) -> Result<Vec<Definition>, Failure> {
    let all = cases::all();
    for name in only {
        if name != "none" && !all.iter().any(|case| case.name.starts_with(name.as_str())) {
            return Err(
                format!("--only {name}: no case begins so; --list shows them, and none is none").into()
            );
        }
    }
    let wanted = |case: &Definition| {
        let named = only.iter().any(|name| case.name.starts_with(name.as_str()));
        if only.is_empty() { sweeps || case.sweep.is_none() } else { named }
    };
    Ok(all.into_iter().filter(wanted).collect())
}
