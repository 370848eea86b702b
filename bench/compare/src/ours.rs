//! charloom itself as a peer: the library in this process, and the command in one of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use charloom::config::Config;
use charloom::data::Data;
use charloom::evaluation::{evaluate, score};
use charloom::sample::{SampleOptions, Sampler};
use charloom::threads::Pool;
use charloom::train::{Threads, Trainer};
use protocol::{Case, Outcome, Peer, Task};

/// The environment variable with the path of the command.
pub const COMMAND: &str = "CHARLOOM_COMMAND";

/// The environment variable with the number of threads of charloom's own columns.
pub const THREADS: &str = "CHARLOOM_THREADS";

fn threads() -> usize {
    env::var(THREADS).ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// The library: its own trainer, evaluation, sampling, scoring.
pub struct Library {
    trainer: Trainer,
    /// The threads for evaluating, sampling and scoring; the trainer has its own.
    pool: Pool,
    data: Data,
    names: Vec<String>,
}

impl Peer for Library {
    fn open(case: &Case) -> Result<Self, String> {
        let config = Config::from_toml(&case.config, case.name.as_ref()).map_err(|e| e.to_string())?;
        let data = Data::load(&config.data, None).map_err(|e| e.to_string())?;
        let trainer = Trainer::new(&config, &data).map_err(|e| e.to_string())?;
        let trainer = trainer.with_threads(Threads::Pool(Pool::new(threads())));
        let names = data.splits.train.words().map(|word| data.vocab.decode(word)).collect();
        Ok(Self { trainer, pool: Pool::new(threads()), data, names })
    }

    fn run(&mut self, task: Task, n: u64) -> Result<Outcome, String> {
        Outcome::of(|| self.value(task, n)).map_err(|e| e.to_string())
    }
}

impl Library {
    fn value(&mut self, task: Task, n: u64) -> charloom::Result<f64> {
        let mut value = f64::NAN;
        for _ in 0..n {
            value = match task {
                Task::Check | Task::Step => f64::from(self.trainer.step()?),
                _ => self.judge(task)?,
            };
        }
        Ok(value)
    }

    /// Evaluates, samples or scores once.
    fn judge(&mut self, task: Task) -> charloom::Result<f64> {
        let (model, Data { vocab, splits, .. }) = (self.trainer.model(), &self.data);
        self.pool.enter(false, || match task {
            Task::Evaluate => Ok(evaluate(model, &splits.train)?.map_or(f64::NAN, |train| train.loss)),
            Task::Score => {
                let scores = score(model, vocab, &self.names);
                let total: f64 = scores.iter().flatten().map(|score| score.log_prob).sum();
                Ok(total / self.names.len() as f64)
            }
            _ => {
                let options = SampleOptions { n: 10_000, ..SampleOptions::default() };
                let mut characters = 0;
                for sample in Sampler::new(model, vocab, options, None)? {
                    characters += sample?.tokens.len();
                }
                Ok(characters as f64 / 10_000.0)
            }
        })
    }
}

/// The command: `charloom train` in a process of its own.
pub struct Train {
    command: PathBuf,
    config: PathBuf,
    out: PathBuf,
}

impl Peer for Train {
    fn open(case: &Case) -> Result<Self, String> {
        let command = env::var_os(COMMAND).ok_or(format!("{COMMAND} does not say where the command is"))?;
        let config = case.weights.with_extension("toml");
        fs::write(&config, &case.config).map_err(|e| e.to_string())?;
        Ok(Self { command: command.into(), out: case.weights.with_extension("run"), config })
    }

    /// Steps are timed as the difference of a run of 2n steps and one of n, which excludes start and end: the
    /// cost of n more steps in a long run, with progress and metrics (every 200 steps, as in a run of
    /// 200,000).
    fn run(&mut self, task: Task, n: u64) -> Result<Outcome, String> {
        match task {
            Task::Check => {
                let (seconds, value) = self.train(n, 1)?;
                Ok(Outcome { seconds, value })
            }
            Task::Step => {
                let (short, _) = self.train(n, 200)?;
                let (long, value) = self.train(2 * n, 200)?;
                Ok(Outcome { seconds: (long - short).max(0.0), value })
            }
            _ => Err("only steps are timed through the command".to_owned()),
        }
    }
}

impl Train {
    /// Trains for `steps`; returns the seconds that it took and the last loss in the metrics.
    fn train(&self, steps: u64, log_every: u64) -> Result<(f64, f64), String> {
        let start = Instant::now();
        let steps = steps.to_string();
        let output = Command::new(&self.command)
            .args(["train", "--force", "--steps", &steps, "--eval-every", &steps])
            // A fixed size, since by default the longer run would evaluate more.
            .args(["--eval-size", "10000"])
            .args(["--log-every", &log_every.to_string(), "--threads", &threads().to_string()])
            .arg("--config")
            .arg(&self.config)
            .arg("--out")
            .arg(&self.out)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|e| format!("{}: {e}", self.command.display()))?;
        let seconds = start.elapsed().as_secs_f64();
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            return Err(message.lines().last().unwrap_or("the command failed").to_owned());
        }
        let metrics = fs::read_to_string(self.out.join("metrics.jsonl")).map_err(|e| e.to_string())?;
        let mut losses = metrics.lines().filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["split"] == "batch").then(|| line["loss"].as_f64())?
        });
        Ok((seconds, losses.next_back().unwrap_or(f64::NAN)))
    }
}
