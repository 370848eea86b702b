//! candle, as a peer of family.py: its own modules, its automatic derivatives and its optimizers.
//!
//! candle has no recurrent net with tanh and no attention that can be trained, and its fused norms have no
//! backward pass: these are made here of its linear layers and operations, as in its own models. Its gru and
//! lstm have two biases for a gate, as in PyTorch.
#![forbid(unsafe_code)]

use candle_core::{D, Device, Result, Tensor};
use candle_nn::batch_norm::{BatchNorm, batch_norm};
use candle_nn::init::Init;
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW, SGD};
use candle_nn::rnn::{GRU, GRUConfig, GRUState, LSTM, LSTMConfig, LSTMState, RNN, gru, lstm};
use candle_nn::{
    Embedding, LayerNorm, LayerNormConfig, Linear, Module, ModuleT, RmsNorm, VarBuilder, VarMap, embedding,
    layer_norm, linear_b, loss, ops, rms_norm,
};
use protocol::family::{Batch, Case, Model, Net, serve};

/// A recurrent layer: h = tanh(input(x) + hidden(h)).
struct Tanh {
    input: Linear,
    hidden: Linear,
}

impl RNN for Tanh {
    type State = GRUState;

    fn zero_state(&self, batch: usize) -> Result<GRUState> {
        let h =
            Tensor::zeros((batch, self.hidden.weight().dim(0)?), self.hidden.weight().dtype(), &Device::Cpu)?;
        Ok(GRUState { h })
    }

    fn step(&self, input: &Tensor, state: &GRUState) -> Result<GRUState> {
        Ok(GRUState { h: (self.input.forward(input)? + self.hidden.forward(&state.h)?)?.tanh()? })
    }

    fn states_to_tensor(&self, states: &[GRUState]) -> Result<Tensor> {
        Tensor::stack(&states.iter().map(|state| state.h.clone()).collect::<Vec<_>>(), 1)
    }
}

/// A recurrent layer, and its state after the last step.
enum Recurrent {
    Tanh(Tanh, Option<GRUState>),
    Gru(GRU, Option<GRUState>),
    Lstm(LSTM, Option<LSTMState>),
}

/// The outputs of a layer, (rows, columns, width), and its last state.
fn run<R: RNN>(layer: &R, x: &Tensor, begin: Option<&R::State>) -> Result<(Tensor, Option<R::State>)> {
    let (rows, columns, _) = x.dims3()?;
    let begin = begin.map_or_else(|| layer.zero_state(rows), |state| Ok(state.clone()))?;
    let states = layer.seq_init(x, &begin)?;
    Ok((layer.states_to_tensor(&states)?.reshape((rows, columns, ()))?, states.last().cloned()))
}

impl Recurrent {
    fn new(kind: &str, m: usize, n: usize, vb: VarBuilder) -> Result<Self> {
        Ok(match kind {
            "gru" => Self::Gru(gru(m, n, GRUConfig::default(), vb)?, None),
            "lstm" => Self::Lstm(lstm(m, n, LSTMConfig::default(), vb)?, None),
            _ => {
                let (input, hidden) =
                    (linear_b(m, n, true, vb.pp("input"))?, linear_b(n, n, true, vb.pp("hidden"))?);
                Self::Tanh(Tanh { input, hidden }, None)
            }
        })
    }

    fn forward(&mut self, x: &Tensor, goes_on: bool) -> Result<Tensor> {
        let detached = |state: GRUState| GRUState { h: state.h.detach() };
        match self {
            Self::Tanh(layer, state) => {
                let (y, last) = run(layer, x, state.as_ref().filter(|_| goes_on))?;
                *state = last.map(detached);
                Ok(y)
            }
            Self::Gru(layer, state) => {
                let (y, last) = run(layer, x, state.as_ref().filter(|_| goes_on))?;
                *state = last.map(detached);
                Ok(y)
            }
            Self::Lstm(layer, state) => {
                let (y, last) = run(layer, x, state.as_ref().filter(|_| goes_on))?;
                *state = last.map(|state| LSTMState::new(state.h.detach(), state.c.detach()));
                Ok(y)
            }
        }
    }
}

enum Norm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    fn new(model: &Model, vb: VarBuilder) -> Result<Self> {
        let width = model.embed;
        Ok(match model.norm.as_str() {
            "rms" if model.norm_weight => Self::Rms(rms_norm(width, 1e-5, vb)?),
            // Its weights are ones and are not trained.
            "rms" => Self::Rms(RmsNorm::new(Tensor::ones(width, vb.dtype(), &Device::Cpu)?, 1e-5)),
            _ => {
                let config = LayerNormConfig { eps: 1e-5, affine: model.bias, ..LayerNormConfig::default() };
                Self::Layer(layer_norm(width, config, vb)?)
            }
        })
    }

    /// By the operations that have a backward pass, as the modules' fused ones do not.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Layer(norm) => match norm.bias() {
                Some(bias) => ops::layer_norm_slow(x, norm.weight(), bias, 1e-5),
                None => norm.forward(x),
            },
            Self::Rms(norm) => norm.forward_diff(x),
        }
    }
}

struct Block {
    norms: [Norm; 2],
    qkv: Linear,
    projection: Linear,
    inner: Linear,
    outer: Linear,
}

struct Transformer {
    positions: Embedding,
    first: Option<Norm>,
    blocks: Vec<Block>,
    last: Option<Norm>,
    /// Added to the scores: 0, or minus infinity for later positions.
    mask: Tensor,
    heads: usize,
    relu: bool,
}

impl Transformer {
    fn new(model: &Model, context: usize, vb: VarBuilder) -> Result<Self> {
        let (c, bias) = (model.embed, model.bias);
        let linear = |m, n, name: String| linear_b(m, n, bias, vb.pp(name));
        let norm = |name: String| Norm::new(model, vb.pp(name));
        let block = |i| {
            Ok(Block {
                norms: [norm(format!("{i}.norm_1"))?, norm(format!("{i}.norm_2"))?],
                qkv: linear(c, 3 * c, format!("{i}.qkv"))?,
                projection: linear(c, c, format!("{i}.ends.projection"))?,
                inner: linear(c, 4 * c, format!("{i}.inner"))?,
                outer: linear(4 * c, c, format!("{i}.ends.outer"))?,
            })
        };
        let mask =
            (0..context * context).map(|i| if i % context > i / context { f32::NEG_INFINITY } else { 0.0 });
        Ok(Self {
            positions: embedding(context, c, vb.pp("positions"))?,
            first: model.embed_norm.then(|| norm("norm".to_owned())).transpose()?,
            blocks: (0..model.layers).map(block).collect::<Result<_>>()?,
            last: (!model.embed_norm).then(|| norm("norm".to_owned())).transpose()?,
            mask: Tensor::from_iter(mask, &Device::Cpu)?.reshape((context, context))?,
            heads: model.heads,
            relu: model.activation == "relu",
        })
    }

    fn attention(&self, block: &Block, x: &Tensor) -> Result<Tensor> {
        let (b, t, c) = x.dims3()?;
        let qkv = block.qkv.forward(x)?.reshape((b, t, 3, self.heads, c / self.heads))?;
        let part = |i| qkv.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let scores = (part(0)?.matmul(&part(1)?.t()?)? * (self.heads as f64 / c as f64).sqrt())?;
        let weights = ops::softmax(&scores.broadcast_add(&self.mask)?, D::Minus1)?;
        block.projection.forward(&weights.matmul(&part(2)?)?.transpose(1, 2)?.reshape((b, t, c))?)
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.broadcast_add(self.positions.embeddings())?;
        if let Some(norm) = &self.first {
            x = norm.forward(&x)?;
        }
        for block in &self.blocks {
            x = (&x + self.attention(block, &block.norms[0].forward(&x)?)?)?;
            let y = block.inner.forward(&block.norms[1].forward(&x)?)?;
            x = (&x + block.outer.forward(&if self.relu { y.relu()? } else { y.gelu_erf()? })?)?;
        }
        self.last.as_ref().map_or(Ok(x.clone()), |norm| norm.forward(&x))
    }
}

enum Body {
    Mlp(Vec<(Linear, Option<BatchNorm>)>),
    WaveNet(Vec<(Linear, BatchNorm)>),
    Recurrent(Vec<Recurrent>),
    Transformer(Transformer),
}

impl Body {
    /// The input of the output layer, (rows, width).
    fn forward(&mut self, x: Tensor, goes_on: bool) -> Result<Tensor> {
        match self {
            Self::Mlp(layers) => layers.iter().try_fold(x.flatten_from(1)?, |x, (linear, norm)| {
                let x = linear.forward(&x)?;
                norm.as_ref().map_or(Ok(x.clone()), |norm| norm.forward_t(&x, true))?.tanh()
            }),
            Self::WaveNet(layers) => {
                let x = layers.iter().try_fold(x, |x, (linear, norm)| {
                    let (b, t, c) = x.dims3()?;
                    let y = linear.forward(&x.reshape((b * t / 2, 2 * c))?)?;
                    norm.forward_t(&y, true)?.tanh()?.reshape((b, t / 2, ()))
                })?;
                x.squeeze(1)
            }
            Self::Recurrent(layers) => {
                layers.iter_mut().try_fold(x, |x, layer| layer.forward(&x, goes_on))?.flatten_to(1)
            }
            Self::Transformer(transformer) => transformer.forward(&x)?.flatten_to(1),
        }
    }
}

enum Optimize {
    Sgd(SGD),
    AdamW(AdamW),
}

struct Candle {
    embedding: Embedding,
    body: Body,
    output: Linear,
    optimize: Optimize,
    parameters: usize,
}

impl Candle {
    fn open(case: &Case, vocab: usize, context: usize) -> Result<Self> {
        let model = &case.model;
        let vars = VarMap::new();
        let vb = VarBuilder::from_varmap(&vars, candle_core::DType::F32, &Device::Cpu);
        let tokens = embedding(vocab, model.embed, vb.pp("tokens"))?;
        let named = |i: usize| vb.pp(format!("layers.{i}"));
        let hidden = model.hidden.last().copied().unwrap_or(model.embed);
        let body = match model.kind.as_str() {
            "mlp" => {
                let batch = model.norm == "batch";
                let layer = |(i, (m, n))| {
                    let norm = batch.then(|| batch_norm(n, 1e-5, named(i).pp("norm"))).transpose()?;
                    Ok((linear_b(m, n, !batch, named(i))?, norm))
                };
                let widths = model.widths(context * model.embed, &model.hidden);
                Body::Mlp(widths.into_iter().enumerate().map(layer).collect::<Result<_>>()?)
            }
            "wavenet" => {
                let layer = |(i, (m, n))| {
                    Ok((linear_b(2 * m, n, false, named(i))?, batch_norm(n, 1e-5, named(i).pp("norm"))?))
                };
                let widths = model.widths(model.embed, &vec![hidden; context.ilog2() as usize]);
                Body::WaveNet(widths.into_iter().enumerate().map(layer).collect::<Result<_>>()?)
            }
            "transformer" => Body::Transformer(Transformer::new(model, context, vb.pp("transformer"))?),
            kind => {
                let layer = |(i, (m, n))| Recurrent::new(kind, m, n, named(i));
                let widths = model.widths(model.embed, &vec![hidden; model.layers]);
                Body::Recurrent(widths.into_iter().enumerate().map(layer).collect::<Result<_>>()?)
            }
        };
        let output = match model.tie {
            true => Linear::new(tokens.embeddings().clone(), None),
            false => linear_b(hidden, vocab, model.kind != "transformer", vb.pp("output"))?,
        };
        let mut trained = Vec::new();
        for (name, var) in vars.data().lock().expect("nobody panicked").iter() {
            if name.contains("running") {
                continue;
            }
            trained.push(var.clone());
            // Initialized as in PyTorch, or as the case's transformer.
            let init = match (var.dims(), model.kind.as_str()) {
                (&[_, _], "transformer") => {
                    let (stdev, end) = model.deviations();
                    Init::Randn { mean: 0.0, stdev: if name.contains(".ends.") { end } else { stdev } }
                }
                (&[_, inputs], _) if !name.contains("tokens") => {
                    let bound = 1.0 / (inputs as f64).sqrt();
                    Init::Uniform { lo: -bound, up: bound }
                }
                _ => continue,
            };
            var.set(init.var(var.shape(), var.dtype(), var.device())?.as_tensor())?;
        }
        let parameters = trained.iter().map(|var| var.elem_count()).sum();
        let adam = ParamsAdamW { lr: case.train.lr, weight_decay: 0.01, ..ParamsAdamW::default() };
        let optimize = match case.train.optimizer.as_str() {
            "sgd" => Optimize::Sgd(SGD::new(trained, case.train.lr)?),
            _ => Optimize::AdamW(AdamW::new(trained, adam)?),
        };
        Ok(Self { embedding: tokens, body, output, optimize, parameters })
    }

    fn train(&mut self, batch: Batch) -> Result<f32> {
        let x = Tensor::from_vec(batch.x, (batch.rows, batch.columns), &Device::Cpu)?;
        let rows = batch.y.len();
        let y = Tensor::from_vec(batch.y, rows, &Device::Cpu)?;
        let mut h = self.body.forward(self.embedding.forward(&x)?, batch.goes_on)?;
        if let Some(judged) = batch.judged {
            h = h.index_select(&Tensor::from_vec(judged, rows, &Device::Cpu)?, 0)?;
        }
        let loss = loss::cross_entropy(&self.output.forward(&h)?, &y)?;
        match &mut self.optimize {
            Optimize::Sgd(sgd) => sgd.backward_step(&loss)?,
            Optimize::AdamW(adam) => adam.backward_step(&loss)?,
        }
        loss.to_scalar()
    }
}

impl Net for Candle {
    fn new(case: &Case, vocab: usize, context: usize) -> std::result::Result<Self, String> {
        Self::open(case, vocab, context).map_err(|e| e.to_string())
    }

    fn parameters(&self) -> usize {
        self.parameters
    }

    fn step(&mut self, batch: Batch) -> std::result::Result<f32, String> {
        self.train(batch).map_err(|e| e.to_string())
    }
}

fn main() -> std::io::Result<()> {
    serve::<Candle>("candle 0.11.1, gemm with AVX-512")
}
