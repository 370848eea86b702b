use std::io::{self, BufRead, Write};
use std::time::Instant;

use crate::{Case, Reply, Request, Task};

/// A peer written in Rust.
pub trait Peer: Sized {
    /// Opens a case, ready for its first step.
    ///
    /// # Errors
    /// The reason why the peer does not have it.
    fn open(case: &Case) -> Result<Self, String>;

    /// Runs a task `n` times.
    ///
    /// # Errors
    /// The reason why the peer does not have it.
    fn run(&mut self, task: Task, n: u64) -> Result<Outcome, String>;
}

/// The duration and the value of a task.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// How long all of it took.
    ///
    /// # Units
    /// Seconds.
    pub seconds: f64,
    /// The value of the [`Task`].
    pub value: f64,
}

impl Outcome {
    /// Runs `f` and measures its time.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn of<E>(f: impl FnOnce() -> Result<f64, E>) -> Result<Self, E> {
        let start = Instant::now();
        let value = f()?;
        Ok(Self { seconds: start.elapsed().as_secs_f64(), value })
    }
}

/// Answers requests until there are no more.
///
/// # Errors
/// A request that cannot be read, an answer that cannot be written.
pub fn serve<P: Peer>(version: &str) -> io::Result<()> {
    let mut peer: Option<P> = None;
    reply(&Reply::Hello { version: version.to_owned() })?;
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Request::Open { case } => {
                drop(peer.take());
                match P::open(&case) {
                    Ok(opened) => {
                        peer = Some(opened);
                        Reply::Open
                    }
                    Err(why) => Reply::Absent(why),
                }
            }
            Request::Run { task, n } => match &mut peer {
                None => Reply::Absent("no case is open".to_owned()),
                Some(peer) => match peer.run(task, n) {
                    Ok(Outcome { seconds, value }) => {
                        Reply::Done { seconds, value: value.is_finite().then_some(value) }
                    }
                    Err(why) => Reply::Absent(why),
                },
            },
        };
        reply(&answer)?;
    }
    Ok(())
}

fn reply(answer: &Reply) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    out.flush()
}
