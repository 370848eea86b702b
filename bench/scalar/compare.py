"""Two-moons training: charloom's scalar engine beside its peers, in turns, on the same work.

    pip install -r requirements.txt && python compare.py [--rounds 5] [--steps 20]

The work is the demo of the package micrograd: 100 points, a network 2 -> 16 -> 16 -> 1, max-margin loss with weight
decay, full-batch gradient descent. micrograd has relu and no tanh, micrograd-rust has a tanh network and no relu, so
there are two variants, and charloom runs both. All start from the same numbers, and their losses must agree at the end.
"""

import argparse
import math
import pathlib
import random
import statistics
import subprocess
import time

import micrograd.nn
import micrograd_rust

HERE = pathlib.Path(__file__).resolve().parent


def moons(n, noise):
    """The same points as charloom_scalar::moons."""
    upper, lower, points, labels = (n + 1) // 2, n // 2, [], []
    for i in range(n):
        t = math.pi * (i // 2) / ((lower if i % 2 else upper) - 1)
        x, y = (1 - math.cos(t), 0.5 - math.sin(t)) if i % 2 else (math.cos(t), math.sin(t))
        points.append([x + random.gauss(0.0, noise), y + random.gauss(0.0, noise)])
        labels.append(-1.0 if i % 2 else 1.0)
    return points, labels


def train(steps, labels, scores_of, loss_of, parameters, zero_grad):
    start = time.perf_counter()
    for k in range(steps):
        scores = scores_of()
        loss = loss_of(scores)
        zero_grad()
        loss.backward()
        lr = 1.0 - 0.9 * k / steps
        for p in parameters:
            p.data = p.data - lr * p.grad
    right = sum((s.data > 0) == (y > 0) for s, y in zip(scores, labels))
    return time.perf_counter() - start, loss.data, right


def python(steps):
    """micrograd, used as in its demo."""
    random.seed(1337)
    points, labels = moons(100, 0.1)
    model = micrograd.nn.MLP(2, [16, 16, 1])
    parameters = model.parameters()

    def scores_of():
        return [model(list(map(micrograd.engine.Value, row))) for row in points]

    def loss_of(scores):
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(labels, scores)]
        return sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in parameters)

    return train(steps, labels, scores_of, loss_of, parameters, model.zero_grad)


def python_rust(steps):
    """micrograd-rust: the network in one call, the loss by its operators; without relu, positive margins are summed."""
    Value = micrograd_rust.Value
    random.seed(1337)
    points, labels = moons(100, 0.1)
    model = micrograd_rust.MLP(2, [16, 16, 1])
    parameters = model.parameters()
    for p in parameters:
        p.data = random.uniform(-1, 1)

    def scores_of():
        return [model([Value(x), Value(y)])[0] for x, y in points]

    def loss_of(scores):
        total = Value(0.0)
        for y, score in zip(labels, scores):
            margin = Value(1.0) - Value(y) * score
            if margin.data > 0:
                total = total + margin
        decay = Value(0.0)
        for p in parameters:
            decay = decay + p * p
        return total / Value(float(len(labels))) + Value(1e-4) * decay

    return train(steps, labels, scores_of, loss_of, parameters, model.zero_grad)


def charloom(kind, steps):
    binary = HERE / "target" / "release" / "bench-scalar"
    done = subprocess.run([binary, kind, str(steps)], check=True, capture_output=True, text=True)
    seconds, loss, right = done.stdout.split()
    return float(seconds), float(loss), int(right)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    manifest = HERE / "Cargo.toml"
    target = HERE / "target"
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--manifest-path", manifest, "--target-dir", target], check=True
    )

    works = {
        "relu": {"charloom": lambda: charloom("relu", args.steps), "micrograd 0.1.0": lambda: python(args.steps)},
        "tanh": {
            "charloom": lambda: charloom("tanh", args.steps),
            "micrograd-rust 0.1.0": lambda: python_rust(args.steps),
        },
    }
    times = {(work, who): [] for work, peers in works.items() for who in peers}
    for _ in range(args.rounds):
        for work, peers in works.items():
            results = {}
            for who, run in peers.items():
                seconds, loss, right = run()
                times[work, who].append(seconds)
                results[who] = (loss, right)
            (loss, right), (other, other_right) = results.values()
            if not (abs(loss - other) <= 1e-6 * abs(loss) and right == other_right):
                raise SystemExit(f"{work}: not the same work: {results}")

    print(f"{args.steps} steps, median of {args.rounds} rounds")
    for work in works:
        ours = statistics.median(times[work, "charloom"])
        for who in works[work]:
            t = times[work, who]
            median = statistics.median(t)
            print(
                f"{work}  {who:<21} {median / args.steps * 1e3:10.3f} ms a step"
                f"  ({min(t) / args.steps * 1e3:.3f} to {max(t) / args.steps * 1e3:.3f})  {median / ours:8.1f} x"
            )


if __name__ == "__main__":
    main()
