//! The forward pass of notebook 004: each of its lines is a line here and a node of the recording.

use charloom_tensor::rng::TorchGenerator;
use charloom_tensor::{Element, Grads, Indices, NodeId, ParamId, Params, Pass, Recording, Tape, Var};

use super::{Matrix, Terms};
use crate::config::{Activation, Batch, Config, Init, Norm};
use crate::models::MlpSettings;
use crate::{Error, Result};

/// What is added to a variance, so that its inverse root is finite.
pub const EPS: f64 = 1e-5;

/// The most elements of one term: some sixty tensors of such sizes are in memory.
const MAX_NUMBERS: usize = 1 << 22;

/// The sizes of the net.
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
        let refuse = |key: &str, wanted: &str| {
            Err(Error::setting(
                key,
                format!(
                    ": the hand-written backward is for 004's net, {wanted}; see ``preset`` manual-backprop"
                ),
            ))
        };
        let Some(model) = MlpSettings::of(&config.model)? else { return refuse("model", "an mlp") };
        if model.norm != Norm::Batch {
            return refuse("norm", "with batch");
        }
        if model.activation != Activation::Tanh {
            return refuse("activation", "with tanh");
        }
        if model.embed == 0 {
            return refuse("embed", "with an embedding of at least 1");
        }
        if model.dropout > 0.0 {
            return refuse("dropout", "without dropout");
        }
        if model.init != Init::KaimingNormal {
            return refuse("init", "drawn kaiming-normal");
        }
        let &[hidden] = model.hidden.as_slice() else { return refuse("hidden", "of one hidden layer") };
        let Batch::Size(batch) = config.train.batch else {
            return refuse("batch", "on a minibatch of at least 2 examples");
        };
        config.validate()?;
        crate::models::check_sizes(config, vocab)?;
        // The products cannot overflow: both sizes are validated.
        let (inputs, widest) = (model.context * model.embed, hidden.max(vocab));
        let numbers = (batch * inputs.max(widest)).max(inputs * hidden).max(hidden * vocab);
        if numbers > MAX_NUMBERS {
            return Err(Error::setting(
                "batch",
                format!(
                    "{batch}, ``hidden`` {hidden}: a term of the lesson would have {numbers} numbers, the limit is \
                 {MAX_NUMBERS}; choose smaller sizes"
                ),
            ));
        }
        Ok(Self { vocab, context: model.context, embed: model.embed, hidden, batch })
    }
}

/// The parameters' values, row-major.
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
    /// The biases are drawn too, and BatchNorm's gain is 1.1: with 0 and 1 many wrong formulas give right
    /// results. `gain` is tanh's 5/3, and `output_scale / sqrt(H)` is the notebook's 0.1.
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

/// The net, each intermediate a node of its own with a gradient.
pub struct Net<E: Element> {
    params: Params<E>,
    recording: Recording<E>,
    grads: Grads<E>,
    terms: Terms<TermId>,
    loss: NodeId,
    contexts: Indices,
    targets: Indices,
}

/// The parameter or the node of a term.
#[derive(Clone, Copy)]
enum TermId {
    Parameter(ParamId),
    Node(NodeId),
}

impl<E: Element> Net<E> {
    /// Records the forward pass, and runs it on a batch.
    ///
    /// # Shapes
    /// contexts (B, T), targets (B)
    pub fn new(sizes: &Sizes, parameters: &Parameters, contexts: &[u32], targets: &[u32]) -> Self {
        let Sizes { vocab, context, embed, hidden, batch } = *sizes;
        let mut params = Params::new();
        let mut add = |name, shape: &[usize], data: &[f64]| {
            params.add(name, shape, &data.iter().map(|&x| E::of(x)).collect::<Vec<E>>())
        };
        let ids = [
            add("C", &[vocab, embed], &parameters.c),
            add("W1", &[context * embed, hidden], &parameters.w1),
            add("b1", &[hidden], &parameters.b1),
            add("W2", &[hidden, vocab], &parameters.w2),
            add("b2", &[vocab], &parameters.b2),
            add("bn_gain", &[1, hidden], &parameters.bn_gain),
            add("bn_bias", &[1, hidden], &parameters.bn_bias),
        ];
        let (recording, (x, y, terms, loss)) = Recording::new(&params, |tape| {
            let x = tape.indices(&[batch, context], contexts);
            let y = tape.indices(&[batch, 1], targets);
            let (terms, loss) = forward_pass(tape, ids, x, y);
            (x, y, terms, loss)
        });
        let grads = Grads::zeros(&params);
        let mut net = Self { params, recording, grads, terms, loss, contexts: x, targets: y };
        net.recording.forward(&net.params, &Pass::training());
        net
    }

    /// Runs the forward pass on another batch of the same size.
    pub fn forward(&mut self, contexts: &[u32], targets: &[u32]) {
        self.recording.set_indices(self.contexts, |place| place.copy_from_slice(contexts));
        self.recording.set_indices(self.targets, |place| place.copy_from_slice(targets));
        self.recording.forward(&self.params, &Pass::training());
    }

    /// The loss of the batch.
    ///
    /// # Units
    /// nats
    pub fn loss(&self) -> E {
        self.recording.item(self.loss)
    }

    /// The shape of each term.
    pub fn shapes(&self) -> Terms<Vec<usize>> {
        self.terms.map(|&id| match id {
            TermId::Parameter(id) => self.params.entry(id).shape.dims().to_vec(),
            TermId::Node(id) => self.recording.shape(id).dims().to_vec(),
        })
    }

    /// The values that the forward pass left.
    pub fn values(&self) -> Terms<Matrix<E>> {
        self.terms.map(|&id| match id {
            TermId::Parameter(id) => Matrix::new(self.params.entry(id).shape.last(), self.params.read(id)),
            TermId::Node(id) => {
                let columns = self.recording.shape(id).last();
                self.recording.with_data(id, |data| Matrix::new(columns, data.to_vec()))
            }
        })
    }

    /// The gradients by the tape's backward pass.
    pub fn tape_gradients(&mut self) -> Terms<Matrix<E>> {
        let Self { params, recording, grads, .. } = self;
        recording.backward(params, grads, self.loss, &Pass::training());
        self.terms.map(|&id| match id {
            TermId::Parameter(id) => Matrix::new(params.entry(id).shape.last(), grads.read(params, id)),
            TermId::Node(id) => {
                let columns = recording.shape(id).last();
                recording.with_grad(id, |data| Matrix::new(columns, data.to_vec()))
            }
        })
    }

    /// One step of gradient descent, `p -= lr dp`, by the given gradients.
    pub fn step(&mut self, gradients: &Terms<Matrix<E>>, lr: f64) {
        let lr = E::of(lr);
        let ids: Vec<ParamId> = self.params.ids().collect();
        for (id, d) in ids.into_iter().zip(parameters(gradients)) {
            let range = self.params.entry(id).range();
            let values = &mut self.params.values_mut()[range];
            values.iter_mut().zip(d.data()).for_each(|(p, &d)| *p -= lr * d);
        }
    }

    /// The parameters' present values, one parameter after the other.
    pub fn parameters(&self) -> Vec<E> {
        self.params.ids().flat_map(|id| self.params.read(id)).collect()
    }
}

/// Records the forward pass; `ids` are the parameters in the order of [`parameters`].
fn forward_pass<E: Element>(
    tape: &Tape<'_, E>,
    ids: [ParamId; 7],
    x: Indices,
    y: Indices,
) -> (Terms<TermId>, NodeId) {
    let [c, w1, b1, w2, b2, bn_gain, bn_bias] = ids.map(|id| tape.param(id));
    let n = tape.indices_shape(x).dims()[0] as f64;

    // embedding
    let embed = c.embedding(x);
    let embed_cat = embed.flatten(1);
    // first linear layer
    let h_preact = embed_cat.matmul(w1) + b1;
    // batch norm
    let bn_mean = h_preact.sum(&[0], true) * (1.0 / n);
    let bn_diff = h_preact - bn_mean;
    let bn_diff_sqr = bn_diff.powf(2.0);
    let bn_var = bn_diff_sqr.sum(&[0], true) * (1.0 / (n - 1.0));
    let bn_var_inv = (bn_var + EPS).powf(-0.5);
    let bn_raw = bn_diff * bn_var_inv;
    let h_preact_norm = bn_gain * bn_raw + bn_bias;
    // non-linearity
    let h = h_preact_norm.tanh();
    // second linear layer
    let logits = h.matmul(w2) + b2;
    // cross-entropy
    let logit_maxes = logits.max(&[1], true);
    let norm_logits = logits - logit_maxes;
    let counts = norm_logits.exp();
    let sum_counts = counts.sum(&[1], true);
    let sum_counts_inv = sum_counts.powf(-1.0);
    let probs = counts * sum_counts_inv;
    let log_probs = probs.log();
    let loss = -log_probs.gather(1, y).mean_all();

    let node = |var: Var<'_, E>| TermId::Node(var.id());
    let [c, w1, b1, w2, b2, bn_gain, bn_bias] = ids.map(TermId::Parameter);
    let terms = Terms {
        log_probs: node(log_probs),
        probs: node(probs),
        sum_counts_inv: node(sum_counts_inv),
        sum_counts: node(sum_counts),
        counts: node(counts),
        norm_logits: node(norm_logits),
        logit_maxes: node(logit_maxes),
        logits: node(logits),
        h: node(h),
        w2,
        b2,
        h_preact_norm: node(h_preact_norm),
        bn_gain,
        bn_bias,
        bn_raw: node(bn_raw),
        bn_var_inv: node(bn_var_inv),
        bn_var: node(bn_var),
        bn_diff_sqr: node(bn_diff_sqr),
        bn_diff: node(bn_diff),
        bn_mean: node(bn_mean),
        h_preact: node(h_preact),
        embed_cat: node(embed_cat),
        w1,
        b1,
        embed: node(embed),
        c,
    };
    (terms, loss.id())
}

/// The parameters among the terms, in the order of their declaration.
fn parameters<X>(terms: &Terms<X>) -> [&X; 7] {
    [&terms.c, &terms.w1, &terms.b1, &terms.w2, &terms.b2, &terms.bn_gain, &terms.bn_bias]
}
