//! The settings with a few choices.

use charloom_nn::Layer;

use crate::choices;

choices! {
    /// The non-linearity after a hidden layer.
    Activation {
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// max(0, x).
        Relu = "relu",
        /// x Phi(x), exactly.
        Gelu = "gelu",
        /// x Phi(x), approximated with tanh in place of the error function.
        GeluTanh = "gelu-tanh",
        /// max(0, x)^2.
        SquaredRelu = "squared-relu",
    }
}

choices! {
    /// What stands between a hidden layer's linear map and its activation.
    Norm {
        /// Nothing.
        None = "none",
        /// `BatchNorm1d`.
        Batch = "batch",
        /// `LayerNorm`.
        Layer = "layer",
        /// `RMSNorm`.
        Rms = "rms",
    }
}

choices! {
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
        /// As `normal`; projections into a transformer's residual stream are divided by sqrt(2 layers).
        Gpt = "gpt",
        /// Two-dimensional tensors normal with a given deviation, by default 0.02; biases 0, norms 1.
        Normal = "normal",
    }
}

choices! {
    /// How a transformer encodes the position of a token.
    Positions {
        /// A learned vector for each position, added to the token's.
        Learned = "learned",
        /// Queries and keys turned by angles that grow with the position.
        Rotary = "rotary",
        /// Not at all: only the causal mask of attention depends on the order.
        None = "none",
    }
}

choices! {
    /// How an n-gram model treats what it has seen rarely or never.
    Smoothing {
        /// (count + k) / (total + k V).
        AddK = "add-k",
        /// Modified, interpolated Kneser-Ney.
        KneserNey = "kneser-ney",
    }
}

choices! {
    /// How batches are drawn, for models that read sequences.
    Feed {
        /// Whole words, `batch` of them.
        Words = "words",
        /// `batch` streams of a running text, the next `context` tokens of each; states are carried on.
        Streams = "streams",
        /// `batch` pieces of a running text that begin anywhere, `context` tokens each.
        Random = "random",
    }
}

choices! {
    /// The rule that turns gradients into updates.
    Optimizer {
        /// Gradient descent, with momentum if asked for.
        Sgd = "sgd",
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
        /// Gradients divided by the root of their mean square.
        RmsProp = "rmsprop",
        /// Momentum made orthogonal for the weights of linear layers, AdamW for the rest.
        Muon = "muon",
    }
}

choices! {
    /// Which parameters weight decay is for.
    DecayOn {
        /// All.
        All = "all",
        /// Those of two dimensions, so neither biases nor norms.
        Matrices = "matrices",
    }
}

choices! {
    /// How the learning rate changes over the run.
    Schedule {
        /// Not at all.
        Constant = "constant",
        /// Multiplied by the factors of `lr_drops`.
        Drops = "drops",
        /// The rates of `lr_at`, each from its step on.
        Stages = "stages",
        /// Half a cosine down to `lr_min`.
        Cosine = "cosine",
        /// A straight line down to `lr_min`.
        Linear = "linear",
        /// Warm-up, stable, decay: constant, then over the last `decay` of the run straight down to `lr_min`.
        Wsd = "wsd",
    }
}

choices! {
    /// How many generators a run draws from.
    Generator {
        /// One draws the split, one parameters and minibatches, and samples have their own.
        Separate = "separate",
        /// One, seeded with `seed`, draws the split (if `shuffle` is torch), parameters, minibatches, then
        /// samples.
        Shared = "shared",
    }
}

choices! {
    /// Where the random numbers of sampled words come from.
    RandomStream {
        /// Word i has a generator of its own, so that a larger n only extends the list.
        Words = "words",
        /// One generator for word after word; tokens are drawn by torch's exponential rule, as `multinomial`
        /// draws today.
        Torch = "torch",
        /// One generator, tokens drawn by torch's cumulative rule: `multinomial(replacement=True)` before
        /// torch 2.0.
        TorchCdf = "torch-cdf",
    }
}

impl Activation {
    /// The layer that computes it.
    pub(crate) fn layer(self) -> Layer {
        match self {
            Self::Tanh => charloom_nn::Tanh.into(),
            Self::Relu => charloom_nn::Relu.into(),
            Self::Gelu => charloom_nn::Gelu.into(),
            Self::GeluTanh => charloom_nn::GeluTanh.into(),
            Self::SquaredRelu => charloom_nn::SquaredRelu.into(),
        }
    }
}

impl Init {
    /// The initialization in `charloom_nn`.
    pub(crate) fn to_nn(self) -> charloom_nn::Init {
        match self {
            Self::UnitNormal => charloom_nn::Init::UnitNormal,
            Self::KaimingNormal => charloom_nn::Init::KaimingNormal,
            Self::Torch => charloom_nn::Init::Torch,
            Self::UnitColumns => charloom_nn::Init::UnitColumns,
            Self::Gpt | Self::Normal => charloom_nn::Init::Normal(0.02),
        }
    }
}
