//! The model's settings: its kind, and the settings of that kind.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::choices::nearest;
use crate::{Error, Result};

/// The kind of model, and that kind's own settings.
///
/// A setting that is not given has the kind's default; [`ModelConfig::read`] gives all of them.
///
/// ```
/// use charloom::config::ModelConfig;
/// use charloom::models::MlpSettings;
///
/// let model = ModelConfig::of("mlp").with("hidden", vec![64, 64]);
/// let settings: MlpSettings = model.read()?;
/// assert_eq!((settings.hidden, settings.context), (vec![64, 64], 3));
/// let misspelt = ModelConfig::of("mlp").with("hiden", 3).read::<MlpSettings>().unwrap_err().to_string();
/// assert!(misspelt.contains("did you mean \"hidden\"?"));
/// # Ok::<(), charloom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The kind's name.
    #[serde(default = "default_kind")]
    pub kind: String,
    #[serde(flatten)]
    settings: toml::Table,
}

fn default_kind() -> String {
    "mlp".to_owned()
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::of("mlp")
    }
}

impl ModelConfig {
    /// A model of this kind with its defaults.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        Self { kind: kind.to_owned(), settings: toml::Table::new() }
    }

    /// Gives a setting this value.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.settings.insert(key.to_owned(), value.into().0);
    }

    /// Takes a setting's value back: the kind's default holds.
    pub fn unset(&mut self, key: &str) {
        self.settings.remove(key);
    }

    /// The same model with a setting given this value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// A setting that was given, as TOML writes it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        self.settings.get(key).map(ToString::to_string)
    }

    /// Keeps only the settings whose key passes `keep`.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.settings.retain(|key, _| keep(key));
    }

    /// All settings of the kind, checked.
    ///
    /// # Errors
    /// A setting that the kind does not have, of another type, or out of range.
    pub fn read<S: Settings>(&self) -> Result<S> {
        for key in self.settings.keys() {
            if !S::SETTINGS.iter().any(|setting| setting.key == key.as_str()) {
                return Err(self.refuse(key, S::SETTINGS));
            }
        }
        let given = in_default_form::<S>(&self.settings);
        let settings: S = given.clone().try_into().map_err(|error: toml::de::Error| {
            let key = given.iter().find_map(|(key, value)| {
                let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
                alone.try_into::<S>().is_err().then_some(key.as_str())
            });
            let defaults = toml::Table::try_from(S::default()).unwrap_or_default();
            let is_list = |key: &str| defaults.get(key).is_some_and(toml::Value::is_array);
            let said = match key.filter(|key| !is_list(key)).and_then(|key| given.get(key)) {
                Some(toml::Value::Array(several)) => {
                    let of_layers = S::SETTINGS.iter().any(|setting| setting.key == "layers");
                    let hint = if of_layers { "; ``layers`` says how many layers there are" } else { "" };
                    let several = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                    format!("{several}: a model of kind {:?} has one, not a list{hint}", self.kind)
                }
                _ => format!(": {}", error.message().replace('\n', "; ")),
            };
            Error::setting(key.unwrap_or("model"), said)
        })?;
        settings.check()?;
        Ok(settings)
    }

    /// Replaces the settings by these, with every default explicit.
    ///
    /// # Errors
    /// Settings that TOML cannot write.
    pub fn write<S: Settings>(&mut self, settings: &S) -> Result<()> {
        let all = toml::Table::try_from(settings);
        self.settings =
            all.map_err(|error| Error::Failed(format!("settings that TOML cannot write: {error}")))?;
        Ok(())
    }

    fn refuse(&self, key: &str, settings: &[Setting]) -> Error {
        let known: Vec<&str> = settings.iter().map(|setting| setting.key).collect();
        let hint = match nearest(key, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("it has {}", known.join(", ")),
        };
        Error::setting(key, format!(": a model of kind {:?} has no setting {key:?}; {hint}", self.kind))
    }
}

/// The same settings in the form of the defaults: a number becomes a list of one if the default is a list,
/// and a list of one becomes a number if the default is one.
fn in_default_form<S: Settings>(given: &toml::Table) -> toml::Table {
    let defaults = toml::Table::try_from(S::default()).unwrap_or_default();
    let wanted = |(key, value): (&String, &toml::Value)| {
        let value = match (defaults.get(key), value) {
            (Some(toml::Value::Array(_)), toml::Value::Integer(_)) => toml::Value::Array(vec![value.clone()]),
            (Some(toml::Value::Integer(_)), toml::Value::Array(list)) if list.len() == 1 => list[0].clone(),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    given.iter().map(wanted).collect()
}

/// A setting's value.
pub struct Value(toml::Value);

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        // A larger number is out of every setting's range, as i64::MAX is.
        Self(toml::Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self(toml::Value::Integer(value.into()))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self(toml::Value::Float(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self(toml::Value::Boolean(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self(toml::Value::String(value.to_owned()))
    }
}

impl From<Vec<usize>> for Value {
    fn from(value: Vec<usize>) -> Self {
        Self(toml::Value::Array(value.into_iter().map(|item| Self::from(item).0).collect()))
    }
}

/// The settings of a kind of model, as a struct; the macro [`settings!`](crate::settings) makes one.
pub trait Settings: Serialize + DeserializeOwned + Default {
    /// A description of each setting.
    const SETTINGS: &'static [Setting];

    /// Checks every value.
    ///
    /// # Errors
    /// The first that is out of range.
    fn check(&self) -> Result<()>;
}

/// The description of a setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key in the configuration.
    pub key: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Its limit, in words.
    pub limit: &'static str,
    /// Its default, as TOML writes it; none if it follows from other settings.
    pub default: fn() -> Option<String>,
}

/// A value as TOML writes it; `None` if it is an option without a value.
#[doc(hidden)]
pub fn as_toml(value: &impl Serialize) -> Option<String> {
    toml::Value::try_from(value).ok().map(|value| value.to_string())
}

/// Declares a struct of settings: for each its doc, key, type, default, limit in words, and the test for that
/// limit.
///
/// ```
/// charloom::settings! {
///     /// A toy's.
///     pub ToySettings {
///         /// How many numbers its state has.
///         width: usize = 16, "from 1 to 1024", |width| (1..=1024).contains(width);
///     }
/// }
/// use charloom::config::{ModelConfig, Settings};
/// assert_eq!(ToySettings::SETTINGS[0].key, "width");
/// assert_eq!((ToySettings::SETTINGS[0].default)().as_deref(), Some("16"));
/// let refused = ModelConfig::of("toy").with("width", 0).read::<ToySettings>().unwrap_err().to_string();
/// assert_eq!(refused, "``width`` 0 is out of range; it must be from 1 to 1024");
/// ```
#[macro_export]
macro_rules! settings {
    ($(#[$doc:meta])* $visibility:vis $name:ident {
        $(#[doc = $about:literal] $key:ident: $type:ty = $default:expr, $limit:literal, $fits:expr;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $visibility struct $name {
            $(#[doc = $about] pub $key: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $crate::config::Settings for $name {
            const SETTINGS: &'static [$crate::config::Setting] = &[
                $($crate::config::Setting {
                    key: stringify!($key),
                    about: $about,
                    limit: $limit,
                    default: || {
                        let default: $type = $default;
                        $crate::config::as_toml(&default)
                    },
                },)+
            ];

            fn check(&self) -> $crate::Result<()> {
                $(
                    let fits: fn(&$type) -> bool = $fits;
                    if !fits(&self.$key) {
                        return Err($crate::config::out_of_range(stringify!($key), &self.$key, $limit));
                    }
                )+
                Ok(())
            }
        }
    };
}

/// The error of a setting whose value is not within its limit.
pub fn out_of_range(key: &str, value: &impl std::fmt::Debug, limit: &str) -> Error {
    let shown = format!("{value:?}").replace(['[', ']', ' '], "").replace("Some(", "").replace(')', "");
    Error::out_of_range(key, shown, limit)
}
