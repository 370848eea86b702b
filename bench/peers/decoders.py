"""A training step of the transformers of `docs/log.md` in PyTorch, eager, one thread: microseconds, the median of nine rounds.

    python bench/peers/decoders.py [CASE...]

Words are padded to the context, as makemore pads them; the draws of a batch are part of the step, as they are of charloom's.
"""

import pathlib
import statistics
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "fixtures"))
import make_decoders
from make_decoders import Transformer


def attention(self, x):
    b, t, c = x.shape
    q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.c_attn(x).split(c, -1))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return self.c_proj(y.transpose(1, 2).reshape(b, t, c))


make_decoders.Attention.forward = attention
# name: vocabulary, context, batch, settings, whether the batch is of words
CASES = {
    "transformer 4 x 64, 32 words": (27, 16, 32, {"layers": 4, "heads": 4, "embed": 64}, True),
    "microgpt, one word": (
        27, 16, 1,
        {"layers": 1, "heads": 4, "embed": 16, "norm": "rms", "norm_weight": False, "embed_norm": True, "activation": "relu",
         "bias": False, "init": "normal", "init_std": 0.08},
        True,
    ),
    "nanoGPT on a CPU": (65, 64, 12, {"layers": 4, "heads": 4, "embed": 128, "bias": False, "tie": True}, False),
    "transformer 6 x 192, 16 x 128": (65, 128, 16, {"layers": 6, "heads": 6, "embed": 192}, False),
}


def measure(vocab, context, batch, settings, is_words):
    torch.manual_seed(1)
    model = Transformer(vocab, context, **settings)
    model.draw(torch.Generator().manual_seed(1))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    if is_words:
        # Lengths as of names.txt: a boundary and six characters on average.
        lengths = torch.randint(4, 11, (1000,))
        x = torch.zeros(1000, context, dtype=torch.long)
        y = torch.full((1000, context), -1)
        for i, n in enumerate(lengths):
            x[i, 1:n] = torch.randint(1, vocab, (n - 1,))
            y[i, : n - 1] = x[i, 1:n]
            y[i, n - 1] = 0
    else:
        text = torch.randint(0, vocab, (1_000_000,))

    def step():
        if is_words:
            ix = torch.randint(0, 1000, (batch,))
            a, b = x[ix], y[ix]
        else:
            ix = torch.randint(0, len(text) - context, (batch,))
            a = torch.stack([text[i : i + context] for i in ix])
            b = torch.stack([text[i + 1 : i + context + 1] for i in ix])
        loss = F.cross_entropy(model(a).flatten(0, 1), b.flatten(), ignore_index=-1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    begun = time.perf_counter()
    for _ in range(3):
        step()
    steps = max(1, int(0.2 / ((time.perf_counter() - begun) / 3)))
    rounds = []
    for _ in range(9):
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        rounds.append((time.perf_counter() - begun) / steps)
    return statistics.median(rounds) * 1e6


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CASES:
        print(f"{name:32} {measure(*CASES[name]):10.0f}", flush=True)
