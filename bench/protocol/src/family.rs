//! The protocol of family.py, which times a training step of each kind of model: the case is JSON on the
//! command line, then each line of standard input is a number of seconds to train for. Each answer is a line
//! of JSON.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Random;

/// A model, its training and its data.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// The model.
    pub model: Model,
    /// Its training.
    pub train: Train,
    /// Words, one a line, or a text.
    pub file: PathBuf,
    /// Whether it is a text.
    pub is_text: bool,
    /// The number of steps before any is timed; their losses are reported.
    pub check: usize,
}

/// A model's settings, as charloom has them; every one is given.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "they are charloom's")]
pub struct Model {
    pub kind: String,
    /// `None`: as many as the longest word needs.
    pub context: Option<usize>,
    pub embed: usize,
    pub hidden: Vec<usize>,
    pub layers: usize,
    pub heads: usize,
    pub norm: String,
    pub norm_weight: bool,
    pub embed_norm: bool,
    pub activation: String,
    pub bias: bool,
    pub tie: bool,
    pub init: String,
    pub init_std: f64,
}

impl Model {
    /// The deviation of a transformer's initial weights, and that of the last layer of a residual branch.
    pub fn deviations(&self) -> (f64, f64) {
        let scale = if self.init == "gpt" { (2.0 * self.layers as f64).sqrt() } else { 1.0 };
        (self.init_std, self.init_std / scale)
    }

    /// The widths before and after each layer, as pairs.
    pub fn widths(&self, first: usize, hidden: &[usize]) -> Vec<(usize, usize)> {
        let before = std::iter::once(first).chain(hidden.iter().copied());
        before.zip(hidden.iter().copied()).collect()
    }
}

/// A training's settings.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "they are charloom's")]
pub struct Train {
    pub optimizer: String,
    pub lr: f64,
    pub batch: usize,
}

/// The data of a step.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The number of sequences.
    pub rows: usize,
    /// Their length.
    pub columns: usize,
    /// Tokens, row by row.
    pub x: Vec<u32>,
    /// The targets at each position that has one; a window has one target, at its end.
    pub y: Vec<u32>,
    /// The positions that have a target, counted row by row; `None` if all have.
    pub judged: Option<Vec<u32>>,
    /// Whether the rows continue those of the step before.
    pub goes_on: bool,
}

enum Draw {
    /// Words padded to the longest, with each word's length.
    Words(Vec<u32>),
    /// Windows, with the token after each.
    Windows(Vec<u32>),
    /// Random pieces of a text.
    Pieces,
    /// Streams of a text, each read on from step to step; the position in each of them.
    Streams(usize),
}

struct Batches {
    draw: Draw,
    tokens: Vec<u32>,
    columns: usize,
    drawn: Vec<u32>,
    random: Random,
}

/// Numbers the characters in order, from `first` on; returns the mapping and the vocabulary's size.
fn numbered(text: &str, first: u32) -> (impl Fn(char) -> u32, usize) {
    let mut characters: Vec<char> = text.chars().filter(|&c| first == 0 || c != '\n').collect();
    characters.sort_unstable();
    characters.dedup();
    let vocab = characters.len() + first as usize;
    (move |c| first + characters.binary_search(&c).map_or(0, |i| i as u32), vocab)
}

impl Batches {
    /// The batches of a case, and the vocabulary's size.
    fn new(case: &Case) -> io::Result<(Self, usize)> {
        let text = std::fs::read_to_string(&case.file)?;
        let (number, vocab) = numbered(&text, u32::from(!case.is_text));
        let windows = ["mlp", "wavenet"].contains(&case.model.kind.as_str());
        let (mut tokens, mut columns) = (Vec::new(), case.model.context.unwrap_or_default());
        let draw = if case.is_text {
            tokens.extend(text.chars().map(number));
            tokens.truncate(tokens.len() * 9 / 10);
            if case.model.kind == "transformer" { Draw::Pieces } else { Draw::Streams(0) }
        } else if windows {
            let mut targets = Vec::new();
            for word in text.split_whitespace() {
                let mut window = vec![0; columns];
                for token in word.chars().map(&number).chain([0]) {
                    tokens.extend(&window);
                    targets.push(token);
                    window.rotate_left(1);
                    window[columns - 1] = token;
                }
            }
            Draw::Windows(targets)
        } else {
            let lengths: Vec<u32> = text.split_whitespace().map(|word| word.chars().count() as u32).collect();
            columns = lengths.iter().copied().max().unwrap_or_default() as usize + 1;
            for word in text.split_whitespace() {
                let end = tokens.len() + columns;
                tokens.push(0);
                tokens.extend(word.chars().map(&number));
                tokens.resize(end, 0);
            }
            Draw::Words(lengths)
        };
        let drawn = vec![0; case.train.batch];
        Ok((Self { draw, tokens, columns, drawn, random: Random::new() }, vocab))
    }

    fn next(&mut self) -> Batch {
        let (rows, columns) = (self.drawn.len(), self.columns);
        let mut batch = Batch { rows, columns, ..Batch::default() };
        match &mut self.draw {
            Draw::Words(lengths) => {
                self.random.fill(&mut self.drawn, lengths.len());
                let mut judged = Vec::new();
                for (row, &i) in self.drawn.iter().enumerate() {
                    let (word, length) =
                        (&self.tokens[i as usize * columns..][..columns], lengths[i as usize] as usize);
                    batch.x.extend(word);
                    batch.y.extend(&word[1..=length]);
                    batch.y.push(0);
                    judged.extend((0..=length).map(|i| (row * columns + i) as u32));
                }
                batch.judged = Some(judged);
            }
            Draw::Windows(targets) => {
                self.random.fill(&mut self.drawn, targets.len());
                for &i in &self.drawn {
                    batch.x.extend(&self.tokens[i as usize * columns..][..columns]);
                    batch.y.push(targets[i as usize]);
                }
            }
            Draw::Pieces => {
                self.random.fill(&mut self.drawn, self.tokens.len() - columns);
                for &at in &self.drawn {
                    batch.x.extend(&self.tokens[at as usize..][..columns]);
                    batch.y.extend(&self.tokens[at as usize + 1..][..columns]);
                }
            }
            Draw::Streams(at) => {
                let each = (self.tokens.len() - 1) / rows;
                if *at + columns > each {
                    *at = 0;
                }
                for row in 0..rows {
                    let from = row * each + *at;
                    batch.x.extend(&self.tokens[from..][..columns]);
                    batch.y.extend(&self.tokens[from + 1..][..columns]);
                }
                batch.goes_on = *at > 0;
                *at += columns;
            }
        }
        batch
    }
}

/// A model with its optimizer, in a framework's own modules.
pub trait Net: Sized {
    /// The model of a case, for `vocab` characters and `context` positions.
    ///
    /// # Errors
    /// The framework's.
    fn new(case: &Case, vocab: usize, context: usize) -> Result<Self, String>;

    /// The number of its trained parameters.
    fn parameters(&self) -> usize;

    /// Makes a step; returns the loss before its update.
    ///
    /// # Errors
    /// The framework's.
    fn step(&mut self, batch: Batch) -> Result<f32, String>;
}

#[derive(Serialize)]
struct Opened<'a> {
    version: &'a str,
    parameters: usize,
    /// The number of parameters that the framework's modules lack.
    left_out: usize,
    losses: Vec<f32>,
}

/// Opens the case on the command line and answers until there are no more requests.
///
/// # Errors
/// A case that cannot be read, an answer that cannot be written, the framework's.
pub fn serve<N: Net>(version: &str) -> io::Result<()> {
    let case: Case = serde_json::from_str(&std::env::args().nth(1).unwrap_or_default())?;
    let (mut batches, vocab) = Batches::new(&case)?;
    let mut net = N::new(&case, vocab, batches.columns).map_err(io::Error::other)?;
    let parameters = net.parameters();
    let mut step = || net.step(batches.next()).map_err(io::Error::other);
    let losses = (0..case.check).map(|_| step()).collect::<io::Result<_>>()?;
    reply(&Opened { version, parameters, left_out: 0, losses })?;
    for line in io::stdin().lock().lines() {
        let seconds: f64 = serde_json::from_str(&line?)?;
        step()?;
        step()?;
        let (mut steps, begun) = (0, Instant::now());
        while steps == 0 || begun.elapsed().as_secs_f64() < seconds {
            step()?;
            steps += 1;
        }
        reply(&(begun.elapsed().as_secs_f64() / f64::from(steps) * 1e6))?;
    }
    Ok(())
}

fn reply(answer: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    out.flush()
}
