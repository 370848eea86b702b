//! burn with its flex backend, as a peer of family.py: its own modules and optimizers.
//!
//! burn's transformer always has biases and layer norms, so a block is made here of its attention, linear
//! layers and norms. A gate is two linear layers, each with a bias, as in PyTorch.
#![forbid(unsafe_code)]
#![expect(clippy::large_enum_variant, reason = "there is one model")]

use burn::module::{Initializer, Module, ModuleVisitor, Param};
use burn::nn::attention::{
    MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask,
};
use burn::nn::gru::{Gru, GruConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig,
    Lstm, LstmConfig, LstmState, RmsNorm, RmsNormConfig, Rnn, RnnConfig,
};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::{gelu, relu};
use burn::tensor::{Device, Int, Tensor, TensorData};
use protocol::family::{Batch, Case, Model, Net, serve};

#[derive(Module, Debug)]
enum Norm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    fn new(model: &Model, device: &Device) -> Self {
        match model.norm.as_str() {
            "rms" if model.norm_weight => Self::Rms(RmsNormConfig::new(model.embed).init(device)),
            // Its weights are ones and are not trained.
            "rms" => Self::Rms(RmsNormConfig::new(model.embed).init(device).no_grad()),
            _ => Self::Layer(LayerNormConfig::new(model.embed).with_bias(model.bias).init(device)),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Layer(norm) => norm.forward(x),
            Self::Rms(norm) => norm.forward(x),
        }
    }
}

#[derive(Module, Debug)]
struct Block {
    norm_1: Norm,
    attention: MultiHeadAttention,
    norm_2: Norm,
    inner: Linear,
    outer: Linear,
}

#[derive(Module, Debug)]
struct Transformer {
    positions: Embedding,
    first: Option<Norm>,
    blocks: Vec<Block>,
    last: Option<Norm>,
    relu: bool,
}

impl Transformer {
    fn new(model: &Model, context: usize, device: &Device) -> Self {
        let (stdev, end) = model.deviations();
        let normal = |std| Initializer::Normal { mean: 0.0, std };
        let (c, bias) = (model.embed, model.bias);
        let linear =
            |m, n, std| LinearConfig::new(m, n).with_bias(bias).with_initializer(normal(std)).init(device);
        let block = || {
            let attention = MultiHeadAttentionConfig::new(c, model.heads)
                .with_dropout(0.0)
                .with_initializer(normal(stdev))
                .with_query_bias(bias)
                .with_key_bias(bias)
                .with_value_bias(bias)
                .with_output_bias(bias);
            let mut attention = attention.init(device);
            attention.output = linear(c, c, end);
            Block {
                norm_1: Norm::new(model, device),
                attention,
                norm_2: Norm::new(model, device),
                inner: linear(c, 4 * c, stdev),
                outer: linear(4 * c, c, end),
            }
        };
        Self {
            positions: EmbeddingConfig::new(context, c).with_initializer(normal(stdev)).init(device),
            first: model.embed_norm.then(|| Norm::new(model, device)),
            blocks: (0..model.layers).map(|_| block()).collect(),
            last: (!model.embed_norm).then(|| Norm::new(model, device)),
            relu: model.activation == "relu",
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [rows, columns, _] = x.dims();
        let mask = generate_autoregressive_mask(rows, columns, &x.device());
        let mut x = x + self.positions.weight.val().unsqueeze::<3>();
        if let Some(norm) = &self.first {
            x = norm.forward(x);
        }
        for block in &self.blocks {
            let y = MhaInput::self_attn(block.norm_1.forward(x.clone())).mask_attn(mask.clone());
            x = x + block.attention.forward(y).context;
            let y = block.inner.forward(block.norm_2.forward(x.clone()));
            x = x + block.outer.forward(if self.relu { relu(y) } else { gelu(y) });
        }
        match &self.last {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}

/// A linear layer and the norm after it.
#[derive(Module, Debug)]
struct Normed {
    linear: Linear,
    norm: Option<BatchNorm>,
}

impl Normed {
    fn new(m: usize, n: usize, normed: bool, device: &Device) -> Self {
        let linear = LinearConfig::new(m, n).with_bias(!normed).init(device);
        Self { linear, norm: normed.then(|| BatchNormConfig::new(n).init(device)) }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = self.linear.forward(x);
        match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
        .tanh()
    }
}

#[derive(Module, Debug)]
enum Body {
    Mlp(Vec<Normed>),
    WaveNet(Vec<Normed>),
    Rnn(Vec<Rnn>),
    Gru(Vec<Gru>),
    Lstm(Vec<Lstm>),
    Transformer(Transformer),
}

#[derive(Module, Debug)]
struct Modules {
    embedding: Embedding,
    body: Body,
    /// `None` if the embedding is the output layer too.
    output: Option<Linear>,
}

impl Modules {
    fn new(model: &Model, vocab: usize, context: usize, device: &Device) -> Self {
        let hidden = model.hidden.last().copied().unwrap_or(model.embed);
        let layers = model.widths(model.embed, &vec![hidden; model.layers]).into_iter();
        let of_transformer = model.kind == "transformer";
        let body = match model.kind.as_str() {
            "mlp" => {
                let widths = model.widths(context * model.embed, &model.hidden).into_iter();
                Body::Mlp(widths.map(|(m, n)| Normed::new(m, n, model.norm == "batch", device)).collect())
            }
            "wavenet" => {
                let widths = model.widths(model.embed, &vec![hidden; context.ilog2() as usize]).into_iter();
                Body::WaveNet(widths.map(|(m, n)| Normed::new(2 * m, n, true, device)).collect())
            }
            "rnn" => Body::Rnn(layers.map(|(m, n)| RnnConfig::new(m, n, true).init(device)).collect()),
            "gru" => Body::Gru(layers.map(|(m, n)| GruConfig::new(m, n, true).init(device)).collect()),
            "lstm" => Body::Lstm(layers.map(|(m, n)| LstmConfig::new(m, n, true).init(device)).collect()),
            _ => Body::Transformer(Transformer::new(model, context, device)),
        };
        let (mut embedding, mut output) =
            (EmbeddingConfig::new(vocab, model.embed), LinearConfig::new(hidden, vocab));
        if of_transformer {
            let normal = Initializer::Normal { mean: 0.0, std: model.init_std };
            embedding = embedding.with_initializer(normal.clone());
            output = output.with_initializer(normal).with_bias(false);
        }
        let output = (!model.tie).then(|| output.init(device));
        Self { embedding: embedding.init(device), body, output }
    }

    /// The logits of the rows with a target; `state` is the initial state of lstms, replaced by their last
    /// one.
    fn forward(
        &self,
        x: Tensor<2, Int>,
        judged: Option<Tensor<1, Int>>,
        state: &mut Vec<Option<LstmState<2>>>,
    ) -> Tensor<2> {
        let x = self.embedding.forward(x);
        let h: Tensor<2> = match &self.body {
            Body::Mlp(layers) => layers.iter().fold(x.flatten(1, 2), |x, layer| layer.forward(x)),
            Body::WaveNet(layers) => {
                let x = layers.iter().fold(x, |x, layer| {
                    let [b, t, c] = x.dims();
                    let y = layer.forward(x.reshape([b * t / 2, 2 * c]));
                    let width = y.dims()[1];
                    y.reshape([b, t / 2, width])
                });
                x.squeeze_dim(1)
            }
            Body::Rnn(layers) => layers.iter().fold(x, |x, layer| layer.forward(x, None).0).flatten(0, 1),
            Body::Gru(layers) => layers.iter().fold(x, |x, layer| layer.forward(x, None)).flatten(0, 1),
            Body::Lstm(layers) => {
                state.resize_with(layers.len(), || None);
                let mut x = x;
                for (layer, state) in layers.iter().zip(state) {
                    let (y, last) = layer.forward(x, state.take());
                    *state = Some(LstmState::new(last.cell.detach(), last.hidden.detach()));
                    x = y;
                }
                x.flatten(0, 1)
            }
            Body::Transformer(transformer) => transformer.forward(x).flatten(0, 1),
        };
        let h = match judged {
            Some(judged) => h.select(0, judged),
            None => h,
        };
        match &self.output {
            Some(output) => output.forward(h),
            None => h.matmul(self.embedding.weight.val().transpose()),
        }
    }
}

/// Counts the trained parameters, which excludes running statistics and fixed ones.
struct Trained(usize);

impl ModuleVisitor for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.0 += param.shape().num_elements();
        }
    }
}

struct Burn {
    device: Device,
    /// Taken out during a step, since the optimizer takes the modules by value and returns new ones.
    modules: Option<Modules>,
    optimizer: ModuleOptimizer,
    lr: f64,
    parameters: usize,
    state: Vec<Option<LstmState<2>>>,
}

impl Net for Burn {
    fn new(case: &Case, vocab: usize, context: usize) -> Result<Self, String> {
        let device = Device::flex().autodiff();
        let model = &case.model;
        if case.is_text && ["rnn", "gru"].contains(&model.kind.as_str()) {
            return Err("burn's gru does not give its last state, to go on from".to_owned());
        }
        let modules = Modules::new(model, vocab, context, &device);
        let optimizer = match case.train.optimizer.as_str() {
            "sgd" => SgdConfig::new().init(),
            _ => AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).init(),
        };
        let mut trained = Trained(0);
        modules.visit(&mut trained);
        Ok(Self {
            device,
            modules: Some(modules),
            optimizer,
            lr: case.train.lr,
            parameters: trained.0,
            state: Vec::new(),
        })
    }

    fn parameters(&self) -> usize {
        self.parameters
    }

    fn step(&mut self, batch: Batch) -> Result<f32, String> {
        let judged = batch.judged.map(|judged| self.indices(judged));
        let x = self.indices(batch.x).reshape([batch.rows, batch.columns]);
        let y = self.indices(batch.y);
        if !batch.goes_on {
            self.state.clear();
        }
        let modules = self.modules.take().expect("put back below");
        let logits = modules.forward(x, judged, &mut self.state);
        let loss = CrossEntropyLossConfig::new().init(&self.device).forward(logits, y);
        let gradients = GradientsParams::from_grads(loss.backward(), &modules);
        self.modules = Some(self.optimizer.step(self.lr, modules, gradients));
        Ok(loss.into_scalar::<f32>())
    }
}

impl Burn {
    fn indices(&self, data: Vec<u32>) -> Tensor<1, Int> {
        let data: Vec<i32> = data.into_iter().map(|i| i as i32).collect();
        let shape = [data.len()];
        Tensor::from_data(TensorData::new(data, shape), &self.device)
    }
}

fn main() -> std::io::Result<()> {
    serve::<Burn>("burn 0.22.1, flex, gemm with AVX-512")
}
