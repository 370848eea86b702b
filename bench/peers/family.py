"""A training step of each kind of model, in PyTorch's own modules and in charloom, turn by turn.

    python bench/peers/family.py --charloom target/release/charloom --data FOLDER [--threads N] [CASE...]

FOLDER has names.txt and tinyshakespeare.txt. In each round every case is timed once in PyTorch (eager, a fused optimizer)
and once by `charloom bench`, so that whatever else the machine does falls on both; medians over the rounds, in
microseconds, and how many times as fast charloom is beside what it should be. PyTorch's words are padded to the longest,
as makemore pads them. The draws of a batch are part of a step. Measure on an idle machine.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "fixtures"))
import make_decoders

ADAMW = {"optimizer": "adamw", "lr": 0.001}
SGD = {"optimizer": "sgd", "lr": 0.1}
LECTURE = {"kind": "mlp", "context": 3, "embed": 10, "hidden": [200]}
DEEP = {"kind": "mlp", "context": 8, "embed": 10, "hidden": [200] * 6, "norm": "batch"}
# Name: settings of the model and of its training, the goal with one thread.
CASES = {
    "mlp of 001, B = 32": (LECTURE, SGD | {"batch": 32}, 15),
    "mlp of 001, B = 1,024": (LECTURE, SGD | {"batch": 1024}, 10),
    "mlp deep, B = 32": (DEEP, SGD | {"batch": 32}, 3.7),
    "mlp deep, B = 1,024": (DEEP, SGD | {"batch": 1024}, 2),
    "rnn 64, 32 words": ({"kind": "rnn", "embed": 64, "hidden": 64}, {"batch": 32}, 10),
    "gru 64, 32 words": ({"kind": "gru", "embed": 64, "hidden": 64}, {"batch": 32}, 10),
    "gru 192, 128 words": ({"kind": "gru", "embed": 64, "hidden": 192}, {"batch": 128}, 3.5),
    "lstm 192, 128 words": ({"kind": "lstm", "embed": 64, "hidden": 192}, {"batch": 128}, 3.5),
    "wavenet 24/128, B = 32": (
        {"kind": "wavenet", "context": 8, "embed": 24, "hidden": 128},
        SGD | {"batch": 32},
        10,
    ),
    "transformer 4 x 64, 32 words": ({"kind": "transformer", "layers": 4, "heads": 4, "embed": 64}, {"batch": 32}, 5),
    "microgpt, one word": (
        {"kind": "transformer", "context": 16, "layers": 1, "heads": 4, "embed": 16, "norm": "rms", "norm_weight": False,
         "embed_norm": True, "activation": "relu", "bias": False, "init": "normal", "init_std": 0.08},
        {"batch": 1},
        60,
    ),
    "nanoGPT on a CPU, 12 x 64": (
        {"kind": "transformer", "context": 64, "layers": 4, "heads": 4, "embed": 128, "bias": False, "tie": True},
        {"batch": 12},
        1.3,
    ),
    "transformer 6 x 192, 16 x 128": (
        {"kind": "transformer", "context": 128, "layers": 6, "heads": 6, "embed": 192},
        {"batch": 16},
        1.2,
    ),
    "lstm 2 x 256, 64 x 128": (
        {"kind": "lstm", "context": 128, "embed": 256, "hidden": 256, "layers": 2},
        {"batch": 64},
        1.2,
    ),
}
# These are on running text.
ON_TEXT = ("nanoGPT", "transformer 6", "lstm 2")


class Recurrent(nn.Module):
    def __init__(self, vocab, kind, embed, hidden, layers=1, **_):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.rnn = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](embed, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, vocab)
        self.state = None

    def forward(self, x, carried=False):
        y, state = self.rnn(self.embedding(x), self.state if carried else None)
        if carried:
            self.state = tuple(part.detach() for part in state)
        return self.output(y)


class Mlp(nn.Module):
    def __init__(self, vocab, context, embed, hidden, norm="none", **_):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        widths = [context * embed] + hidden
        self.linears = nn.ModuleList(nn.Linear(m, n, bias=norm == "none") for m, n in zip(widths, hidden))
        self.norms = nn.ModuleList(nn.BatchNorm1d(n) if norm == "batch" else nn.Identity() for n in hidden)
        self.output = nn.Linear(hidden[-1], vocab)

    def forward(self, x):
        x = self.embedding(x).flatten(1)
        for linear, norm in zip(self.linears, self.norms):
            x = norm(linear(x)).tanh()
        return self.output(x)


class WaveNet(nn.Module):
    def __init__(self, vocab, context, embed, hidden, **_):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        widths = [embed] + [hidden] * (context.bit_length() - 1)
        self.linears = nn.ModuleList(nn.Linear(2 * n, hidden, bias=False) for n in widths[:-1])
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in widths[1:])
        self.output = nn.Linear(hidden, vocab)

    def forward(self, x):
        x = self.embedding(x)
        for linear, norm in zip(self.linears, self.norms):
            x = linear(x.view(x.shape[0], x.shape[1] // 2, -1))
            x = norm(x.flatten(0, 1)).view_as(x).tanh()
        return self.output(x[:, 0])


def attention(self, x):
    b, t, c = x.shape
    q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.c_attn(x).split(c, -1))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return self.c_proj(y.transpose(1, 2).reshape(b, t, c))


make_decoders.Attention.forward = attention


def words_of(path):
    """The words padded to the longest, and what follows each character; -1 where nothing is judged."""
    words = path.read_text().split()
    number = {c: i + 1 for i, c in enumerate(sorted(set("".join(words))))}
    longest = max(map(len, words)) + 1
    x, y = torch.zeros(len(words), longest, dtype=torch.long), torch.full((len(words), longest), -1)
    for i, word in enumerate(words):
        tokens = torch.tensor([number[c] for c in word])
        x[i, 1 : len(word) + 1], y[i, : len(word)], y[i, len(word)] = tokens, tokens, 0
    return x, y, len(number) + 1


def text_of(path):
    text = path.read_text()
    number = {c: i for i, c in enumerate(sorted(set(text)))}
    return torch.tensor([number[c] for c in text[: len(text) * 9 // 10]]), len(number)


class Torch:
    """A case in PyTorch."""

    def __init__(self, model, train, is_text, folder):
        torch.manual_seed(1)
        self.batch, self.context = train["batch"], model.get("context")
        if is_text:
            self.text, vocab = text_of(folder / "tinyshakespeare.txt")
        else:
            self.x, self.y, vocab = words_of(folder / "names.txt")
        if model["kind"] == "transformer":
            settings = {key: value for key, value in model.items() if key not in ("kind", "context")}
            self.model = make_decoders.Transformer(vocab, self.context or self.x.shape[1], **settings)
            self.model.draw(torch.Generator().manual_seed(1))
            self.draw = self.pieces if is_text else self.words
        elif model["kind"] in ("mlp", "wavenet"):
            self.model = {"mlp": Mlp, "wavenet": WaveNet}[model["kind"]](vocab, **model)
            self.draw = self.windows
            padded = F.pad(self.x, (self.context - 1, 0))
            judged = self.y >= 0
            self.x, self.y = padded.unfold(1, self.context, 1)[judged], self.y[judged]
        else:
            self.model, self.draw = Recurrent(vocab, **model), self.streams if is_text else self.words
        if train["optimizer"] == "sgd":
            self.optimizer = torch.optim.SGD(self.model.parameters(), train["lr"], fused=True)
        else:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), train["lr"], fused=True)
        self.carried, self.at = {"carried": True} if self.draw == self.streams else {}, 0

    def words(self):
        ix = torch.randint(0, len(self.x), (self.batch,))
        return self.x[ix], self.y[ix]

    windows = words

    def pieces(self):
        offsets = torch.randint(0, len(self.text) - self.context, (self.batch,))
        at = offsets[:, None] + torch.arange(self.context)
        return self.text[at], self.text[at + 1]

    def streams(self):
        each = (len(self.text) - 1) // self.batch
        if self.at + self.context > each:
            self.at, self.model.state = 0, None
        x = self.text[: self.batch * each].view(self.batch, each)[:, self.at : self.at + self.context]
        y = self.text[1 : self.batch * each + 1].view(self.batch, each)[:, self.at : self.at + self.context]
        self.at += self.context
        return x, y

    def step(self):
        x, y = self.draw()
        logits = self.model(x, **self.carried)
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1), ignore_index=-1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def microseconds(self, seconds):
        for _ in range(2):
            self.step()
        steps, begun = 0, time.perf_counter()
        while steps == 0 or time.perf_counter() - begun < seconds:
            self.step()
            steps += 1
        return (time.perf_counter() - begun) / steps * 1e6


def toml(model, train):
    show = lambda value: json.dumps(value)
    table = lambda name, values: f"[{name}]\n" + "".join(f"{key} = {show(value)}\n" for key, value in values.items())
    return table("model", model) + table("train", train)


def charloom(arguments, data, config):
    command = [arguments.charloom, "bench", data, "--config", config, "--json"]
    command += ["--threads", str(arguments.threads), "--seconds", str(arguments.seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["microseconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="only cases whose names begin so")
    parser.add_argument("--charloom", required=True)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each is timed in a round")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chosen = {name: case for name, case in CASES.items() if not arguments.cases or name.startswith(tuple(arguments.cases))}
    print(f"PyTorch {torch.__version__}, {arguments.threads} threads; microseconds a step, medians of {arguments.rounds}")
    print(f"{'case':32} {'PyTorch':>10} {'charloom':>10} {'ratio':>7} {'goal':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, train, goal) in chosen.items():
            train, is_text = ADAMW | train, name.startswith(ON_TEXT)
            config = pathlib.Path(folder) / "case.toml"
            config.write_text(toml(model, train))
            data = arguments.data / ("tinyshakespeare.txt" if is_text else "names.txt")
            peer, rounds = Torch(model, train, is_text, arguments.data), []
            for _ in range(arguments.rounds):
                rounds.append((peer.microseconds(arguments.seconds), charloom(arguments, data, config)))
            theirs, ours = (statistics.median(times) for times in zip(*rounds))
            print(f"{name:32} {theirs:10.0f} {ours:10.0f} {theirs / ours:7.2f} {goal:6}", flush=True)


if __name__ == "__main__":
    main()
