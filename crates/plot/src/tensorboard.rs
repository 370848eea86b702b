//! Writes a training for TensorBoard: curves, histograms of the layers, and the embedding for its projector.
//!
//! An event file is a sequence of records, each a protobuf message with its length and checksums. The
//! messages have the few fields of TensorFlow's `event.proto` and `summary.proto` that are needed here.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use charloom::disk::replace_file;
use charloom::inspect::{Record, RecordKind};
use charloom::train::{Event, Trainer};
use charloom::{Error, Result};

use super::embedding::EMBEDDINGS;
use super::protobuf::Message;

/// Writes event files into a folder that `tensorboard --logdir` is given.
///
/// Unlike a run folder, an event file has the time of each event in it.
///
/// ```
/// use charloom_plot::tensorboard::TensorBoard;
///
/// # let home = tempfile::tempdir().unwrap();
/// let mut board = TensorBoard::create(home.path(), 0)?;
/// board.scalars(100, &[("loss/val", 2.4), ("lr", 0.1)])?;
/// assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
/// # Ok::<(), charloom::Error>(())
/// ```
pub struct TensorBoard {
    folder: PathBuf,
    path: PathBuf,
    file: BufWriter<File>,
}

impl TensorBoard {
    /// Creates an event file in this folder, beside others, for a training that has made `steps` updates.
    /// Later steps in other files become void, since a run that was killed goes on from its last checkpoint.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(folder: &Path, steps: u64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let (seconds, process) = (now().as_secs(), std::process::id());
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.charloom.{process}"));
        let file = File::create(&path).map_err(|error| Error::io(&path, error))?;
        let mut board = Self { folder: folder.to_path_buf(), path, file: BufWriter::new(file) };
        board.write(0, Some("brain.Event:2"), &[])?;
        // A `SessionLog` with START voids older events from its step on; + 1 keeps the evaluation at `steps`.
        let start = Message::new().int(1, 1);
        let event =
            Message::new().double(1, now().as_secs_f64()).int(2, if steps > 0 { steps + 1 } else { 0 });
        board.append(&event.message(7, &start))?;
        Ok(board)
    }

    /// Writes an event of a training.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn observe(&mut self, trainer: &mut Trainer, event: &Event) -> Result<()> {
        match event {
            Event::Step { step, loss, lr } => {
                self.scalars(*step, &[("loss/batch", f64::from(*loss)), ("learning rate", *lr)])
            }
            Event::Evaluated { step, train, val, .. } => {
                let val = val.map(|val| ("loss/val", val.loss));
                let train = train.map(|train| ("loss/train", train.loss));
                let losses: Vec<_> = train.into_iter().chain(val).collect();
                self.scalars(*step, &losses)?;
                self.embedding(trainer)?;
                self.file.flush().map_err(|error| Error::io(&self.path, error))
            }
            Event::Diagnostics(records) => self.records(records),
            Event::Tick { .. } => Ok(()),
        }
    }

    /// Writes numbers under their names.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn scalars(&mut self, step: u64, numbers: &[(&str, f64)]) -> Result<()> {
        let value = |(tag, x): &(&str, f64)| scalar(tag, *x);
        self.write(step, None, &numbers.iter().map(value).collect::<Vec<_>>())
    }

    /// Writes the records' histograms, shares and ratios.
    fn records(&mut self, records: &[Record]) -> Result<()> {
        for record in records {
            let kind = match record.kind {
                RecordKind::Activation => "activations",
                RecordKind::Gradient => "gradients",
                RecordKind::Weight => "weights",
            };
            let tag = format!("{kind}/{}", record.layer);
            let mut values = vec![Message::new().text(1, &tag).message(5, &histogram(record))];
            let shares = [
                ("saturated", record.saturated),
                ("dead", record.dead.map(|dead| dead as f64)),
                ("gradient to weight", record.gradient_ratio),
                ("log10 update to weight", record.update_ratio),
            ];
            let named =
                |(what, x): (&str, Option<f64>)| Some(scalar(&format!("{what}/{}", record.layer), x?));
            values.extend(shares.into_iter().filter_map(named));
            self.write(record.step, None, &values)?;
        }
        Ok(())
    }

    /// Writes the current embedding in the projector's format.
    fn embedding(&self, trainer: &mut Trainer) -> Result<()> {
        let params = &trainer.model().params;
        let Some(id) = EMBEDDINGS.iter().find_map(|name| params.find(name)) else { return Ok(()) };
        let (numbers, shape) = (params.read(id), params.entry(id).shape);
        let row = |row: &[f32]| row.iter().map(ToString::to_string).collect::<Vec<_>>().join("\t") + "\n";
        let rows: String = numbers.chunks(shape.dims()[1]).map(row).collect();
        let vocab = trainer.vocab();
        let label =
            |token: u32| vocab.decode([token]).escape_debug().to_string().replace(' ', "(space)") + "\n";
        let labels: String = (0..vocab.len() as u32).map(label).collect();
        let config = "embeddings {\n  tensor_name: \"embedding\"\n  tensor_path: \"embedding.tsv\"\n  \
                      metadata_path: \"characters.tsv\"\n}\n";
        for (name, text) in [
            ("embedding.tsv", rows.as_str()),
            ("characters.tsv", &labels),
            ("projector_config.pbtxt", config),
        ] {
            let path = self.folder.join(name);
            replace_file(&path, text.as_bytes()).map_err(|error| Error::io(path, error))?;
        }
        Ok(())
    }

    fn write(&mut self, step: u64, file_version: Option<&str>, values: &[Message]) -> Result<()> {
        // An `Event`: its time, its step, and either the file's version or a `Summary`, a list of `Value`s.
        let mut event = Message::new().double(1, now().as_secs_f64()).int(2, step);
        if let Some(version) = file_version {
            event = event.text(3, version);
        }
        if !values.is_empty() {
            event = event.message(5, &values.iter().fold(Message::new(), |row, value| row.message(1, value)));
        }
        self.append(&event)
    }

    /// A record: its length, the length's checksum, the message, the message's checksum.
    fn append(&mut self, event: &Message) -> Result<()> {
        let (message, length) = (event.bytes(), (event.bytes().len() as u64).to_le_bytes());
        let parts: [&[u8]; 4] =
            [&length, &masked(&length).to_le_bytes(), message, &masked(message).to_le_bytes()];
        self.file.write_all(&parts.concat()).map_err(|error| Error::io(&self.path, error))
    }
}

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A `Value` that is one number.
fn scalar(tag: &str, x: f64) -> Message {
    Message::new().text(1, tag).float(2, x as f32)
}

/// A `HistogramProto`: minimum, maximum, count, sum, sum of squares, the bins' right edges, the bins' counts.
fn histogram(record: &Record) -> Message {
    let bins = &record.histogram;
    let n: f64 = bins.counts.iter().map(|&count| count as f64).sum();
    let width = (bins.max - bins.min) / bins.counts.len() as f64;
    Message::new()
        .double(1, bins.min)
        .double(2, bins.max)
        .double(3, n)
        .double(4, record.mean * n)
        .double(5, record.std.powi(2) * (n - 1.0) + record.mean.powi(2) * n)
        .doubles(6, (1..=bins.counts.len()).map(|i| bins.min + width * i as f64))
        .doubles(7, bins.counts.iter().map(|&count| count as f64))
}

/// TFRecord's masked checksum: CRC-32C, rotated, plus a constant, since a CRC over data with CRCs in it is
/// weak.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct EventMessage {
        #[prost(double, tag = "1")]
        wall_time: f64,
        #[prost(int64, tag = "2")]
        step: i64,
        #[prost(string, optional, tag = "3")]
        file_version: Option<String>,
        #[prost(message, optional, tag = "5")]
        summary: Option<Summary>,
        #[prost(message, optional, tag = "7")]
        session: Option<SessionLog>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct SessionLog {
        #[prost(int32, tag = "1")]
        status: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Summary {
        #[prost(message, repeated, tag = "1")]
        value: Vec<Value>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Value {
        #[prost(string, tag = "1")]
        tag: String,
        #[prost(float, optional, tag = "2")]
        simple_value: Option<f32>,
        #[prost(message, optional, tag = "5")]
        histo: Option<HistogramMessage>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct HistogramMessage {
        #[prost(double, tag = "1")]
        min: f64,
        #[prost(double, tag = "2")]
        max: f64,
        #[prost(double, tag = "3")]
        num: f64,
        #[prost(double, tag = "4")]
        sum: f64,
        #[prost(double, tag = "5")]
        sum_squares: f64,
        /// The right edge of each bin.
        #[prost(double, repeated, tag = "6")]
        bucket_limit: Vec<f64>,
        #[prost(double, repeated, tag = "7")]
        bucket: Vec<f64>,
    }

    #[test]
    fn a_file_is_records_with_their_checksums() {
        let home = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::create(home.path(), 6).unwrap();
        board.scalars(7, &[("loss", 2.5), ("lr", 0.1)]).unwrap();
        let path = board.path.clone();
        drop(board);
        let bytes = fs::read(path).unwrap();
        let (mut at, mut events) = (0, Vec::new());
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            let check = |from: usize, to: usize| {
                assert_eq!(bytes[to..to + 4], masked(&bytes[from..to]).to_le_bytes());
            };
            check(at, at + 8);
            check(at + 12, at + 12 + length);
            events.push(EventMessage::decode(&bytes[at + 12..at + 12 + length]).unwrap());
            at += 16 + length;
        }
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        // A reader drops what older files have from step 7 on.
        assert_eq!((events[1].step, events[1].session.clone()), (7, Some(SessionLog { status: 1 })));
        let values = &events[2].summary.as_ref().unwrap().value;
        assert_eq!((events[2].step, values[0].tag.as_str(), values[0].simple_value), (7, "loss", Some(2.5)));
        assert_eq!((events.len(), values[1].simple_value), (3, Some(0.1)));
    }

    #[test]
    fn the_checksum_is_tensorflows() {
        // What TensorBoard's own writer gives for a length of 24.
        assert_eq!(masked(&24u64.to_le_bytes()), 0x224b_7fa3);
    }
}
