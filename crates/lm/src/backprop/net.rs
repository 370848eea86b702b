//! The forward pass of notebook 004: one line of it, one line here, one node on the tape.

use charloom_tensor::rng::TorchGenerator;
use charloom_tensor::{Element, Graph, Id, Indices, Tape};

use super::{Matrix, Terms};
use crate::config::{Activation, Batch, Config, Init, ModelKind, Norm};
use crate::{Error, Result};

/// What is added to a variance, so that its inverse root is finite.
pub const EPS: f64 = 1e-5;

/// The most numbers in one term: the lesson keeps some sixty of them.
const MAX_NUMBERS: usize = 1 << 22;

/// How large the net is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// V, the characters.
    pub vocab: usize,
    /// T, the characters of a context.
    pub context: usize,
    /// E, the features of a character.
    pub embed: usize,
    /// H, the hidden units.
    pub hidden: usize,
    /// B, the examples of a step.
    pub batch: usize,
}

impl Sizes {
    /// The sizes of a configuration with a vocabulary of `vocab` characters.
    ///
    /// # Errors
    /// A configuration of another net than the lesson's: an embedding, one hidden layer, BatchNorm, tanh.
    pub fn of(config: &Config, vocab: usize) -> Result<Self> {
        let model = &config.model;
        let refuse = |flag: &str, wanted: &str| {
            Err(Error::usage(format!(
                "{flag}: the hand-written backward is for 004's net, {wanted}; see --preset manual-backprop"
            )))
        };
        if model.kind != ModelKind::Mlp {
            return refuse("--model", "an mlp");
        }
        if model.norm != Norm::Batch {
            return refuse("--norm", "with batch");
        }
        if model.activation != Activation::Tanh {
            return refuse("--activation", "with tanh");
        }
        if model.embed == 0 {
            return refuse("--embed", "with an embedding of at least 1");
        }
        if model.dropout > 0.0 {
            return refuse("--dropout", "without dropout");
        }
        if model.init != Init::KaimingNormal {
            return refuse("--init", "drawn kaiming-normal");
        }
        let &[hidden] = model.hidden.as_slice() else { return refuse("--hidden", "of one hidden layer") };
        let Batch::Size(batch) = config.train.batch else {
            return refuse("--batch", "on a minibatch of at least 2 examples");
        };
        config.validate()?;
        config.validate_sizes(vocab)?;
        // The products cannot overflow: both sizes are validated.
        let (inputs, widest) = (model.context * model.embed, hidden.max(vocab));
        let numbers = (batch * inputs.max(widest)).max(inputs * hidden).max(hidden * vocab);
        if numbers > MAX_NUMBERS {
            return Err(Error::usage(format!(
                "--batch {batch}, --hidden {hidden}: a term of the lesson would have {numbers} numbers, the limit is \
                 {MAX_NUMBERS}; choose smaller sizes"
            )));
        }
        Ok(Self { vocab, context: model.context, embed: model.embed, hidden, batch })
    }
}

/// The parameters' numbers, row-major.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the parameter of its name in Terms, which has the shapes")]
pub struct Parameters {
    pub c: Vec<f64>,
    pub w1: Vec<f64>,
    pub b1: Vec<f64>,
    pub w2: Vec<f64>,
    pub b2: Vec<f64>,
    pub bn_gain: Vec<f64>,
    pub bn_bias: Vec<f64>,
}

impl Parameters {
    /// Draws them in the notebook's order and by its factors.
    ///
    /// The biases are drawn too, and BatchNorm's gain is 1.1: at 0 and 1 many a wrong formula looks right.
    /// `gain` is tanh's 5/3, and `output_scale / sqrt(H)` the notebook's 0.1.
    pub fn draw(sizes: &Sizes, gain: f64, output_scale: f64, generator: &mut TorchGenerator) -> Self {
        let inputs = sizes.context * sizes.embed;
        let mut randn = |n: usize, times: f64, over: f64| {
            let mut drawn = vec![0.0f32; n];
            generator.randn_f32(&mut drawn);
            drawn.iter().map(|x| f64::from(x * times as f32 / over as f32)).collect::<Vec<f64>>()
        };
        Self {
            c: randn(sizes.vocab * sizes.embed, 1.0, 1.0),
            w1: randn(inputs * sizes.hidden, gain, (inputs as f64).sqrt()),
            b1: randn(sizes.hidden, 0.1, 1.0),
            w2: randn(sizes.hidden * sizes.vocab, output_scale / (sizes.hidden as f64).sqrt(), 1.0),
            b2: randn(sizes.vocab, 0.1, 1.0),
            bn_gain: vec![f64::from(1.0f32 * 0.1 + 1.0); sizes.hidden],
            bn_bias: vec![0.0; sizes.hidden],
        }
    }
}

/// The net on a tape, each intermediate a node of its own with a gradient.
pub struct Net<E: Element> {
    tape: Tape<E>,
    terms: Terms<Id>,
    loss: Id,
    graph: Graph,
    contexts: Indices,
    targets: Indices,
}

impl<E: Element> Net<E> {
    /// Records the forward pass on a batch.
    ///
    /// # Shapes
    /// contexts (B, T), targets (B)
    pub fn new(sizes: &Sizes, parameters: &Parameters, contexts: &[u32], targets: &[u32]) -> Self {
        let Sizes { vocab, context, embed: features, hidden, batch } = *sizes;
        let (inputs, n) = (context * features, batch as f64);
        let tape = Tape::new();
        let parameter = |name, shape: &[usize], data: &[f64]| {
            tape.parameter(name, shape, &data.iter().map(|&x| E::of(x)).collect::<Vec<E>>())
        };
        let c = parameter("C", &[vocab, features], &parameters.c);
        let w1 = parameter("W1", &[inputs, hidden], &parameters.w1);
        let b1 = parameter("b1", &[hidden], &parameters.b1);
        let w2 = parameter("W2", &[hidden, vocab], &parameters.w2);
        let b2 = parameter("b2", &[vocab], &parameters.b2);
        let bn_gain = parameter("bn_gain", &[1, hidden], &parameters.bn_gain);
        let bn_bias = parameter("bn_bias", &[1, hidden], &parameters.bn_bias);
        let x = tape.indices(&[batch, context], contexts);
        let y = tape.indices(&[batch, 1], targets);
        let mark = tape.mark();
        let var = |id| tape.var(id);

        // embedding
        let embed = var(c).embedding(x);
        let embed_cat = embed.reshape(&[batch, inputs]);
        // first linear layer
        let h_preact = embed_cat.matmul(var(w1)) + var(b1);
        // batch norm
        let bn_mean = h_preact.sum(&[0], true) * (1.0 / n);
        let bn_diff = h_preact - bn_mean;
        let bn_diff_sqr = bn_diff.powf(2.0);
        let bn_var = bn_diff_sqr.sum(&[0], true) * (1.0 / (n - 1.0));
        let bn_var_inv = (bn_var + EPS).powf(-0.5);
        let bn_raw = bn_diff * bn_var_inv;
        let h_preact_norm = var(bn_gain) * bn_raw + var(bn_bias);
        // non-linearity
        let h = h_preact_norm.tanh();
        // second linear layer
        let logits = h.matmul(var(w2)) + var(b2);
        // cross-entropy
        let logit_maxes = logits.max(&[1], true);
        let norm_logits = logits - logit_maxes;
        let counts = norm_logits.exp();
        let sum_counts = counts.sum(&[1], true);
        let sum_counts_inv = sum_counts.powf(-1.0);
        let probs = counts * sum_counts_inv;
        let log_probs = probs.log();
        let loss = -log_probs.gather(1, y).mean_all();

        let terms = Terms {
            log_probs: log_probs.id(),
            probs: probs.id(),
            sum_counts_inv: sum_counts_inv.id(),
            sum_counts: sum_counts.id(),
            counts: counts.id(),
            norm_logits: norm_logits.id(),
            logit_maxes: logit_maxes.id(),
            logits: logits.id(),
            h: h.id(),
            w2,
            b2,
            h_preact_norm: h_preact_norm.id(),
            bn_gain,
            bn_bias,
            bn_raw: bn_raw.id(),
            bn_var_inv: bn_var_inv.id(),
            bn_var: bn_var.id(),
            bn_diff_sqr: bn_diff_sqr.id(),
            bn_diff: bn_diff.id(),
            bn_mean: bn_mean.id(),
            h_preact: h_preact.id(),
            embed_cat: embed_cat.id(),
            w1,
            b1,
            embed: embed.id(),
            c,
        };
        let (loss, graph) = (loss.id(), tape.graph_since(mark));
        Self { tape, terms, loss, graph, contexts: x, targets: y }
    }

    /// Runs the forward pass on another batch of the same size.
    pub fn forward(&self, contexts: &[u32], targets: &[u32]) {
        self.tape.set_indices(self.contexts, |place| place.copy_from_slice(contexts));
        self.tape.set_indices(self.targets, |place| place.copy_from_slice(targets));
        self.tape.replay(self.graph);
    }

    /// The loss of the batch.
    ///
    /// # Units
    /// nats
    pub fn loss(&self) -> E {
        self.tape.var(self.loss).item()
    }

    /// The shape of each term.
    pub fn shapes(&self) -> Terms<Vec<usize>> {
        self.terms.map(|&id| self.tape.var(id).shape().dims().to_vec())
    }

    /// The values that the forward pass left.
    pub fn values(&self) -> Terms<Matrix<E>> {
        self.terms.map(|&id| self.matrix(id, self.tape.var(id).data()))
    }

    /// The gradients by the tape's backward pass.
    pub fn tape_gradients(&self) -> Terms<Matrix<E>> {
        self.tape.backward(self.loss);
        self.terms.map(|&id| self.matrix(id, self.tape.var(id).grad()))
    }

    /// One step of gradient descent, `p -= lr dp`, by gradients from wherever.
    pub fn step(&self, gradients: &Terms<Matrix<E>>, lr: f64) {
        let lr = E::of(lr);
        for (id, d) in self.parameter_ids().into_iter().zip(parameters(gradients)) {
            self.tape.set(id, |p| p.iter_mut().zip(d.data()).for_each(|(p, &d)| *p -= lr * d));
        }
    }

    /// The parameters' present numbers, one after the other.
    pub fn parameters(&self) -> Vec<E> {
        self.parameter_ids().into_iter().flat_map(|id| self.tape.var(id).data()).collect()
    }

    fn parameter_ids(&self) -> [Id; 7] {
        parameters(&self.terms).map(|id| *id)
    }

    /// A tensor as rows: all dimensions but the last are rows, and a vector is one row.
    fn matrix(&self, id: Id, data: Vec<E>) -> Matrix<E> {
        Matrix::new(self.tape.var(id).shape().last(), data)
    }
}

/// The parameters among the terms, in the order of their declaration.
pub(super) fn parameters<X>(terms: &Terms<X>) -> [&X; 7] {
    [&terms.c, &terms.w1, &terms.b1, &terms.w2, &terms.b2, &terms.bn_gain, &terms.bn_bias]
}
