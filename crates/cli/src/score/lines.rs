//! Reads the lines to score.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use charloom::data::{self, DataConfig, Normalize, Vocab};
use charloom::error::UnknownCharacter;
use charloom::{Error, Result};

/// The longest line that is scored, in bytes.
const MAX_LINE: usize = 1 << 20;
/// How many bytes of a longer line are shown.
const SHOWN: usize = 60;
/// The size of the read buffer, in bytes.
const BUFFER: usize = 1 << 16;

/// Why a line cannot be judged.
#[derive(Clone, Copy)]
pub enum Fault {
    /// One of its characters is unknown to the model.
    Unknown(UnknownCharacter),
    /// From this byte on, counted from 1, it is not UTF-8.
    Bytes(usize),
    /// It is longer than [`MAX_LINE`].
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(character) => character.fmt(f),
            Self::Bytes(at) => write!(f, "not UTF-8 from its byte {at} on"),
            Self::TooLong => f.write_str("longer than 1 MiB"),
        }
    }
}

/// A line without its line break.
pub struct Line {
    pub text: String,
    /// Set if it is not UTF-8 or too long; unknown characters are found later.
    pub broken: Option<Fault>,
}

/// Reads line after line. As in a data file, a line ends with LF, CRLF or a lone CR.
pub struct Lines<'a> {
    reader: BufReader<Box<dyn Read>>,
    name: &'a Path,
    pub number: usize,
    /// Whether the line before ended with CR: an LF then belongs to it.
    after_cr: bool,
    lossy: bool,
    normalize: Option<Normalize>,
    /// Whether to drop a byte order mark at the start: not if it is a character of the vocabulary.
    has_mark: bool,
}

impl<'a> Lines<'a> {
    pub fn new(reader: Box<dyn Read>, name: &'a Path, data: &DataConfig, vocab: &Vocab, lossy: bool) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER, reader),
            name,
            number: 0,
            after_cr: false,
            lossy: lossy || data.lossy,
            normalize: data.normalize,
            has_mark: vocab.token(MARK).is_none(),
        }
    }

    /// Whether the buffer has another whole line already.
    pub fn has_another(&self) -> bool {
        let mut ready = self.reader.buffer();
        if self.after_cr {
            ready = ready.strip_prefix(b"\n").unwrap_or(ready);
        }
        ready.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
    }

    pub fn next(&mut self) -> Result<Option<Line>> {
        let bytes = self.bytes().map_err(|error| Error::io(self.name, error))?;
        let Some((bytes, is_whole)) = bytes else { return Ok(None) };
        self.number += 1;
        if let (1, Some(what)) = (self.number, data::not_text(&bytes)) {
            return Err(Error::data(self.name, what));
        }
        if !is_whole {
            let start = String::from_utf8_lossy(&bytes[..SHOWN]).into_owned();
            return Ok(Some(Line { text: start + "...", broken: Some(Fault::TooLong) }));
        }
        let (line, broken) = match String::from_utf8(bytes) {
            Ok(line) => (line, None),
            Err(error) => {
                let fault = Fault::Bytes(error.utf8_error().valid_up_to() + 1);
                let line = String::from_utf8_lossy(error.as_bytes()).into_owned();
                (line, (!self.lossy).then_some(fault))
            }
        };
        let is_marked = self.number == 1 && self.has_mark && line.starts_with(MARK);
        let line = if is_marked { line[MARK.len_utf8()..].to_owned() } else { line };
        let text = match self.normalize {
            Some(form) => form.apply(&line),
            None => line,
        };
        Ok(Some(Line { text, broken }))
    }

    /// The next line's bytes and true, or the first [`MAX_LINE`] bytes of a longer line and false; `None` at
    /// the end.
    fn bytes(&mut self) -> io::Result<Option<(Vec<u8>, bool)>> {
        let mut line = Vec::new();
        let (mut is_line, mut is_whole) = (false, true);
        loop {
            let ready = self.reader.fill_buf()?;
            if ready.is_empty() {
                return Ok(is_line.then_some((line, is_whole)));
            }
            if std::mem::take(&mut self.after_cr) && ready[0] == b'\n' {
                self.reader.consume(1);
                continue;
            }
            is_line = true;
            let end = ready.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &ready[..end.unwrap_or(ready.len())];
            let room = MAX_LINE - line.len();
            is_whole &= part.len() <= room;
            line.extend_from_slice(&part[..part.len().min(room)]);
            self.after_cr = end.is_some_and(|end| ready[end] == b'\r');
            let read = end.map_or(ready.len(), |end| end + 1);
            self.reader.consume(read);
            if end.is_some() {
                return Ok(Some((line, is_whole)));
            }
        }
    }
}

/// The byte order mark.
const MARK: char = '\u{feff}';
