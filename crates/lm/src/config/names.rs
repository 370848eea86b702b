//! The settings that are one of a few words.

/// Declares an enum whose variants are words in a configuration file and on the command line.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The words, in the order of declaration.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word of this value.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> std::result::Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{word:?} is none of {}", Self::WORDS.join(", "))),
                }
            }
        }
    };
}

words! {
    /// Which order the words are put in before they are split.
    Shuffle {
        /// As CPython's `random.seed(split_seed); random.shuffle(words)`.
        Python = "python",
        /// As `torch.randperm` with a generator seeded with `split_seed`.
        Torch = "torch",
        /// As in the file.
        None = "none",
    }
}

words! {
    /// The kinds of model.
    ModelKind {
        /// Embedding (or one-hot), hidden layers, logits.
        Mlp = "mlp",
        /// One weight matrix over one-hot input.
        Linear = "linear",
        /// Counts.
        Ngram = "ngram",
    }
}

words! {
    /// The non-linearity after a hidden layer.
    Activation {
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// max(0, x).
        Relu = "relu",
        /// x Phi(x), the exact one.
        Gelu = "gelu",
    }
}

words! {
    /// What stands between a hidden layer's linear map and its activation.
    Norm {
        /// Nothing.
        None = "none",
        /// `BatchNorm1d`.
        Batch = "batch",
        /// `LayerNorm`.
        Layer = "layer",
    }
}

words! {
    /// How parameters are drawn.
    Init {
        /// Everything standard normal, biases too.
        UnitNormal = "unit-normal",
        /// Weights normal times gain / sqrt(fan-in), biases zero.
        KaimingNormal = "kaiming-normal",
        /// The defaults of `nn.Embedding` and `nn.Linear`.
        Torch = "torch",
        /// Standard normal, each tensor divided by its norm along dimension 0.
        UnitColumns = "unit-columns",
    }
}

words! {
    /// How an n-gram model treats what it has seen rarely or never.
    Smoothing {
        /// (count + k) / (total + k V).
        AddK = "add-k",
        /// Modified, interpolated Kneser-Ney.
        KneserNey = "kneser-ney",
    }
}

words! {
    /// What turns gradients into updates.
    Optimizer {
        /// Gradient descent, with momentum if asked for.
        Sgd = "sgd",
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
    }
}

words! {
    /// How the learning rate moves over the run.
    Schedule {
        /// Not at all.
        Constant = "constant",
        /// By the factors of `lr_drops`.
        Drops = "drops",
        /// Half a cosine down to 0.
        Cosine = "cosine",
        /// A straight line down to 0.
        Linear = "linear",
        /// Warm-up, stable, decay: constant until the last `decay` of the run, then straight down to 0.
        Wsd = "wsd",
    }
}

words! {
    /// What a file of data is.
    Mode {
        /// One word a line.
        Lines = "lines",
        /// One running text.
        Text = "text",
    }
}

words! {
    /// A Unicode normalization form.
    Normalize {
        /// Composed: one character where there is one.
        Nfc = "nfc",
        /// Decomposed, and compatibility forms replaced.
        Nfkd = "nfkd",
    }
}

words! {
    /// Where the random numbers of sampled words come from.
    Stream {
        /// Word i has a generator of its own, so that a larger n only extends the list.
        Words = "words",
        /// One generator word after word, a category by torch's cumulative rule: what notebooks printed.
        Torch = "torch",
    }
}
