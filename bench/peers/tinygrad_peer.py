"""tinygrad: the whole step under TinyJit; on one core. Its CPU device needs clang.

NumPy indexes the batch, since tinygrad's indexing reads all of the data.
"""

import importlib.metadata
import os

os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numpy as np
from tinygrad import Context, Tensor, TinyJit, dtypes
from tinygrad.helpers import TRAINING
from tinygrad.nn.optim import SGD, AdamW

import common

NAMES = 10_000


class Case:
    def __init__(self, case, data):
        Tensor.manual_seed(1)
        self.case, self.data = case, data
        self.layers = common.layers(case)
        self.contexts, self.targets = data.contexts.astype(np.int32), data.targets.astype(np.int32)
        self.x, self.y = Tensor(self.contexts).realize(), Tensor(self.targets).realize()
        self.random = np.random.default_rng(1)
        weights = {name: Tensor(w).contiguous().realize() for name, w in data.weights.items()}
        self.params = {name: w for name, w in weights.items() if "running" not in name}
        self.buffers = {name: w for name, w in weights.items() if "running" in name}
        params = list(self.params.values())
        for buffer in self.buffers.values():
            buffer.is_param_(False)
        if case["optimizer"] == "sgd":
            self.optimizer = SGD(params, lr=case["lr"])
        else:
            self.optimizer = AdamW(params, lr=case["lr"], eps=1e-8, weight_decay=case["weight_decay"])
        self.jit_step = TinyJit(self.step)
        self.jit_probs = TinyJit(lambda x: self.forward(x).softmax().realize())
        self.jit_losses = TinyJit(lambda: self.losses().realize())

    def forward(self, x):
        case = self.case
        if case["embed"]:
            h = self.params["embedding.weight"][x].flatten(1)
        else:
            h = x.one_hot(case["vocab"]).flatten(1).cast(dtypes.float32)
        for kind, name, bias in self.layers:
            if kind == "linear":
                h = h.linear(self.params[name + ".weight"].T, self.params[name + ".bias"] if bias else None)
            elif kind in ("batch", "layer"):
                mean, var = name + ".running_mean", name + ".running_var"
                if kind == "layer":
                    m = h.mean(1, keepdim=True)
                    v = (h - m).square().mean(1, keepdim=True)
                elif not TRAINING:
                    m, v = self.buffers[mean], self.buffers[var]
                else:
                    m = h.mean(0)
                    v = (h - m).square().mean(0)
                    rows = h.shape[0]
                    self.buffers[mean].assign(0.9 * self.buffers[mean] + 0.1 * m.detach())
                    self.buffers[var].assign(0.9 * self.buffers[var] + 0.1 * rows / (rows - 1) * v.detach())
                h = (h - m) * (v + 1e-5).rsqrt() * self.params[name + ".weight"] + self.params[name + ".bias"]
            elif kind == "activation":
                h = {"tanh": h.tanh, "relu": h.relu, "gelu": lambda: h.gelu("none")}[
                    case["activation"]
                ]()
            else:
                h = h.dropout(case["dropout"])
        return h

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = self.forward(x).sparse_categorical_crossentropy(y).backward()
        return loss.realize(*self.optimizer.schedule_step(), *self.buffers.values())

    def losses(self):
        log_probs = self.forward(self.x).log_softmax()
        return -log_probs.gather(1, self.y.unsqueeze(1)).squeeze(1)

    def batch(self, ix):
        if self.case["batch"] == 0:
            return self.x, self.y
        if ix is None:
            ix = self.random.integers(0, self.case["examples"], self.case["batch"])
        return Tensor(self.contexts[ix]).realize(), Tensor(self.targets[ix]).realize()

    def run(self, task, n):
        if task in ("check", "step"):
            with Context(TRAINING=1):
                for i in range(n):
                    loss = self.jit_step(*self.batch(self.data.batches[i] if task == "check" else None))
            return loss.item()
        for _ in range(n):
            value = getattr(self, task)()
        return value

    def evaluate(self):
        return self.jit_losses().numpy().mean()

    def score(self):
        word, count = common.words(self.data)
        return -np.bincount(word, self.jit_losses().numpy(), count).mean()

    def sample(self):
        raise common.Absent("one word at a time; see sample-batched")

    def sample_batched(self):
        """Words that have ended stay in the batch and are ignored, since the jit needs a fixed shape."""
        context = np.zeros((NAMES, self.case["context"]), np.int32)
        going, total = np.ones(NAMES, bool), 0
        for _ in range(500):
            probs = self.jit_probs(Tensor(context).realize()).numpy()
            token = (probs.cumsum(1) < self.random.random((NAMES, 1))).sum(1).clip(max=probs.shape[1] - 1)
            going &= token != 0
            total += going.sum()
            if not going.any():
                break
            context = np.concatenate([context[:, 1:], token[:, None]], 1).astype(np.int32)
        return total / NAMES


common.serve(f"tinygrad {importlib.metadata.version('tinygrad')}", Case)
