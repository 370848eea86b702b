//! The macro `flags!`: one list of flags, each of which sets one setting.

use charloom::{Config, Error, Result};

/// A list of flags. `flags!` makes these methods.
pub trait Flags {
    /// The keys of the settings. `lr_min` is set by `--lr-min`.
    const KEYS: &'static [&'static str];

    /// Writes the values of the given flags into the configuration.
    fn write(&self, config: &mut Config);

    /// The flags that are given, in the order of the list.
    fn given(&self) -> Vec<Given>;
}

/// A flag that is given.
pub struct Given {
    /// The key of its setting.
    pub key: &'static str,
    has_effect: fn(&Config) -> bool,
    why_not: &'static str,
}

impl Given {
    /// A flag that has an effect with any settings.
    pub fn new(key: &'static str) -> Self {
        Self { key, has_effect: |_| true, why_not: "" }
    }

    /// The same flag with an effect only where `has_effect` is true; elsewhere `why_not` is said.
    pub fn with_effect(self, why_not: &'static str, has_effect: fn(&Config) -> bool) -> Self {
        Self { has_effect, why_not, ..self }
    }

    /// Refuses the flag if it has no effect with these settings.
    ///
    /// # Errors
    /// It has none.
    pub fn check(&self, config: &Config) -> Result<()> {
        if (self.has_effect)(config) { Ok(()) } else { Err(self.without_effect(self.why_not)) }
    }

    /// The error of a flag without effect.
    pub fn without_effect(&self, why: &str) -> Error {
        Error::usage(format!("--{} has no effect: {why}", self.key.replace('_', "-")))
    }
}

/// Declares flags for the part `data`, `model` or `train` of the configuration, as a struct for clap.
///
/// ```ignore
/// flags! {
///     /// The flags of something.
///     pub SomeFlags of train {
///         /// What `--help` says of `--lr-min <X>`, which sets `lr_min`, an f64.
///         lr_min("X"): f64;
///         /// A flag that has an effect only where the test is true; elsewhere it is refused, with the reason.
///         momentum("X"): f64, "it is of --optimizer sgd", |config| config.train.optimizer == Optimizer::Sgd;
///     }
/// }
/// ```
///
/// More attributes for clap may stand under the doc of a flag.
macro_rules! flags {
    (@set $config:ident.model.$key:ident, $value:expr) => { $config.model.set(stringify!($key), $value) };
    // A setting may be a T or an Option<T>: both can be made of a T.
    (@set $config:ident.$part:ident.$key:ident, $value:expr) => { $config.$part.$key = $value.into() };

    ($(#[$doc:meta])* $visibility:vis $name:ident of $part:ident {
        $(
            $(#[$attribute:meta])*
            $field_visibility:vis $key:ident($shown:literal): $type:ident $(, $why_not:literal, $has_effect:expr)?;
        )+
    }) => {
        #[derive(clap::Args, Default, PartialEq)]
        $(#[$doc])*
        $visibility struct $name {
            $($(#[$attribute])* #[arg(long, value_name = $shown)] $field_visibility $key: Option<$type>,)+
        }

        impl $crate::args::flags::Flags for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),+];

            fn write(&self, config: &mut charloom::Config) {
                $(if let Some(value) = &self.$key {
                    flags!(@set config.$part.$key, value.clone());
                })+
            }

            fn given(&self) -> Vec<$crate::args::flags::Given> {
                let flags = [$((
                    self.$key.is_some(),
                    $crate::args::flags::Given::new(stringify!($key))$(.with_effect($why_not, $has_effect))?,
                )),+];
                flags.into_iter().filter_map(|(is_given, flag)| is_given.then_some(flag)).collect()
            }
        }
    };
}

pub(super) use flags;
