//! burn with its flex backend, as a peer in the comparison.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use burn::module::{Module, Param, RunningState};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm,
    LayerNormConfig, Linear, LinearConfig,
};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::{gelu, log_softmax, relu, softmax, tanh};
use burn::tensor::{Device, Int, Tensor, TensorData};
use protocol::{Case, Layer, Outcome, Peer, Random, Task, Weight, read_u32};

const NAMES: usize = 10_000;

/// The modules of a case, each kind in order.
#[derive(Module, Debug)]
struct Net {
    embedding: Option<Embedding>,
    linears: Vec<Linear>,
    batch_norms: Vec<BatchNorm>,
    layer_norms: Vec<LayerNorm>,
    dropout: Option<Dropout>,
}

struct Burn {
    case: Case,
    layers: Vec<Layer>,
    device: Device,
    /// Taken out during a step, since the optimizer takes the net by value and returns a new one.
    net: Option<Net>,
    optimizer: ModuleOptimizer,
    contexts: Vec<u32>,
    targets: Vec<u32>,
    /// The examples of the first steps.
    batches: Vec<u32>,
    random: Random,
    /// All inputs and targets, in a case whose batch is all examples.
    full: Option<(Tensor<2>, Tensor<1, Int>)>,
}

/// The initial parameters and buffers by name.
struct Weights(HashMap<String, Weight>);

impl Weights {
    fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let weight = &self.0[name];
        Tensor::from_data(TensorData::new(weight.data.clone(), weight.shape.clone()), device)
    }

    /// A linear layer; burn's weight is (in, out).
    fn linear(&self, name: &str, bias: bool, device: &Device) -> Linear {
        let weight: Tensor<2> = self.tensor(&format!("{name}.weight"), device);
        let [outputs, inputs] = weight.dims();
        let mut linear = LinearConfig::new(inputs, outputs).with_bias(bias).init(device);
        let by_inputs = Tensor::from_data(weight.transpose().into_data(), device);
        linear.weight = Param::from_tensor(by_inputs);
        if bias {
            linear.bias = Some(Param::from_tensor(self.tensor(&format!("{name}.bias"), device)));
        }
        linear
    }
}

impl Peer for Burn {
    fn open(case: &Case) -> Result<Self, String> {
        let device = Device::flex().autodiff();
        let weights = case.read_weights().map_err(|e| e.to_string())?;
        let weights = Weights(weights.into_iter().map(|weight| (weight.name.clone(), weight)).collect());
        let mut net = Net {
            embedding: (case.embed > 0).then(|| {
                let mut embedding = EmbeddingConfig::new(case.vocab, case.embed).init(&device);
                embedding.weight = Param::from_tensor(weights.tensor("embedding.weight", &device));
                embedding
            }),
            linears: Vec::new(),
            batch_norms: Vec::new(),
            layer_norms: Vec::new(),
            dropout: (case.dropout > 0.0).then(|| DropoutConfig::new(case.dropout).init()),
        };
        let layers = case.layers();
        for layer in &layers {
            match layer {
                Layer::Linear { name, bias } => net.linears.push(weights.linear(name, *bias, &device)),
                Layer::BatchNorm { name } => {
                    let of = |what: &str| weights.tensor::<1>(&format!("{name}.{what}"), &device);
                    let mut norm = BatchNormConfig::new(of("weight").dims()[0]).init(&device);
                    norm.gamma = Param::from_tensor(of("weight"));
                    norm.beta = Param::from_tensor(of("bias"));
                    norm.running_mean = RunningState::new(of("running_mean"));
                    norm.running_var = RunningState::new(of("running_var"));
                    net.batch_norms.push(norm);
                }
                Layer::LayerNorm { name } => {
                    let of = |what: &str| weights.tensor::<1>(&format!("{name}.{what}"), &device);
                    let mut norm = LayerNormConfig::new(of("weight").dims()[0]).init(&device);
                    norm.gamma = Param::from_tensor(of("weight"));
                    norm.beta = Some(Param::from_tensor(of("bias")));
                    net.layer_norms.push(norm);
                }
                Layer::Activation | Layer::Dropout => {}
            }
        }
        let read = |path| read_u32(path).map_err(|e| e.to_string());
        let mut burn = Self {
            layers,
            net: Some(net),
            optimizer: match case.optimizer.as_str() {
                "sgd" => SgdConfig::new().init(),
                _ => AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(case.weight_decay as f32).init(),
            },
            contexts: read(&case.contexts)?,
            targets: read(&case.targets)?,
            batches: read(&case.batches)?,
            random: Random::new(),
            full: None,
            case: case.clone(),
            device,
        };
        if case.batch == 0 {
            let all: Vec<u32> = (0..case.examples as u32).collect();
            let (x, y) = burn.batch(&all, &burn.device);
            let net = burn.net.as_ref().ok_or("no net")?;
            burn.full = Some((burn.inputs(net, x), y));
        }
        Ok(burn)
    }

    fn run(&mut self, task: Task, n: u64) -> Result<Outcome, String> {
        Outcome::of(|| Ok(self.value(task, n)))
    }
}

impl Burn {
    fn batch(&self, drawn: &[u32], device: &Device) -> (Tensor<2, Int>, Tensor<1, Int>) {
        let t = self.case.context;
        let contexts: Vec<u32> =
            drawn.iter().flat_map(|&i| &self.contexts[i as usize * t..][..t]).copied().collect();
        let targets: Vec<u32> = drawn.iter().map(|&i| self.targets[i as usize]).collect();
        let x = indices(&contexts, [drawn.len(), t], device);
        (x, indices(&targets, [drawn.len()], device))
    }

    fn inputs(&self, net: &Net, x: Tensor<2, Int>) -> Tensor<2> {
        match &net.embedding {
            Some(embedding) => embedding.forward(x).flatten(1, 2),
            None => x.one_hot::<3>(self.case.vocab).float().flatten(1, 2),
        }
    }

    fn logits(&self, net: &Net, mut x: Tensor<2>) -> Tensor<2> {
        let (mut linears, mut batch, mut layer) =
            (net.linears.iter(), net.batch_norms.iter(), net.layer_norms.iter());
        for kind in &self.layers {
            x = match kind {
                Layer::Linear { .. } => linears.next().expect("one for each").forward(x),
                Layer::BatchNorm { .. } => batch.next().expect("one for each").forward(x),
                Layer::LayerNorm { .. } => layer.next().expect("one for each").forward(x),
                Layer::Activation => match self.case.activation.as_str() {
                    "tanh" => tanh(x),
                    "relu" => relu(x),
                    _ => gelu(x),
                },
                Layer::Dropout => net.dropout.as_ref().expect("made above").forward(x),
            };
        }
        x
    }

    fn step(&mut self, drawn: &[u32]) -> Tensor<1> {
        let net = self.net.take().expect("put back below");
        let (inputs, y) = match &self.full {
            Some(full) => full.clone(),
            None => {
                let (x, y) = self.batch(drawn, &self.device);
                (self.inputs(&net, x), y)
            }
        };
        let loss = CrossEntropyLossConfig::new().init(&self.device).forward(self.logits(&net, inputs), y);
        let grads = GradientsParams::from_grads(loss.backward(), &net);
        self.net = Some(self.optimizer.step(self.case.lr, net, grads));
        loss
    }

    fn value(&mut self, task: Task, n: u64) -> f64 {
        let mut value = f64::NAN;
        let batch = self.case.batch;
        let mut drawn = vec![0; batch];
        for i in 0..n as usize {
            value = match task {
                Task::Check => {
                    drawn.copy_from_slice(&self.batches[i * batch..][..batch]);
                    f64::from(self.step(&drawn).into_scalar::<f32>())
                }
                Task::Step => {
                    self.random.fill(&mut drawn, self.case.examples);
                    let loss = self.step(&drawn);
                    // The loss is read only after the last step, as the other peers do.
                    if i + 1 == n as usize { f64::from(loss.into_scalar::<f32>()) } else { value }
                }
                Task::Evaluate => -self.log_probs().iter().sum::<f64>() / self.case.examples as f64,
                Task::Score => {
                    let words = self.targets.iter().filter(|&&target| target == 0).count();
                    self.log_probs().iter().sum::<f64>() / words as f64
                }
                Task::Sample => self.sample(1),
                Task::SampleBatched => self.sample(NAMES),
            };
        }
        value
    }

    fn valid(&self) -> (Net, Device) {
        (self.net.as_ref().expect("put back").valid(), Device::flex())
    }

    /// The logarithm of the probability of each example's target.
    fn log_probs(&self) -> Vec<f64> {
        let (net, device) = self.valid();
        let all: Vec<u32> = (0..self.case.examples as u32).collect();
        let (x, y) = self.batch(&all, &device);
        let log_probs = log_softmax(self.logits(&net, self.inputs(&net, x)), 1);
        let log_probs = log_probs.gather(1, y.reshape([self.case.examples, 1])).into_data();
        log_probs.iter::<f32>().map(f64::from).collect()
    }

    /// The mean length of words that are drawn `at_once` at a time.
    fn sample(&mut self, at_once: usize) -> f64 {
        let (net, device) = self.valid();
        let t = self.case.context;
        let mut characters = 0;
        for _ in 0..NAMES / at_once {
            let mut contexts = vec![0; at_once * t];
            for _ in 0..500 {
                let rows = contexts.len() / t;
                if rows == 0 {
                    break;
                }
                let x = indices(&contexts, [rows, t], &device);
                let probs = softmax(self.logits(&net, self.inputs(&net, x)), 1).into_data();
                let probs: Vec<f32> = probs.iter::<f32>().collect();
                contexts = self.random.next_contexts(&contexts, &probs, t);
                characters += contexts.len() / t;
            }
        }
        characters as f64 / NAMES as f64
    }
}

/// Whole numbers as a tensor.
fn indices<const D: usize>(data: &[u32], shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    let data: Vec<i32> = data.iter().map(|&i| i as i32).collect();
    Tensor::from_data(TensorData::new(data, shape), device)
}

fn main() -> std::io::Result<()> {
    protocol::serve::<Burn>("burn 0.22.1, flex, gemm with AVX-512")
}
