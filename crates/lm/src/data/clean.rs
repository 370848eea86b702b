//! Bytes to text: refuses other encodings, makes line ends and accents uniform.

use std::ops::RangeInclusive;

use unicode_normalization::{is_nfc, is_nfd};

use super::settings::Normalize;

/// First bytes of files that are no text, what they are, and what to do.
const NOT_TEXT: [(&[u8], &str); 7] = [
    (&[0xff, 0xfe], "is UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"),
    (&[0xfe, 0xff], "is UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"),
    (&[0x1f, 0x8b], "is compressed with gzip; unpack it first (gunzip)"),
    (b"PK\x03\x04", "is a zip archive; unpack it first (unzip)"),
    (b"BZh", "is compressed with bzip2; unpack it first (bunzip2)"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "is compressed with xz; unpack it first (unxz)"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "is compressed with zstd; unpack it first (unzstd)"),
];

/// What every git-LFS pointer begins with.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Whether a file is a git-LFS pointer instead of the file itself.
fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(LFS_POINTER)
}

/// What a file is, and what to do, if its first bytes are those of an archive, a git-LFS pointer or another
/// encoding.
#[must_use]
pub fn not_text(bytes: &[u8]) -> Option<&'static str> {
    // "BZh" could begin a word; the digit and the block's magic after it could not.
    let compressed = |magic: &[u8]| magic != b"BZh" || bytes.get(4..7) == Some(b"1AY");
    let found = NOT_TEXT.iter().find(|(magic, _)| bytes.starts_with(magic) && compressed(magic));
    let pointer = "is a git-LFS pointer, not the file itself; fetch that first (git lfs pull)";
    found.map(|(_, what)| *what).or_else(|| is_lfs_pointer(bytes).then_some(pointer))
}

/// Whether a file is an HTML page, as downloads that went wrong often are.
pub fn is_page(bytes: &[u8]) -> bool {
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|first| first.eq_ignore_ascii_case(tag)))
}

/// Decodes UTF-8 to a string with LF line ends and no byte order mark, in the memory of `bytes` if possible.
/// The error is a message without the file's name.
pub fn decode(mut bytes: Vec<u8>, lossy: bool, warnings: &mut Vec<String>) -> Result<String, String> {
    if let Some(what) = not_text(&bytes) {
        return Err(what.to_owned());
    }
    if is_page(&bytes) {
        let what =
            "is an HTML page, whose tags are read as text; if it should be another file, download that";
        warnings.push(what.to_owned());
    }
    let mut met = [false; 256];
    bytes.iter().for_each(|&byte| met[usize::from(byte)] = true);
    if met[0]
        && let Some(at) = bytes.iter().position(|&b| b == 0)
    {
        let start = &bytes[..bytes.len().min(1024)];
        let zeros = |parity| start.iter().skip(parity).step_by(2).filter(|&&b| b == 0).count();
        let lopsided = zeros(0).abs_diff(zeros(1)) * 4 > start.len();
        return Err(if lopsided {
            NOT_TEXT[0].1.to_owned()
        } else {
            format!("holds a NUL at byte {at} ({}); it is no text", line_of(&bytes, at))
        });
    }
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let skipped = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    bytes.drain(..skipped);
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) if !lossy => {
            let at = e.utf8_error().valid_up_to();
            return Err(format!(
                "is not UTF-8 at byte {} ({}); convert it to UTF-8 (iconv -f latin1 -t UTF-8, if it is Latin-1), or \
                 ``lossy`` replaces such bytes with U+FFFD",
                at + skipped,
                line_of(e.as_bytes(), at)
            ));
        }
        Err(e) => {
            let bytes = e.as_bytes();
            let bad = bytes.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
            warnings.push(format!("{bad} places that are not UTF-8 were replaced with U+FFFD"));
            String::from_utf8_lossy(bytes).into_owned()
        }
    };
    let is_met = |bytes: RangeInclusive<u8>| bytes.into_iter().any(|byte| met[usize::from(byte)]);
    let has_returns = is_met(b'\r'..=b'\r');
    let text = if has_returns { text.replace("\r\n", "\n").replace('\r', "\n") } else { text };
    let odd = |c: &char| c.is_control() && !matches!(c, '\n' | '\t');
    // Control characters from U+0080 to U+009F are two bytes, the first of them 0xC2.
    let may_be_odd = is_met(0..=0x08) || is_met(0x0b..=0x1f) || is_met(0x7f..=0x7f) || is_met(0xc2..=0xc2);
    if may_be_odd && let Some(c) = text.chars().find(odd) {
        let count = text.chars().filter(odd).count();
        warnings
            .push(format!("{count} control characters (first U+{:04X}) are kept as characters", c as u32));
    }
    Ok(text)
}

/// Brings text to a normalization form, or warns when it mixes two.
pub fn normalize(text: String, form: Option<Normalize>, warnings: &mut Vec<String>) -> String {
    if text.is_ascii() {
        return text;
    }
    match form {
        Some(form) => form.apply(&text),
        None => {
            if !is_nfc(&text) && !is_nfd(&text) {
                warnings.push(
                    "accents are written in two ways (composed and decomposed), which are different characters; \
                     ``normalize`` nfc makes them one"
                        .to_owned(),
                );
            }
            text
        }
    }
}

fn line_of(bytes: &[u8], at: usize) -> String {
    format!("line {}", 1 + bytes[..at].iter().filter(|&&b| b == b'\n').count())
}
