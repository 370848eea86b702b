"""Forward and backward of PyTorch's attention on one thread, for the sizes of crates/tensor/examples/kernels.rs.

As in charloom, the input is rows of queries, keys and values side by side, the output rows of values. Microseconds, the
best of nine rounds.
"""

import time

import torch
import torch.nn.functional as F

torch.set_num_threads(1)


def microseconds(f):
    f()
    start = time.perf_counter()
    f()
    calls = max(1, int(0.02 / (time.perf_counter() - start)))
    best = float("inf")
    for _ in range(9):
        start = time.perf_counter()
        for _ in range(calls):
            f()
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def attention(batch, length, width, heads):
    x = torch.randn(batch, length, 3 * width, requires_grad=True)
    dy = torch.randn(batch, length, width)

    def forward():
        q, k, v = (part.view(batch, length, heads, -1).transpose(1, 2) for part in x.split(width, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(batch, length, width)

    def both():
        torch.autograd.grad(forward(), x, dy)

    with torch.no_grad():
        alone = microseconds(forward)
    print(f"B {batch}, T {length}, C {width}, {heads} heads: forward {alone:8.1f} us, both {microseconds(both):8.1f} us")


for sizes in [(16, 128, 192, 6), (12, 64, 128, 4), (32, 16, 64, 4), (64, 256, 384, 6), (1, 8, 16, 4)]:
    attention(*sizes)
