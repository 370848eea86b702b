"""Shared by the Python peers of family.py: the data and the protocol. For Rust it is ../protocol/src/family.rs."""

import json
import pathlib
import sys
import time

import numpy as np


def words_of(path):
    """The words padded to the longest, their targets (-1 at padding), and the number of characters."""
    words = pathlib.Path(path).read_text().split()
    number = {c: i + 1 for i, c in enumerate(sorted(set("".join(words))))}
    longest = max(map(len, words)) + 1
    x, y = np.zeros((len(words), longest), np.int64), np.full((len(words), longest), -1)
    for i, word in enumerate(words):
        tokens = [number[c] for c in word]
        x[i, 1 : len(word) + 1], y[i, : len(word)], y[i, len(word)] = tokens, tokens, 0
    return x, y, len(number) + 1


def windows_of(x, y, context):
    """For each target, the window of `context` characters before it; and the targets."""
    padded = np.pad(x, ((0, 0), (context - 1, 0)))
    judged = y >= 0
    return np.lib.stride_tricks.sliding_window_view(padded, context, 1)[judged], y[judged]


def text_of(path):
    text = pathlib.Path(path).read_text()
    number = {c: i for i, c in enumerate(sorted(set(text)))}
    return np.array([number[c] for c in text[: len(text) * 9 // 10]]), len(number)


def serve(version, open_case, left_out=lambda model: 0):
    """Opens the case on the command line, trains for its number of steps and prints the losses; then each line of
    standard input is a number of seconds to train for, and the answer is the microseconds of a step.

    `open_case(case)` returns a peer with `parameters()`, `step()`, whose loss may be computed later, and `wait()`,
    which waits until everything is computed. `left_out(model)` counts the parameters that this framework's modules
    lack."""
    case = json.loads(sys.argv[1])
    peer = open_case(case)
    parameters = peer.parameters()
    losses = [float(peer.step()) for _ in range(case["check"])]
    opened = {"version": version, "parameters": parameters, "left_out": left_out(case["model"]), "losses": losses}
    print(json.dumps(opened), flush=True)
    for line in sys.stdin:
        seconds = float(line)
        for _ in range(2):
            peer.step()
        peer.wait()
        steps, begun = 0, time.perf_counter()
        while steps == 0 or time.perf_counter() - begun < seconds:
            peer.step()
            steps += 1
        peer.wait()
        print((time.perf_counter() - begun) / steps * 1e6, flush=True)
