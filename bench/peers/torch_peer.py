"""PyTorch, eager or compiled: torch_peer.py eager|compiled THREADS.

Eager: functional calls, `autograd.grad` and one `_foreach` update. Compiled: the whole step, gradients and update
included, as one graph. Both are the fastest way that we found.
"""

import sys

import torch
import torch.nn.functional as F

import common

MODE, THREADS = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(THREADS)
NAMES = 10_000
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class Case:
    def __init__(self, case, data):
        torch.manual_seed(1)
        self.case, self.data = case, data
        self.x, self.y = torch.from_numpy(data.contexts), torch.from_numpy(data.targets)
        tensors = {name: torch.from_numpy(w) for name, w in data.weights.items()}
        self.buffers = {name: t for name, t in tensors.items() if "running" in name}
        self.params = {name: t.requires_grad_(MODE == "eager") for name, t in tensors.items() if "running" not in name}
        self.layers = common.layers(case)
        self.activation = {"tanh": torch.tanh, "relu": F.relu, "gelu": F.gelu}[case["activation"]]
        self.full = case["batch"] == 0
        # The notebook encodes its examples once, before its loop.
        self.encoded = self.inputs(self.params, self.x).float() if self.full else None
        self.adam = case["optimizer"] == "adamw"
        if MODE == "compiled":
            self.count = torch.zeros(())
            self.moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in self.params.items()}
            self.step, self.forward = torch.compile(self.compiled_step), torch.compile(self.logits)
        else:
            self.step, self.forward = self.eager_step, self.logits
            if self.adam:
                self.optimizer = torch.optim.AdamW(
                    self.params.values(), lr=case["lr"], weight_decay=case["weight_decay"], foreach=True
                )

    def inputs(self, params, x):
        if self.case["embed"]:
            return F.embedding(x, params["embedding.weight"]).flatten(1)
        return F.one_hot(x, self.case["vocab"]).flatten(1).float()

    def hidden(self, params, h, training, statistics=None):
        """Logits. With `statistics` a batch norm stores the batch's there, since torch.func cannot update buffers."""
        for kind, name, bias in self.layers:
            if kind == "linear":
                h = F.linear(h, params[name + ".weight"], params[name + ".bias"] if bias else None)
            elif kind == "batch":
                mean, var = name + ".running_mean", name + ".running_var"
                old = (self.buffers[mean], self.buffers[var])
                if statistics is not None:
                    statistics[mean], statistics[var], old = h.mean(0), h.var(0), (None, None)
                h = F.batch_norm(h, *old, params[name + ".weight"], params[name + ".bias"], training)
            elif kind == "layer":
                h = F.layer_norm(h, h.shape[1:], params[name + ".weight"], params[name + ".bias"])
            elif kind == "activation":
                h = self.activation(h)
            else:
                h = F.dropout(h, self.case["dropout"], training)
        return h

    def logits(self, params, x):
        return self.hidden(params, self.inputs(params, x), False)

    def loss(self, params, ix, statistics=None):
        x, y = (self.encoded, self.y) if self.full else (self.inputs(params, self.x[ix]), self.y[ix])
        return F.cross_entropy(self.hidden(params, x, True, statistics), y)

    def eager_step(self, ix):
        params = list(self.params.values())
        loss = self.loss(self.params, ix)
        grads = torch.autograd.grad(loss, params)
        if self.adam:
            for p, g in zip(params, grads):
                p.grad = g
            self.optimizer.step()
        else:
            with torch.no_grad():
                torch._foreach_add_(params, grads, alpha=-self.case["lr"])
        return loss

    def compiled_step(self, ix):
        def loss_of(params):
            statistics = {}
            return self.loss(params, ix, statistics), statistics

        grads, (loss, statistics) = torch.func.grad_and_value(loss_of, has_aux=True)(self.params)
        lr = self.case["lr"]
        self.count += 1
        for name, p in self.params.items():
            g = grads[name]
            if self.adam:
                p.mul_(1 - lr * self.case["weight_decay"])
                m, v = self.moments[name]
                m.lerp_(g, 1 - BETA1)
                v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
                g = (m / (1 - BETA1**self.count)) / ((v / (1 - BETA2**self.count)).sqrt() + EPS)
            p.sub_(g, alpha=lr)
        for name, new in statistics.items():
            self.buffers[name].lerp_(new, 0.1)
        return loss

    def run(self, task, n):
        if task == "check":
            for i in range(n):
                loss = self.step(torch.from_numpy(self.data.batches[i]))
            return loss.item()
        if task == "step":
            size = (self.case["batch"],)
            for _ in range(n):
                loss = self.step(torch.randint(0, len(self.x), size))
            return loss.item()
        with torch.no_grad():
            for _ in range(n):
                value = getattr(self, task)()
        return value

    def evaluate(self):
        return F.cross_entropy(self.forward(self.params, self.x), self.y).item()

    def score(self):
        word, count = common.words(self.data)
        log_probs = F.log_softmax(self.forward(self.params, self.x), 1)
        log_probs = log_probs.gather(1, self.y[:, None])[:, 0]
        return torch.zeros(count).index_add_(0, torch.from_numpy(word), log_probs).mean().item()

    def sample(self):
        total = 0
        for _ in range(NAMES):
            context = [0] * self.case["context"]
            for _ in range(500):
                probs = F.softmax(self.forward(self.params, torch.tensor([context])), 1)
                token = torch.multinomial(probs, 1).item()
                if token == 0:
                    break
                total += 1
                context = context[1:] + [token]
        return total / NAMES

    def sample_batched(self):
        context = torch.zeros((NAMES, self.case["context"]), dtype=torch.int64)
        total, length = 0, 0
        while len(context) and length < 500:
            probs = F.softmax(self.logits(self.params, context), 1)
            token = torch.multinomial(probs, 1)
            going = token[:, 0] != 0
            context = torch.cat([context[:, 1:], token], 1)[going]
            total += len(context)
            length += 1
        return total / NAMES


common.serve(f"{torch.__version__} {MODE}, threads: {THREADS}", Case)
