//! A peer's process.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use protocol::{Case, Reply, Request, Task};

/// A peer that is running and waits for requests.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Its name and version, as it reports them.
    pub version: String,
}

/// A measurement by a peer.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Seconds, all repetitions together.
    pub seconds: f64,
    /// The value of the task.
    pub value: f64,
}

impl Process {
    /// Starts a peer; its standard error is ours.
    ///
    /// # Errors
    /// The reason why it does not run here.
    pub fn start(mut command: Command) -> Result<Self, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| format!("{program}: {e}"))?;
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut process = Self { input: child.stdin.take(), child, output, version: String::new() };
        match process.receive()? {
            Reply::Hello { version } => process.version = version,
            other => return Err(format!("{program} began with {other:?} instead of its version")),
        }
        Ok(process)
    }

    /// Begins a case.
    ///
    /// # Errors
    /// The reason why the peer does not have it.
    pub fn open(&mut self, case: &Case) -> Result<(), String> {
        match self.ask(&Request::Open { case: Box::new(case.clone()) })? {
            Reply::Open => Ok(()),
            Reply::Absent(why) => Err(why),
            other => Err(format!("the peer answered {other:?}")),
        }
    }

    /// Runs a task `n` times.
    ///
    /// # Errors
    /// The reason why the peer does not have it; a value that is not a number.
    pub fn run(&mut self, task: Task, n: u64) -> Result<Measured, String> {
        match self.ask(&Request::Run { task, n })? {
            Reply::Done { seconds, value: Some(value) } => Ok(Measured { seconds, value }),
            Reply::Done { value: None, .. } => Err("what came out is not a number".to_owned()),
            Reply::Absent(why) => Err(why),
            other => Err(format!("the peer answered {other:?}")),
        }
    }

    /// Its peak memory so far, in bytes, if the system reports it.
    pub fn peak_memory(&self) -> Option<u64> {
        peak_memory(self.child.id())
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, String> {
        let line = serde_json::to_string(request).map_err(|e| e.to_string())?;
        let input = self.input.as_mut().ok_or("the peer has ended")?;
        writeln!(input, "{line}")
            .and_then(|()| input.flush())
            .map_err(|e| format!("the peer has ended: {e}"))?;
        self.receive()
    }

    fn receive(&mut self) -> Result<Reply, String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).and_then(|n| match n {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        });
        read.map_err(|e| format!("the peer has ended: {e}"))?;
        serde_json::from_str(&line).map_err(|e| format!("the peer said {line:?}: {e}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without input a peer ends by itself; after a second it is killed.
        drop(self.input.take());
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The peak memory of a process, in bytes.
pub fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}
