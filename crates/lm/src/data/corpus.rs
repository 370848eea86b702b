//! Reads a file: from bytes to clean text, a list of words or one running text.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::settings::{DataConfig, Mode};
use super::vocab::Vocab;
use super::{clean, memory};
use crate::error::{Error, Result, UnknownCharacter};

/// The largest file in bytes: token positions are 32-bit, and a mistyped path should not fill the memory.
pub const MAX_BYTES: u64 = 1 << 30;

/// The most characters a word may have in [`Mode::Lines`].
pub const MAX_WORD: usize = 1 << 16;

impl Mode {
    /// Guesses whether a text is a list of lines or one running text.
    ///
    /// Looks at the first 10,000 lines that are not blank. The text is running text if more than a quarter of
    /// them read like sentences, if they have more than 100 characters on average, or if one is longer than a
    /// word may be ([`MAX_WORD`]); else it is a list of lines.
    ///
    /// A line of four or more words reads like a sentence if punctuation follows a word of three letters or
    /// more, or if most words begin with a small letter; so names of several words do not. A line in a script
    /// without spaces reads like one if it has Chinese or Japanese punctuation, or 30 letters or more.
    #[must_use]
    pub fn detect(text: &str) -> Self {
        let (mut count, mut sentences, mut characters) = (0usize, 0usize, 0usize);
        for line in text.split('\n').filter(|line| !is_blank(line)).take(10_000) {
            let length = if line.is_ascii() { line.len() } else { line.chars().count() };
            if length > MAX_WORD {
                return Self::Text;
            }
            count += 1;
            characters += length;
            sentences += usize::from(is_sentence(line));
        }
        if sentences * 4 > count || characters > count * 100 { Self::Text } else { Self::Lines }
    }
}

/// Whether a line reads like a sentence: see [`Mode::detect`].
fn is_sentence(line: &str) -> bool {
    if line.is_ascii() {
        // One word is no sentence.
        if line.bytes().all(|byte| byte.is_ascii_graphic()) {
            return false;
        }
    } else if line.chars().any(|c| "。、，；：！？।".contains(c))
        || line.chars().filter(|&c| is_unspaced(c)).count() >= 30
    {
        return true;
    }
    let count = line.split_whitespace().count();
    let ends = |word: &str| {
        let word = word.trim_end_matches(['"', '\'', ')', '”', '’', '»']);
        word.chars().count() > 3 && word.ends_with(['.', ',', ';', ':', '!', '?', '…'])
    };
    let is_small = |word: &&str| word.starts_with(char::is_lowercase);
    count >= 4
        && (line.split_whitespace().any(ends) || line.split_whitespace().filter(is_small).count() * 2 > count)
}

/// Whether `c` is a letter of a script without spaces between words: Thai, Lao, Burmese, Khmer, kana, Han.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3fffd}')
}

/// Where a text came from, and what was noticed on reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// SHA-256 of the bytes as they were read, in hexadecimal.
    pub sha256: String,
    /// Warnings for the user, one line each.
    pub warnings: Vec<String>,
    /// Whether `mode` was detected from the text rather than given.
    pub is_detected: bool,
    /// Whether the text looks like the other mode than was given; not looked at if its SHA-256 was given too.
    pub looks_otherwise: bool,
}

/// A file's text, cleaned.
///
/// A byte order mark at the start is dropped; CRLF and a lone CR become LF, the only line break there is. In
/// [`Mode::Lines`] lines of only white space are dropped; the other lines are kept with all their spaces.
///
/// ```
/// use charloom::data::{Corpus, DataConfig};
/// let corpus = Corpus::from_bytes("names", b"emma\r\n\nolivia", &DataConfig::default())?;
/// assert_eq!(corpus.text(), "emma\nolivia\n");
/// assert!(corpus.words().eq(["emma", "olivia"]));
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    source: Source,
    mode: Mode,
    /// The text; in [`Mode::Lines`] each word is followed by a line break.
    text: String,
}

impl Corpus {
    /// Reads a regular file, or standard input for `-`. Uses `mode`, `lossy`, `normalize` and `dedupe` of the
    /// configuration.
    ///
    /// # Errors
    /// As [`Corpus::from_bytes`]; a file that is missing, unreadable, not a regular file, or larger than
    /// [`MAX_BYTES`].
    pub fn read(path: impl AsRef<Path>, config: &DataConfig) -> Result<Self> {
        Self::read_same(path.as_ref(), config, None)
    }

    /// As [`Corpus::read`]; if `sha256` is given, bytes with another SHA-256 are refused before they are
    /// decoded.
    pub(super) fn read_same(path: &Path, config: &DataConfig, sha256: Option<&str>) -> Result<Self> {
        if path == Path::new("-") {
            let bytes = read_bounded(path, io::stdin().lock(), 0, MAX_BYTES)?;
            return Self::of_bytes(path, bytes, config, sha256);
        }
        let fail = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => {
                Error::data(path, "no such file; name a file of text, or see 'charloom data list'")
            }
            io::ErrorKind::PermissionDenied => Error::data(path, "no permission to read this file"),
            _ => Error::io(path, e),
        };
        let kind = fs::metadata(path).map_err(fail)?;
        if kind.is_dir() {
            return Err(Error::data(path, "is a directory; name a file of text in it"));
        }
        if !kind.is_file() {
            return Err(Error::data(path, "is not a regular file; pipe it in and name it '-'"));
        }
        let file = File::open(path).map_err(fail)?;
        memory::check_file(kind.len().min(MAX_BYTES), memory::available())
            .map_err(|what| Error::data(path, what))?;
        Self::of_bytes(path, read_bounded(path, file, kind.len(), MAX_BYTES)?, config, sha256)
    }

    /// Cleans bytes that are already in memory; `source` names them in messages.
    ///
    /// # Errors
    /// No text at all; another encoding or a compressed file; bytes that are not UTF-8 (unless `lossy`); a
    /// NUL; a line of more than [`MAX_WORD`] characters in [`Mode::Lines`]; `dedupe` in [`Mode::Text`].
    pub fn from_bytes(
        source: impl AsRef<Path>,
        bytes: impl Into<Vec<u8>>,
        config: &DataConfig,
    ) -> Result<Self> {
        Self::of_bytes(source.as_ref(), bytes.into(), config, None)
    }

    /// As [`Corpus::from_bytes`]; if `known` is given, bytes with another SHA-256 are refused before they are
    /// decoded.
    pub(super) fn of_bytes(
        path: &Path,
        bytes: Vec<u8>,
        config: &DataConfig,
        known: Option<&str>,
    ) -> Result<Self> {
        let (sha256, is_empty) = (hex(&Sha256::digest(&bytes)), bytes.is_empty());
        if known.is_some_and(|known| known != sha256) {
            let message = "has changed since the configuration was written, or is another file (its SHA-256 is \
                           another); ``data`` says where the file is that it was written for";
            return Err(Error::data(path, message));
        }
        let mut warnings = Vec::new();
        let text = clean::decode(bytes, config.lossy, &mut warnings)
            .map(|text| clean::normalize(text, config.normalize, &mut warnings))
            .map_err(|message| Error::data(path, message))?;
        if text.trim().is_empty() {
            let what = if is_empty { "is empty" } else { "holds nothing but blank lines" };
            return Err(Error::data(path, format!("{what}; there is nothing to learn from")));
        }
        let mode = config.mode.unwrap_or_else(|| Mode::detect(&text));
        let is_detected = config.mode.is_none();
        let looks_otherwise = !is_detected && known.is_none() && Mode::detect(&text) != mode;
        let text = match mode {
            Mode::Text if config.dedupe => {
                return Err(Error::setting(
                    "dedupe",
                    "is for lists of lines, and this is read as one running text",
                ));
            }
            Mode::Text => text,
            Mode::Lines => words(path, text, config.dedupe, &mut warnings)?,
        };
        Ok(Self {
            source: Source { path: path.to_path_buf(), sha256, warnings, is_detected, looks_otherwise },
            mode,
            text,
        })
    }

    /// Where it came from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether these are words or one text.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The text, in the order of the file; in [`Mode::Lines`] each word is followed by a line break.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines of the text, in the order of the file: in [`Mode::Lines`] the words, none of which is empty.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split_terminator('\n')
    }

    /// Removes the lines with a character outside the vocabulary; returns them and the first such character.
    pub fn take_unknown(&mut self, vocab: &Vocab) -> (Vec<String>, Option<UnknownCharacter>) {
        let (mut taken, mut first) = (Vec::new(), None);
        let mut kept = String::with_capacity(self.text.len());
        for line in self.text.split_inclusive('\n') {
            match vocab.encode(line.strip_suffix('\n').unwrap_or(line)) {
                Ok(_) => kept.push_str(line),
                Err(unknown) => {
                    first = first.or(Some(unknown));
                    taken.push(line.trim_end_matches('\n').to_owned());
                }
            }
        }
        self.text = kept;
        (taken, first)
    }

    /// The source; drops the text.
    pub(super) fn into_source(self) -> Source {
        self.source
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// All bytes of `reader`; more than `most` are an error. Stops after a chunk with a NUL, which no text has,
/// so that an endless stream of zeros ends.
fn read_bounded(path: &Path, reader: impl Read, size: u64, most: u64) -> Result<Vec<u8>> {
    let mut reader = reader.take(most + 1);
    // With room for the whole file: growing by doubling could take twice its size.
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(most) + 1).unwrap_or(0));
    loop {
        let start = bytes.len();
        let read = reader.by_ref().take(1 << 20).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
        if bytes.len() as u64 > most {
            let limit = most >> 20;
            return Err(Error::data(
                path,
                format!("is larger than {limit} MiB, the most that is read; cut it"),
            ));
        }
        if read == 0 || bytes[start..].contains(&0) {
            return Ok(bytes);
        }
    }
}

/// Whether a line is nothing but white space.
fn is_blank(line: &str) -> bool {
    !has_visible_ends(line) && line.trim().is_empty()
}

/// Whether a line's first and last bytes are visible ASCII characters.
fn has_visible_ends(line: &str) -> bool {
    let is_seen = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    is_seen(line.as_bytes().first()) && is_seen(line.as_bytes().last())
}

/// The words, each with a line break. Reuses the memory of `text` if no line is dropped.
fn words(source: &Path, mut text: String, dedupe: bool, warnings: &mut Vec<String>) -> Result<String> {
    let mut seen = HashSet::new();
    // The words so far; `None` until a line is dropped.
    let mut words: Option<String> = None;
    let (mut spaced, mut number, mut start) = (0usize, 0, 0);
    while start <= text.len() {
        let rest = &text.as_bytes()[start..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let (begin, line) = (start, &text[start..start + length]);
        start += length + 1;
        number += 1;
        if is_blank(line) || (dedupe && !seen.insert(line)) {
            // The empty rest after the last line break is not a dropped line.
            if words.is_none() && begin < text.len() {
                words = Some(text[..begin].to_owned());
            }
            continue;
        }
        if line.len() > MAX_WORD {
            let length = line.chars().count();
            if length > MAX_WORD {
                let message = format!(
                    "line {} has {length} characters, and a word at most {MAX_WORD}; read it with ``mode`` text",
                    number
                );
                return Err(Error::data(source, message));
            }
        }
        spaced += usize::from(!has_visible_ends(line) && line.trim().len() != line.len());
        if let Some(words) = &mut words {
            words.push_str(line);
            words.push('\n');
        }
    }
    if spaced > 0 {
        warnings.push(format!("{spaced} lines begin or end with white space, which is kept as characters"));
    }
    if let Some(words) = words {
        return Ok(words);
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_words_are_kept_as_they_stand() {
        let parts = ["a\n", "b\n", " \n", "\n", "a", " é \n", "\u{a0}\n", " ", "\t\n", ""];
        for n in 0..parts.len().pow(4) {
            let text: String = (0..4).map(|i| parts[n / parts.len().pow(i) % parts.len()]).collect();
            for dedupe in [false, true] {
                let mut seen = HashSet::new();
                let mut kept = String::new();
                for line in text.lines().filter(|line| !line.trim().is_empty()) {
                    if seen.insert(line) || !dedupe {
                        kept += &format!("{line}\n");
                    }
                }
                if !kept.is_empty() {
                    let words = words("t".as_ref(), text.clone(), dedupe, &mut Vec::new()).expect("words");
                    assert_eq!(words, kept, "{text:?} {dedupe}");
                }
            }
        }
    }

    #[test]
    fn what_never_ends_is_not_read_for_ever() {
        let read = |byte| read_bounded("-".as_ref(), io::repeat(byte), 0, 3 << 20);
        let refused = read(b'a').expect_err("refused").to_string();
        assert!(refused.contains("larger than 3 MiB"), "{refused}");
        assert_eq!(read(0).expect("to be refused for its NUL").len(), 1 << 20);
    }

    #[test]
    fn lines_and_texts_are_told_apart_in_any_script() {
        let lines = [
            "emma\nolivia\nava\n",
            "Maria del Carmen García López\nAnne Marie de la Tour\nJohn Ronald Reuel Tolkien\n",
            "St. John Baptiste de la Salle\nMary Jane Ann Smith\nVincent Willem van Gogh Jr\n",
            "李明\n王小红\n欧阳修\n",
            "さくら\nひなた\n",
            "नेहा शर्मा\nराहुल वर्मा\n",
            "สมชาย\nสมหญิง\n",
            "New York\nLos Angeles\nSan Juan Capistrano\n",
        ];
        let texts = [
            "Before we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n",
            "and so it was that the old man\nwent down to the sea again\n",
            "话说天下大势，分久必合，合久必分。\n周末七国分争，并入于秦。\n",
            "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n",
            "吾輩は猫である。名前はまだ無い。\nどこで生れたかとんと見当がつかぬ。\n",
            "एक समय की बात है। एक राजा था।\nउसके तीन बेटे थे।\n",
            "กาลครั้งหนึ่งนานมาแล้วมีพระราชาองค์หนึ่งครองเมืองใหญ่\nพระองค์มีพระธิดาสามองค์ที่งดงามยิ่งนักในแผ่นดิน\n",
        ];
        for (all, mode) in [(&lines[..], Mode::Lines), (&texts[..], Mode::Text)] {
            for text in all {
                assert_eq!(Mode::detect(text), mode, "{text}");
            }
        }
    }
}
