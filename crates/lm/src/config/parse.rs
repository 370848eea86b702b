//! Configurations from TOML and from the values of flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use toml::de::{DeTable, DeValue};

use super::Config;
use crate::choices::nearest;
use crate::{Error, Result};

/// The largest configuration that is read, in bytes; a whole one takes about one thousand.
const MAX_BYTES: u64 = 1 << 20;

/// How many examples a step has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// B, drawn at random.
    Size(usize),
    /// All of the training split, in order.
    Full,
}

impl FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "full" {
            return Ok(Self::Full);
        }
        text.parse().map(Self::Size).map_err(|_| format!("{text:?} is neither a whole number nor \"full\""))
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => size.fmt(f),
            Self::Full => f.write_str("full"),
        }
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Size(size) => size.serialize(to),
            Self::Full => to.serialize_str("full"),
        }
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct BatchVisitor;
        impl Visitor<'_> for BatchVisitor {
            type Value = Batch;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a whole number or \"full\"")
            }

            fn visit_i64<E: serde::de::Error>(self, n: i64) -> std::result::Result<Batch, E> {
                usize::try_from(n)
                    .map(Batch::Size)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(n), &self))
            }

            fn visit_u64<E: serde::de::Error>(self, n: u64) -> std::result::Result<Batch, E> {
                usize::try_from(n)
                    .map(Batch::Size)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(n), &self))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Batch, E> {
                if text == "full" {
                    return Ok(Batch::Full);
                }
                Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_any(BatchVisitor)
    }
}

/// Numbers between commas, such as `200,200`; the empty text is no hidden layer.
///
/// # Errors
/// Names the part that is not a whole number.
pub fn parse_hidden(text: &str) -> std::result::Result<Vec<usize>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|part| number(part, "a whole number, as in 200,200")).collect()
}

/// `fraction:factor` between commas, such as `0.5:0.1,0.75:0.1`; the empty text is no drop.
///
/// # Errors
/// Names the part that is not a pair of numbers.
pub fn parse_lr_drops(text: &str) -> std::result::Result<Vec<(f64, f64)>, String> {
    pairs(text, "fraction:factor, as in 0.5:0.1")
}

/// `step:rate` between commas, such as `100000:0.01,150000:0.001`; the empty text is no stage.
///
/// # Errors
/// Names the part that is not a step and a rate.
pub fn parse_lr_at(text: &str) -> std::result::Result<Vec<(u64, f64)>, String> {
    pairs(text, "step:rate, as in 100000:0.01")
}

/// Names between commas, such as `embedding.weight,layers.0`; the empty text is none.
///
/// # Errors
/// An empty name among others.
pub fn parse_freeze(text: &str) -> std::result::Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let name = |part: &str| match part.trim() {
        "" => Err(format!("{text:?} has an empty name; write names as in embedding.weight,layers.0")),
        name => Ok(name.to_owned()),
    };
    text.split(',').map(name).collect()
}

/// Two values with a colon between them, and commas between the pairs.
fn pairs<A: FromStr, B: FromStr>(text: &str, wanted: &str) -> std::result::Result<Vec<(A, B)>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|part| {
            let (a, b) = part.split_once(':').ok_or_else(|| format!("{part:?} is not {wanted}"))?;
            Ok((number(a, wanted)?, number(b, wanted)?))
        })
        .collect()
}

fn number<T: FromStr>(text: &str, wanted: &str) -> std::result::Result<T, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is not {wanted}"))
}

impl Config {
    /// A configuration from TOML; what the text does not say keeps its default. `path` is for messages.
    ///
    /// # Errors
    /// One line with the place: invalid TOML, or a key that is unknown (with the nearest known one), repeated
    /// or of the wrong type.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self> {
        if text.len() as u64 > MAX_BYTES {
            return Err(too_large(path));
        }
        toml::from_str(text).map_err(|error| explain(&error, text, path))
    }

    /// A configuration from a file of TOML.
    ///
    /// # Errors
    /// As [`Config::from_toml`]; also when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        Self::from_toml(&read_text(path)?, path)
    }

    /// The defaults, overridden by a preset's TOML, then by a file's.
    ///
    /// # Errors
    /// As [`Config::read`].
    ///
    /// ```
    /// use charloom::{Config, presets};
    ///
    /// # let home = tempfile::tempdir().unwrap();
    /// let file = home.path().join("my.toml");
    /// std::fs::write(&file, "model.hidden = [300]").unwrap();
    /// let config = Config::layered(Some(presets::get("bengio")?.toml), Some(&file))?;
    /// // The file overrides the preset.
    /// assert_eq!(config.flat()["model.hidden"], "[300]");
    /// assert_eq!(config.flat()["model.init"], "\"unit-normal\"");
    /// std::fs::write(&file, "model.hidden = [300]\ntrain.stebs = 5").unwrap();
    /// let error = Config::read(&file).unwrap_err().to_string();
    /// assert!(error.contains("line 2") && error.contains("steps"), "{error}");
    /// # Ok::<(), charloom::Error>(())
    /// ```
    pub fn layered(preset: Option<&str>, file: Option<&Path>) -> Result<Self> {
        let mut merged = toml::Table::new();
        if let Some(text) = preset {
            let path = Path::new("preset");
            Self::from_toml(text, path)?;
            merged = text.parse().map_err(|error| explain(&error, text, path))?;
        }
        let Some(path) = file else {
            return merged.try_into().map_err(|error| explain(&error, "", Path::new("preset")));
        };
        let text = read_text(path)?;
        // Parsed alone first, since errors in the merged table have no line.
        Self::from_toml(&text, path)?;
        let table: toml::Table = text.parse().map_err(|error| explain(&error, &text, path))?;
        // The preset's settings of another kind of model do not apply.
        let kind = |table: &toml::Table| {
            let kind = table.get("model")?.get("kind")?.as_str()?;
            Some(kind.to_owned())
        };
        if let Some(above) = kind(&table)
            && kind(&merged).unwrap_or_else(|| "mlp".to_owned()) != above
        {
            merged.remove("model");
            merged.remove("notebook");
        }
        for (section, values) in table {
            match (merged.get_mut(&section), values) {
                (Some(toml::Value::Table(below)), toml::Value::Table(above)) => below.extend(above),
                (_, values) => {
                    merged.insert(section, values);
                }
            }
        }
        merged.try_into().map_err(|error| explain(&error, "", path))
    }

    /// The whole configuration as TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("numbers, words and lists have a form in TOML once validated")
    }

    /// Every setting, such as `train.lr`, to its value in TOML.
    #[must_use]
    pub fn flat(&self) -> BTreeMap<String, String> {
        let table: toml::Table = self.to_toml().parse().expect("a configuration writes TOML");
        let mut settings = BTreeMap::new();
        flatten("", &toml::Value::Table(table), &mut settings);
        settings
    }
}

/// Adds a value under its key; in a table or list of tables each value by itself, under its whole path.
fn flatten(key: &str, value: &toml::Value, settings: &mut BTreeMap<String, String>) {
    let inner = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        toml::Value::Table(table) => {
            table.iter().for_each(|(name, value)| flatten(&inner(name), value, settings));
        }
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            let items = list.iter().enumerate();
            items.for_each(|(i, value)| flatten(&inner(&i.to_string()), value, settings));
        }
        value => {
            settings.insert(key.to_owned(), value.to_string());
        }
    }
}

/// The line of a setting, such as `model.hidden`, in a configuration's text; `None` if it is not there.
pub(crate) fn line_of(text: &str, setting: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (mut table, mut start) = (root.get_ref(), None);
    for name in setting.split('.') {
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
        start = Some(key.span().start);
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    Some(line_at(text, start?))
}

fn line_at(text: &str, start: usize) -> usize {
    text.get(..start).map_or(0, |before| before.matches('\n').count()) + 1
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    use std::io::Read;
    let file = crate::disk::open_regular(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| Error::io(path, error))?;
    if let Some(what) = crate::data::not_text(&bytes) {
        return Err(Error::model(path, what));
    }
    if crate::data::is_page(&bytes) {
        return Err(Error::model(path, "is an HTML page, no configuration; a download may have gone wrong"));
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large(path));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::model(path, format!("is not UTF-8 at byte {at}; a configuration is"))
    })
}

fn too_large(path: &Path) -> Error {
    Error::model(
        path,
        format!("more than {MAX_BYTES} bytes, which no configuration needs; is it another file?"),
    )
}

/// The error of the TOML reader in one line: the place, what is wrong, and the nearest known key.
fn explain(error: &toml::de::Error, text: &str, path: &Path) -> Error {
    let mut message = String::new();
    if let Some(span) = error.span().filter(|span| text.get(..span.start).is_some()) {
        message += &format!("line {}: ", line_at(text, span.start));
    }
    let said = error.message().replace('\n', "; ");
    let mut quoted = said.split('`').skip(1).step_by(2);
    let kind = if said.starts_with("unknown field") { "key" } else { "word" };
    match (said.starts_with("unknown "), quoted.next()) {
        (true, Some(wrong)) => {
            message += &format!("unknown {kind} \"{wrong}\"");
            let known: Vec<&str> = quoted.collect();
            match nearest(wrong, &known) {
                Some(near) => message += &format!(": did you mean \"{near}\"?"),
                None => message += &format!("; known here: {}", known.join(", ")),
            }
        }
        _ => message += &said,
    }
    Error::model(path, message)
}
