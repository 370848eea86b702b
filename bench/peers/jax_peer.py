"""JAX: the whole step, from the batch to the update, under jit with its state donated; on one core."""

import os

# Before importing jax, since XLA then sizes its thread pools by the number of cores.
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np

import common

NAMES = 10_000
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class Case:
    def __init__(self, case, data):
        self.case, self.data = case, data
        self.layers = common.layers(case)
        self.x, self.y = jnp.asarray(data.contexts, jnp.int32), jnp.asarray(data.targets, jnp.int32)
        weights = {name: jnp.asarray(w) for name, w in data.weights.items()}
        self.params = {name: w for name, w in weights.items() if "running" not in name}
        self.buffers = {name: w for name, w in weights.items() if "running" in name}
        self.moments = jax.tree.map(jnp.zeros_like, (self.params, self.params))
        self.key, self.count = jax.random.key(1), jnp.zeros((), jnp.int32)
        self.activation = {
            "tanh": jnp.tanh,
            "relu": jax.nn.relu,
            "gelu": lambda h: jax.nn.gelu(h, approximate=False),
        }[case["activation"]]
        self.jit_step = jax.jit(self.step, donate_argnums=0)
        self.jit_given = jax.jit(self.given, donate_argnums=0)
        self.jit_losses = jax.jit(self.losses)
        self.jit_probs = jax.jit(lambda params, buffers, x: jax.nn.softmax(self.forward(params, buffers, x, None)[0]))

    def forward(self, params, buffers, x, key):
        """Logits and running statistics; in training mode if there is a key."""
        case, new = self.case, dict(buffers)
        if case["embed"]:
            h = params["embedding.weight"][x].reshape(len(x), -1)
        else:
            h = jax.nn.one_hot(x, case["vocab"]).reshape(len(x), -1)
        for i, (kind, name, bias) in enumerate(self.layers):
            if kind == "linear":
                h = h @ params[name + ".weight"].T
                h = h + params[name + ".bias"] if bias else h
            elif kind in ("batch", "layer"):
                mean, var = name + ".running_mean", name + ".running_var"
                if kind == "layer":
                    m, v = h.mean(1, keepdims=True), h.var(1, keepdims=True)
                elif key is None:
                    m, v = buffers[mean], buffers[var]
                else:
                    m, v = h.mean(0), h.var(0)
                    new[mean] = 0.9 * buffers[mean] + 0.1 * m
                    new[var] = 0.9 * buffers[var] + 0.1 * v * len(h) / (len(h) - 1)
                h = (h - m) * jax.lax.rsqrt(v + 1e-5) * params[name + ".weight"] + params[name + ".bias"]
            elif kind == "activation":
                h = self.activation(h)
            elif key is not None:
                keep = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - case["dropout"], h.shape)
                h = jnp.where(keep, h / (1 - case["dropout"]), 0)
        return h, new

    def given(self, state, all_x, all_y, ix):
        params, buffers, (first, second), key, count = state
        key, dropout = jax.random.split(key)
        x, y = (all_x, all_y) if self.case["batch"] == 0 else (all_x[ix], all_y[ix])

        def loss_of(params):
            logits, new = self.forward(params, buffers, x, dropout)
            log_probs = jax.nn.log_softmax(logits)
            return -jnp.take_along_axis(log_probs, y[:, None], 1).mean(), new

        (loss, buffers), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
        lr, count = self.case["lr"], count + 1
        if self.case["optimizer"] == "sgd":
            params = jax.tree.map(lambda p, g: p - lr * g, params, grads)
        else:
            decay = 1 - lr * self.case["weight_decay"]
            first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, grads)
            second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, grads)
            one, two = 1 - BETA1**count, 1 - BETA2**count
            params = jax.tree.map(
                lambda p, m, v: p * decay - lr * (m / one) / (jnp.sqrt(v / two) + EPS), params, first, second
            )
        return (params, buffers, (first, second), key, count), loss

    def step(self, state, all_x, all_y):
        params, buffers, moments, key, count = state
        key, draw = jax.random.split(key)
        ix = jax.random.randint(draw, (self.case["batch"],), 0, len(all_x))
        return self.given((params, buffers, moments, key, count), all_x, all_y, ix)

    def losses(self, params, buffers, x, y):
        log_probs = jax.nn.log_softmax(self.forward(params, buffers, x, None)[0])
        return -jnp.take_along_axis(log_probs, y[:, None], 1)[:, 0]

    def run(self, task, n):
        state = (self.params, self.buffers, self.moments, self.key, self.count)
        if task in ("check", "step"):
            for i in range(n):
                if task == "step":
                    state, loss = self.jit_step(state, self.x, self.y)
                else:
                    state, loss = self.jit_given(state, self.x, self.y, jnp.asarray(self.data.batches[i], jnp.int32))
            self.params, self.buffers, self.moments, self.key, self.count = jax.block_until_ready(state)
            return loss
        for _ in range(n):
            value = getattr(self, task)()
        return value

    def evaluate(self):
        return self.jit_losses(self.params, self.buffers, self.x, self.y).mean()

    def score(self):
        word, count = common.words(self.data)
        return -np.bincount(word, np.asarray(self.jit_losses(self.params, self.buffers, self.x, self.y)), count).mean()

    def sample(self):
        raise common.Absent("one word at a time; see sample-batched")

    def sample_batched(self):
        """Words that have ended stay in the batch and are ignored, since jit needs a fixed shape."""
        random = np.random.default_rng(1)
        context = np.zeros((NAMES, self.case["context"]), np.int32)
        going, total = np.ones(NAMES, bool), 0
        for _ in range(500):
            probs = np.asarray(self.jit_probs(self.params, self.buffers, jnp.asarray(context)))
            token = (probs.cumsum(1) < random.random((NAMES, 1))).sum(1).clip(max=probs.shape[1] - 1)
            going &= token != 0
            total += going.sum()
            if not going.any():
                break
            context = np.concatenate([context[:, 1:], token[:, None]], 1).astype(np.int32)
        return total / NAMES


common.serve(f"jax {jax.__version__}", Case)
