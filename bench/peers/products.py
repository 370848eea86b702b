"""Matrix products as shares of a core's peak: charloom, PyTorch, NumPy's OpenBLAS, and other Rust crates.

    (cd bench && cargo build --release -p products)
    python bench/peers/products.py --products bench/target/release/products [--rounds 5] [M N K]...

Three products for each size: that of a layer with m rows, n outputs and k inputs, its weight's gradient, whose first matrix
is transposed, and its input's gradient. One thread each. Printed are medians over the rounds, in per cent of the peak, the
best of all rounds of a loop of fused multiply-adds. In each round every library has a turn. Measure on an idle machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy  # noqa: E402
import torch  # noqa: E402

SIZES = [
    (32, 200, 30), (32, 27, 200), (32, 200, 200), (1024, 200, 200),
    (128, 128, 128), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (300, 300, 300), (1000, 1000, 1000),
    (768, 384, 128), (768, 512, 128), (768, 128, 512), (2048, 576, 192), (2048, 768, 192), (2048, 192, 768), (64, 1024, 256),
]
CASES = ["layer", "weight", "input"]
PEERS = ["charloom", "PyTorch", "OpenBLAS", "gemm", "matrixmultiply", "faer"]


def microseconds(multiply):
    multiply()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < 0.005:
        multiply()
        calls += 1
    return (time.perf_counter() - start) * 1e6 / calls


def of_python(m, n, k, case):
    """The microseconds of one product in PyTorch and in NumPy."""
    rows, columns, inner = {"layer": (m, n, k), "weight": (k, n, m), "input": (m, k, n)}[case]
    a = numpy.random.default_rng(1).standard_normal((inner, rows) if case == "weight" else (rows, inner), numpy.float32)
    b = numpy.random.default_rng(2).standard_normal((inner, columns), numpy.float32)
    c = numpy.zeros((rows, columns), numpy.float32)
    a, tensors = (a.T if case == "weight" else a), [torch.from_numpy(x) for x in (a, b, c)]
    if case == "weight":
        tensors[0] = torch.from_numpy(a.T).T
    x, y, z = tensors
    return {
        "PyTorch": microseconds(lambda: torch.mm(x, y, out=z)),
        "OpenBLAS": microseconds(lambda: numpy.matmul(a, b, out=c)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", required=True, help="the program of bench/peers/products")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("sizes", nargs="*", type=int, help="M N K, again and again; left out: the table's")
    arguments = parser.parse_args()
    sizes = list(zip(*[iter(arguments.sizes)] * 3)) or SIZES
    torch.set_num_threads(1)
    times, peak = {}, 0.0
    for _ in range(arguments.rounds):
        for size in sizes:
            out = subprocess.run([arguments.products, *map(str, size), "1"], check=True, capture_output=True, text=True)
            line = json.loads(out.stdout)
            peak = max(peak, line["peak"])
            for case in CASES:
                for peer, time_ in (line[case] | of_python(*size, case)).items():
                    times.setdefault((size, case, peer), []).append(time_)
    print(f"peak {peak:.1f} GFLOP/s, medians of {arguments.rounds} rounds, per cent of the peak (layer / weight / input)\n")
    print("| m | n | k | " + " | ".join(PEERS) + " |")
    print("|---" * (3 + len(PEERS)) + "|")
    for size in sizes:
        m, n, k = size
        shares = [
            " / ".join(f"{2e-3 * m * n * k / statistics.median(times[size, case, peer]) / peak * 100:.0f}" for case in CASES)
            for peer in PEERS
        ]
        print(f"| {m} | {n} | {k} | " + " | ".join(shares) + " |")


main()
