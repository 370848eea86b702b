//! The peers, and how each is started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::ours::{COMMAND, THREADS};

/// How a peer is started.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// This program, as a peer.
    Own(&'static str),
    /// A package of this workspace.
    Package(&'static str),
    /// A Python script and its arguments.
    Script(&'static str, &'static [&'static str]),
}

/// A column of the table.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its name, for `--peers`.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    kind: Kind,
}

const fn peer(name: &'static str, about: &'static str, kind: Kind) -> Peer {
    Peer { name, about, kind }
}

/// Every peer, charloom first.
pub const ALL: &[Peer] = &[
    peer("charloom", "the library, one thread", Kind::Own("library")),
    peer("charloom-2", "the library, two threads", Kind::Own("library")),
    peer("train", "`charloom train`, progress and metrics included, one thread", Kind::Own("train")),
    peer("train-2", "the same, two threads", Kind::Own("train")),
    peer("torch", "PyTorch eager, one thread", Kind::Script("torch_peer.py", &["eager", "1"])),
    peer("torch-2", "PyTorch eager, two threads", Kind::Script("torch_peer.py", &["eager", "2"])),
    peer("compiled", "PyTorch compiled, one thread", Kind::Script("torch_peer.py", &["compiled", "1"])),
    peer("compiled-2", "PyTorch compiled, two threads", Kind::Script("torch_peer.py", &["compiled", "2"])),
    peer("jax", "JAX, jit, one core", Kind::Script("jax_peer.py", &[])),
    peer("tinygrad", "tinygrad, jit, one core", Kind::Script("tinygrad_peer.py", &[])),
    peer("candle", "candle, AVX-512 in its GEMM, one thread", Kind::Package("peer-candle")),
    peer("burn", "burn (flex), AVX-512 in its GEMM, one thread", Kind::Package("peer-burn")),
];

impl Peer {
    /// The factor of the time that it is timed for. It is larger for the command, whose time is the
    /// difference of two runs that each take a quarter of a second to start and end.
    pub fn patience(&self) -> f64 {
        if matches!(self.kind, Kind::Own("train")) { 5.0 } else { 1.0 }
    }
}

/// Whether a column is charloom's own.
pub fn is_ours(name: &str) -> bool {
    ALL.iter().any(|peer| peer.name == name && matches!(peer.kind, Kind::Own(_)))
}

/// The programs that peers are started with.
pub struct Installed {
    folder: PathBuf,
    command: Result<PathBuf, String>,
    python: Result<PathBuf, String>,
}

impl Installed {
    /// Builds what the peers need, unless told not to.
    pub fn new(bench: &Path, peers: &[Peer], build: bool) -> Self {
        let folder = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
        for peer in peers {
            if let (Kind::Package(package), true) = (peer.kind, build) {
                // If the build fails, cargo prints why and the peer is absent.
                cargo(bench, &["build", "--release", "-p", package]);
            }
        }
        let root = bench.join("..");
        let built = !build || cargo(&root, &["build", "--profile", "dist", "-p", "charloom-cli"]);
        let command = if built { target(&root).map(|t| t.join("dist/charloom")) } else { None };
        let python = match env::var_os("CHARLOOM_PEERS_PYTHON") {
            Some(path) => PathBuf::from(path),
            None => bench.join("peers/.venv/bin/python"),
        };
        let what = "no such file; peers/setup.sh makes the environment, CHARLOOM_PEERS_PYTHON names another";
        Self {
            folder: folder.unwrap_or_default(),
            command: command
                .filter(|path| path.exists())
                .ok_or("the command `charloom` is not built".to_owned()),
            python: if python.exists() { Ok(python) } else { Err(format!("{}: {what}", python.display())) },
        }
    }

    /// The path of the command `charloom`.
    pub fn command(&self) -> Result<&Path, String> {
        self.command.as_deref().map_err(Clone::clone)
    }

    /// The command that starts a peer.
    ///
    /// # Errors
    /// Something that it needs is missing.
    pub fn start(&self, bench: &Path, peer: &Peer) -> Result<Command, String> {
        let mut command = match peer.kind {
            Kind::Own(what) => {
                let mut command = Command::new(env::current_exe().map_err(|e| e.to_string())?);
                command.args(["--serve", what]);
                if what == "train" {
                    command.env(COMMAND, self.command.as_ref().map_err(Clone::clone)?);
                }
                command
            }
            Kind::Package(package) => {
                let path = self.folder.join(package);
                fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                Command::new(path)
            }
            Kind::Script(script, arguments) => {
                let mut command = Command::new(self.python.as_ref().map_err(Clone::clone)?);
                command.arg(bench.join("peers").join(script)).args(arguments);
                command
            }
        };
        let threads = if peer.name.ends_with("-2") { "2" } else { "1" };
        for variable in [THREADS, "OMP_NUM_THREADS", "RAYON_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, threads);
        }
        Ok(command)
    }

    /// A peer's program, if it is one file of its own.
    pub fn program(&self, peer: &Peer) -> Option<PathBuf> {
        match peer.kind {
            Kind::Own("train") => self.command.clone().ok(),
            Kind::Package(package) => Some(self.folder.join(package)),
            _ => None,
        }
    }
}

/// Runs cargo in a folder; returns whether it succeeded.
fn cargo(folder: &Path, arguments: &[&str]) -> bool {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo).current_dir(folder).args(arguments).status().is_ok_and(|status| status.success())
}

/// The target directory of cargo in a folder.
fn target(folder: &Path) -> Option<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let output = Command::new(cargo).current_dir(folder).args(arguments).output().ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(PathBuf::from(metadata["target_directory"].as_str()?))
}
