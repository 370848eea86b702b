"""JAX with flax's own modules and optax, as a peer of family.py. The whole step, from drawing the batch to the
update, is under jit with its state donated, on as many cores as there are threads.

flax's recurrent cells have one bias for a gate (in the GRU that of the input), where PyTorch's have two.
"""

import os

THREADS = int(os.environ["OMP_NUM_THREADS"])
# Before importing jax, since XLA then sizes its thread pools by the number of cores.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-THREADS:])

import flax
import jax
import jax.numpy as jnp
import optax
from flax import nnx

import family_common

# The initialization of PyTorch's linear layers.
KERNEL = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
STANDARD = nnx.initializers.normal(1)


def linear(inputs, outputs, rngs, bias=True, init=KERNEL):
    return nnx.Linear(inputs, outputs, use_bias=bias, kernel_init=init, rngs=rngs)


class Recurrent(nnx.Module):
    def __init__(self, vocab, rngs, kind, embed, hidden, layers, **_):
        cell = {"rnn": nnx.SimpleCell, "gru": nnx.GRUCell, "lstm": nnx.OptimizedLSTMCell}[kind]
        self.embedding = nnx.Embed(vocab, embed, embedding_init=STANDARD, rngs=rngs)
        widths = [embed] + [hidden[0]] * layers
        cells = [cell(m, n, rngs=rngs) for m, n in zip(widths, widths[1:])]
        # Unrolling over a word is faster in the plain rnn, and slower with gates.
        unroll = 16 if kind == "rnn" else 1
        self.layers = nnx.List(nnx.RNN(cell, return_carry=True, unroll=unroll, rngs=False) for cell in cells)
        self.output = linear(hidden[0], vocab, rngs)

    def begin(self, batch):
        return [layer.cell.initialize_carry((batch, layer.cell.in_features), nnx.Rngs(0)) for layer in self.layers]

    def __call__(self, x, carry):
        x, last = self.embedding(x), []
        for layer, carry in zip(self.layers, carry):
            carry, x = layer(x, initial_carry=carry)
            last.append(carry)
        return self.output(x), last


class Mlp(nnx.Module):
    def __init__(self, vocab, rngs, context, embed, hidden, norm, **_):
        self.embedding = nnx.Embed(vocab, embed, embedding_init=STANDARD, rngs=rngs)
        widths, plain = [context * embed] + hidden, norm == "none"
        self.linears = nnx.List(linear(m, n, rngs, bias=plain) for m, n in zip(widths, hidden))
        norm = (lambda n: lambda x: x) if plain else (lambda n: nnx.BatchNorm(n, momentum=0.9, rngs=rngs))
        self.norms = nnx.List(norm(n) for n in hidden)
        self.output = linear(hidden[-1], vocab, rngs)

    def __call__(self, x):
        x = self.embedding(x).reshape(len(x), -1)
        for layer, norm in zip(self.linears, self.norms):
            x = jnp.tanh(norm(layer(x)))
        return self.output(x)


class WaveNet(nnx.Module):
    def __init__(self, vocab, rngs, context, embed, hidden, **_):
        self.embedding = nnx.Embed(vocab, embed, embedding_init=STANDARD, rngs=rngs)
        widths = [embed] + hidden * (context.bit_length() - 1)
        self.linears = nnx.List(linear(2 * m, n, rngs, bias=False) for m, n in zip(widths, widths[1:]))
        self.norms = nnx.List(nnx.BatchNorm(n, momentum=0.9, rngs=rngs) for n in widths[1:])
        self.output = linear(hidden[0], vocab, rngs)

    def __call__(self, x):
        x = self.embedding(x)
        for layer, norm in zip(self.linears, self.norms):
            x = jnp.tanh(norm(layer(x.reshape(x.shape[0], x.shape[1] // 2, -1))))
        return self.output(x[:, 0])


class Block(nnx.Module):
    def __init__(self, norm, rngs, embed, heads, activation, bias, init, end):
        self.norm_1, self.norm_2 = norm(), norm()
        self.attention = nnx.MultiHeadAttention(
            heads, embed, use_bias=bias, kernel_init=init, out_kernel_init=end, decode=False, rngs=rngs
        )
        self.inner = linear(embed, 4 * embed, rngs, bias, init)
        self.outer = linear(4 * embed, embed, rngs, bias, end)
        self.activation = {"relu": nnx.relu, "gelu": lambda x: nnx.gelu(x, approximate=False)}[activation]

    def __call__(self, x, mask):
        x = x + self.attention(self.norm_1(x), mask=mask)
        return x + self.outer(self.activation(self.inner(self.norm_2(x))))


class Transformer(nnx.Module):
    def __init__(self, vocab, rngs, context, layers, heads, embed, norm, norm_weight, embed_norm, activation, bias, tie,
                 init, init_std, **_):
        # The last layer of a residual branch has a smaller deviation.
        end = nnx.initializers.normal(init_std / (2 * layers) ** 0.5 if init == "gpt" else init_std)
        init = nnx.initializers.normal(init_std)
        if norm == "rms":
            make = lambda: nnx.RMSNorm(embed, epsilon=1e-5, use_scale=norm_weight, rngs=rngs)
        else:
            make = lambda: nnx.LayerNorm(embed, epsilon=1e-5, use_bias=bias, rngs=rngs)
        self.tokens = nnx.Embed(vocab, embed, embedding_init=init, rngs=rngs)
        self.positions = nnx.Embed(context, embed, embedding_init=init, rngs=rngs)
        self.first = make() if embed_norm else None
        self.blocks = nnx.List(Block(make, rngs, embed, heads, activation, bias, init, end) for _ in range(layers))
        self.last = None if embed_norm else make()
        self.output = None if tie else linear(embed, vocab, rngs, False, init)

    def __call__(self, x):
        mask = nnx.make_causal_mask(x)
        x = self.tokens(x) + self.positions(jnp.arange(x.shape[1]))
        x = x if self.first is None else self.first(x)
        for block in self.blocks:
            x = block(x, mask)
        x = x if self.last is None else self.last(x)
        return self.tokens.attend(x) if self.output is None else self.output(x)


class Jax:
    """A case."""

    def __init__(self, case):
        model, train, is_text = case["model"], case["train"], case["is_text"]
        self.batch, self.context, kind = train["batch"], model["context"], model["kind"]
        if is_text:
            text, vocab = family_common.text_of(case["file"])
            self.draw = self.streams if kind == "lstm" else self.pieces
            data = (text,)
        else:
            *data, vocab = family_common.words_of(case["file"])
            self.context, self.draw = self.context or data[0].shape[1], self.words
        if kind in ("mlp", "wavenet"):
            data = family_common.windows_of(*data, self.context)
        self.data = tuple(jnp.asarray(part, jnp.int32) for part in data)
        kinds = {"mlp": Mlp, "wavenet": WaveNet, "transformer": Transformer}
        net = kinds.get(kind, Recurrent)(vocab, rngs=nnx.Rngs(1), **model | {"context": self.context})
        # The state of a recurrent net.
        carry = net.begin(self.batch) if isinstance(net, Recurrent) else None
        self.graph, params, rest = nnx.split(net, nnx.Param, ...)
        lr = train["lr"]
        self.optimizer = optax.sgd(lr) if train["optimizer"] == "sgd" else optax.adamw(lr, weight_decay=0.01)
        at = jnp.zeros((), jnp.int32)
        self.size = sum(part.size for part in jax.tree.leaves(params))
        state = (params, rest, self.optimizer.init(params), jax.random.key(1), carry, at)
        # Flattened to arrays, since flattening flax's states in each call would be slower.
        self.state, self.shape = jax.tree.flatten(state)
        self.compiled = jax.jit(self.pure, donate_argnums=0)

    def words(self, data, key, at):
        """A batch of words; for mlps and wavenets, of windows."""
        ix = jax.random.randint(key, (self.batch,), 0, len(data[0]))
        return data[0][ix], data[1][ix]

    def pieces(self, data, key, at):
        offsets = jax.random.randint(key, (self.batch,), 0, len(data[0]) - self.context)
        places = offsets[:, None] + jnp.arange(self.context)
        return data[0][places], data[0][places + 1]

    def streams(self, data, key, at):
        each = (len(data[0]) - 1) // self.batch
        places = at + each * jnp.arange(self.batch)[:, None] + jnp.arange(self.context)
        return data[0][places], data[0][places + 1]

    def pure(self, state, data):
        params, rest, moments, key, carry, at = jax.tree.unflatten(self.shape, state)
        key, drawn = jax.random.split(key)
        x, y = self.draw(data, drawn, at)

        def loss_of(params):
            net, last = nnx.merge(self.graph, params, rest, copy=True), carry
            if carry is None:
                logits = net(x)
            else:
                logits, last = net(x, carry)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(y, 0))
            judged = y >= 0
            return jnp.where(judged, losses, 0).sum() / judged.sum(), (nnx.state(net, nnx.Not(nnx.Param)), last)

        (loss, (rest, last)), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, moments = self.optimizer.update(gradients, moments, params)
        if self.draw == self.streams:
            each = (len(data[0]) - 1) // self.batch
            at = at + self.context
            over = at + self.context > each
            at = jnp.where(over, 0, at)
            carry = jax.tree.map(lambda part: jnp.where(over, 0, part), last)
        return jax.tree.leaves((optax.apply_updates(params, updates), rest, moments, key, carry, at)), loss

    def parameters(self):
        return self.size

    def step(self):
        self.state, loss = self.compiled(self.state, self.data)
        return loss

    def wait(self):
        jax.block_until_ready(self.state)


def left_out(model):
    """The number of biases that PyTorch's gates have and flax's lack."""
    gates = {"rnn": 1, "gru": 3, "lstm": 4}.get(model["kind"], 0)
    return gates * sum(model["hidden"]) * model["layers"]


if __name__ == "__main__":
    family_common.serve(f"JAX {jax.__version__} with flax {flax.__version__}", Jax, left_out)
