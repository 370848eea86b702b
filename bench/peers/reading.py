"""A gru that evaluates names and writes some, in PyTorch and in charloom's Python package, turn by turn.

    taskset -c 0 python bench/peers/reading.py --data FOLDER [--hidden H] [--rounds R]

FOLDER has names.txt. Both have the same weights (`to_torch`). PyTorch evaluates words padded to the longest, 1,000 at a time.
It samples in two ways, both with the state carried: one name after the other, as the lectures do, and 10,000 names side by
side. Milliseconds on one thread, medians over the rounds; one name after the other is timed for 200 names and scaled to
10,000. Measure on an idle machine.
"""

import argparse
import pathlib
import statistics
import time

import charloom as cl
import torch
import torch.nn.functional as F

MANY, FEW, LONGEST = 10_000, 200, 20


def milliseconds(what):
    begun = time.perf_counter()
    what()
    return (time.perf_counter() - begun) * 1e3


class Peer:
    """The same gru in PyTorch; token 0 begins and ends a name."""

    def __init__(self, model, words):
        self.net = model.to_torch().eval()
        number = {c: i + 1 for i, c in enumerate(sorted(set("".join(words))))}
        longest = max(map(len, words)) + 1
        self.x, self.y = torch.zeros(len(words), longest, dtype=torch.long), torch.full((len(words), longest), -1)
        for i, word in enumerate(words):
            tokens = torch.tensor([number[c] for c in word])
            self.x[i, 1 : len(word) + 1], self.y[i, : len(word)], self.y[i, len(word)] = tokens, tokens, 0

    def step(self, x, state):
        h, state = self.net.rnn(self.net.embedding(x), state)
        return self.net.output(h), state

    @torch.no_grad()
    def evaluate(self):
        total = 0.0
        for x, y in zip(self.x.split(1000), self.y.split(1000)):
            logits, _ = self.step(x, None)
            total += F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-1, reduction="sum").item()
        return total / (self.y >= 0).sum().item()

    @torch.no_grad()
    def sample_each(self, count):
        for _ in range(count):
            x, state = torch.zeros(1, 1, dtype=torch.long), None
            for _ in range(LONGEST):
                logits, state = self.step(x, state)
                x = torch.multinomial(logits[:, -1].softmax(-1), 1)
                if x.item() == 0:
                    break

    @torch.no_grad()
    def sample_together(self, count):
        x, state = torch.zeros(count, 1, dtype=torch.long), None
        for _ in range(LONGEST):
            logits, state = self.step(x, state)
            x = torch.multinomial(logits[:, -1].softmax(-1), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    words = (arguments.data / "names.txt").read_text().split()
    model = cl.GRU(embed=64, hidden=arguments.hidden, steps=300, batch=128, optimizer="adamw", lr=0.005, seed=1)
    model.fit(words, progress=False)
    peer = Peer(model, words)
    ours, theirs = model.evaluate(words)["loss"], peer.evaluate()
    assert abs(ours - theirs) < 1e-4, (ours, theirs)
    turns = {
        "evaluation, charloom": lambda: model.evaluate(words),
        "evaluation, PyTorch": peer.evaluate,
        "10,000 names, charloom": lambda: model.sample(MANY, max_length=LONGEST),
        "10,000 names, PyTorch, side by side": lambda: peer.sample_together(MANY),
        "10,000 names, PyTorch, one by one": lambda: peer.sample_each(FEW),
    }
    times = {name: [] for name in turns}
    for _ in range(arguments.rounds):
        for name, what in turns.items():
            times[name].append(milliseconds(what) * (MANY / FEW if name.endswith("one by one") else 1))
    print(f"PyTorch {torch.__version__}; gru {arguments.hidden}, {len(words)} words; milliseconds on one thread")
    for name, measured in times.items():
        print(f"{name:38} {statistics.median(measured):10.1f}   {min(measured):.1f} to {max(measured):.1f}")


if __name__ == "__main__":
    main()
