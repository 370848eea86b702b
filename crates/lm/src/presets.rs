//! The built-in configurations: each reproduces the training of a notebook that charloom grew from or of
//! another project, or is the best that we found.

use crate::choices::nearest;
use crate::{Error, Result};

/// A built-in configuration.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name for `--preset`.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What it reproduces.
    pub source: &'static str,
    /// The settings that differ from the defaults, as TOML with comments.
    pub toml: &'static str,
}

macro_rules! file {
    ($name:literal, $about:literal, $source:literal) => {
        Preset {
            name: $name,
            about: $about,
            source: $source,
            toml: include_str!(concat!("../presets/", $name, ".toml")),
        }
    };
}

/// A row of the tuning table that ends notebook 001. All rows share their training: unit-normal parameters,
/// learning rate 0.1 before step 100,000 and 0.01 from there on. The drop is at a fraction of the row's own
/// steps.
macro_rules! tuning {
    ($name:literal, $context:literal, $hidden:literal, $embed:literal, $steps:literal, $batch:literal,
     $drops:literal, $loss:literal) => {
        Preset {
            name: $name,
            about: concat!(
                "context ",
                $context,
                ", ",
                $hidden,
                " neurons, ",
                $embed,
                " features, ",
                $steps,
                " steps of ",
                $batch,
                ": the notebook notes a loss of ",
                $loss
            ),
            source: "001, tuning table",
            toml: concat!(
                "# A row of the table that ends notebook 001, which notes a test loss of ",
                $loss,
                ".\n# The learning rate is 0.1 before step 100,000 and 0.01 from there.\n",
                "[model]\ncontext = ",
                $context,
                "\nembed = ",
                $embed,
                "\nhidden = [",
                $hidden,
                "]\ninit = \"unit-normal\"\noutput_scale = 1.0\n\n[train]\nsteps = ",
                $steps,
                "\nbatch = ",
                $batch,
                "\nlr = 0.1\nlr_drops = ",
                $drops,
                "\n"
            ),
        }
    };
}

#[rustfmt::skip]
const ALL: &[Preset] = &[
    Preset {
        name: "default",
        about: "context 3, 6 features, 200 neurons, 200,000 steps: 001's best row, drawn more carefully",
        source: "001, tuning table",
        toml: "# Nothing: every setting has its default. They are 001's best row with kaiming-normal parameters\n\
               # and the last weight times 0.1, so that the first loss is that of ignorance.\n",
    },
    Preset {
        name: "bigram",
        about: "counts of pairs of characters, plus one",
        source: "000, the bigram it starts from",
        toml: "# Counts of pairs, each plus one: what note 000's single layer learns by gradient descent.\n\
               [model]\nkind = \"ngram\"\norder = 2\nsmoothing = \"add-k\"\nk = 1.0\n",
    },
    Preset {
        name: "kneser-ney",
        about: "counts up to five characters, modified Kneser-Ney smoothing: the baseline to beat",
        source: "none of them",
        toml: "# The honest baseline: trained in one pass, in about a second.\n\
               [model]\nkind = \"ngram\"\norder = 5\nsmoothing = \"kneser-ney\"\n",
    },
    file!("single-layer", "one matrix over one-hot input, full batch, 200 steps", "000"),
    file!("mlp-2d", "a 2-dimensional embedding and 300 neurons, 1,000 steps", "000"),
    file!("deep-batchnorm", "context 8, six hidden layers of 200 with BatchNorm, 50,000 steps", "000"),
    file!("bengio", "the MLP as its cells define it: 32 features, 16 neurons", "001"),
    file!("bengio-printed", "the MLP its printed outputs belong to: 50 features, 2 neurons", "001"),
    file!("shakespeare-perceptron", "one matrix and a bias over one-hot input on tiny-shakespeare", "002"),
    file!("shakespeare-mlp", "one-hot input and 128 gelu neurons on tiny-shakespeare", "002"),
    file!("shakespeare-columns", "the same, each drawn tensor normalized along dimension 0", "002"),
    file!("layers", "Linear, BatchNorm, Tanh, Linear with a three-stage learning rate", "003"),
    file!("wavenet", "a tree over eight characters, three stages of 128 with BatchNorm, 200,000 steps", "the WaveNet lecture"),
    file!("makemore-transformer", "four layers of 64 with four heads on whole words", "makemore, --type transformer"),
    file!("makemore-bow", "the mean of all characters so far, and an mlp of 64", "makemore, --type bow"),
    file!("microgpt", "one layer of 16 with four heads, one name a step, 4,192 parameters", "microgpt"),
    file!("nanogpt-cpu", "nanoGPT's characters on a CPU: four layers of 128, 64 characters, 2,000 steps", "nanoGPT"),
    file!("nanogpt-gpu", "nanoGPT's characters on a GPU: six layers of 384, 256 characters, 5,000 steps", "nanoGPT"),
    file!("manual-backprop", "the net whose backward pass is written by hand, 12,297 parameters", "004"),
    file!("makemore-bigram", "makemore's table of pairs, by gradients: 729 parameters", "makemore"),
    file!("makemore-mlp", "makemore's mlp: sixteen characters, 64 features, 64 neurons", "makemore"),
    file!("makemore-rnn", "makemore's rnn: 64 features, a state of 64", "makemore"),
    file!("makemore-gru", "makemore's gru: 64 features, a state of 64", "makemore"),
    file!("char-rnn", "an LSTM of 2 x 128 on one-hot input, for tiny-shakespeare", "char-rnn"),
    file!("names-gru", "a gru of 192 with dropout, 15 passes: a teacher of names-best", "charloom's own"),
    file!("names-lstm", "an lstm of 160 with dropout, 15 passes: a teacher of names-best", "charloom's own"),
    file!("names-transformer", "a transformer of 4 x 96 with dropout, 30 passes: a member of names-mix", "charloom's own"),
    file!("names-best", "names.txt: an lstm of 224 that learns from others; docs/recipes.md", "charloom's own"),
    file!("shakespeare-lstm", "two lstm layers of 256 with dropout, 22 passes: the teacher of shakespeare-best", "charloom's own"),
    file!("shakespeare-best", "tiny-shakespeare: two lstm layers of 384 that learn from another; docs/recipes.md", "charloom's own"),
    //       name        context hidden embed steps batch  drops          loss
    tuning!("tuning-01", 4,  10, 30, 200000, 16, "[[0.5, 0.1]]",  "2.3414"),
    tuning!("tuning-02", 4,  10,  2,  20000, 16, "[]",            "2.5306"),
    tuning!("tuning-03", 4,  10,  4, 200000,  2, "[[0.5, 0.1]]",  "2.3566"),
    tuning!("tuning-04", 2,  10,  4, 200000, 16, "[[0.5, 0.1]]",  "2.3719"),
    tuning!("tuning-05", 3,  10,  4, 200000, 16, "[[0.5, 0.1]]",  "2.3340"),
    tuning!("tuning-06", 3, 100, 10, 200000, 32, "[[0.5, 0.1]]",  "2.1759"),
    tuning!("tuning-07", 3, 100, 20, 200000,  8, "[[0.5, 0.1]]",  "2.1759"),
    tuning!("tuning-08", 3, 500,  5, 200000, 32, "[[0.5, 0.1]]",  "2.1734"),
    tuning!("tuning-09", 3,  80,  4, 200000, 32, "[[0.5, 0.1]]",  "2.2322"),
    tuning!("tuning-10", 4, 300, 14, 400000, 40, "[[0.25, 0.1]]", "2.1812"),
    tuning!("tuning-11", 3, 200,  6, 200000, 32, "[[0.5, 0.1]]",  "2.1625"),
    tuning!("tuning-12", 3,  20,  6, 200000, 32, "[[0.5, 0.1]]",  "2.2723"),
    tuning!("tuning-13", 3, 300,  6, 200000, 32, "[[0.5, 0.1]]",  "2.1847"),
    tuning!("tuning-14", 3, 220,  6, 200000, 32, "[[0.5, 0.1]]",  "2.1871"),
    tuning!("tuning-15", 3, 180,  6, 200000, 32, "[[0.5, 0.1]]",  "2.1850"),
];

/// Every preset.
#[must_use]
pub fn all() -> &'static [Preset] {
    ALL
}

/// The preset of this name.
///
/// # Errors
/// The name is unknown; the nearest known one is suggested.
///
/// ```
/// use charloom::{Config, models, presets};
///
/// let preset = presets::get("bengio")?;
/// println!("{}: {}", preset.name, preset.about);
/// let config = Config::layered(Some(preset.toml), None)?;
/// assert_eq!(models::parameters(&config, 27)?, Some(2875));
/// let misspelt = presets::get("bengoi").unwrap_err().to_string();
/// assert!(misspelt.contains("did you mean \"bengio\"?"));
/// # Ok::<(), charloom::Error>(())
/// ```
pub fn get(name: &str) -> Result<&'static Preset> {
    all().iter().find(|preset| preset.name == name).ok_or_else(|| {
        let names: Vec<&str> = all().iter().map(|preset| preset.name).collect();
        let hint = match nearest(name, &names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "see 'charloom presets'".to_owned(),
        };
        Error::setting("preset", format!("{name:?} is unknown; {hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::config::Batch;

    fn config(name: &str) -> Config {
        Config::layered(Some(get(name).unwrap().toml), None).unwrap()
    }

    #[test]
    fn every_preset_is_valid_and_named_once() {
        for preset in all() {
            config(preset.name).validate().unwrap();
            assert_eq!(all().iter().filter(|other| other.name == preset.name).count(), 1, "{}", preset.name);
        }
        assert_eq!(config("default"), Config::default());
    }

    #[test]
    fn sizes_are_the_notebooks() {
        for (name, vocab, parameters) in [
            ("single-layer", 27, 729),
            ("mlp-2d", 27, 10_281),
            ("deep-batchnorm", 27, 224_097),
            ("bengio-printed", 27, 1_733),
            ("manual-backprop", 27, 12_297),
            ("shakespeare-perceptron", 65, 65 * 65 + 65),
            ("tuning-11", 27, 9_389),
            ("wavenet", 27, 76_579),
            ("makemore-bigram", 27, 729),
            // Ours has no embedding for the position before the beginning.
            ("makemore-mlp", 27, 69_147 - 64),
            ("makemore-rnn", 27, 11_803),
            ("makemore-gru", 27, 28_443),
            ("char-rnn", 65, 240_321),
            ("makemore-transformer", 27, 204_544),
            ("makemore-bow", 27, 12_827),
            ("microgpt", 27, 4_192),
            ("nanogpt-cpu", 65, 804_096),
            ("nanogpt-gpu", 65, 10_745_088),
            ("names-transformer", 27, 454_272),
            ("names-best", 27, 238_107),
            ("shakespeare-lstm", 65, 1_086_017),
            ("shakespeare-best", 65, 2_415_425),
        ] {
            assert_eq!(crate::models::parameters(&config(name), vocab).unwrap(), Some(parameters), "{name}");
        }
    }

    #[test]
    fn tuning_drops_the_rate_at_step_100_000() {
        let rows: Vec<Config> = (1..=15).map(|row| config(&format!("tuning-{row:02}"))).collect();
        for row in &rows {
            let at: Vec<f64> = row.train.lr_drops.iter().map(|(at, _)| at * row.train.steps as f64).collect();
            let wanted: &[f64] = if row.train.steps > 100_000 { &[100_000.0] } else { &[] };
            assert_eq!(at, wanted);
        }
        assert_eq!(rows[9].train.batch, Batch::Size(40));
        assert_eq!(crate::models::context(&rows[3].model).unwrap(), 2);
        assert_eq!(config("bigram").model.kind, "ngram");
    }

    #[test]
    fn a_misspelt_name_is_met_with_the_right_one() {
        assert!(get("bengoi").unwrap_err().to_string().contains("did you mean \"bengio\"?"));
    }
}
