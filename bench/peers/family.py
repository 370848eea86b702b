"""A training step of each kind of model, in other frameworks' own modules and in charloom, turn by turn.

    python bench/peers/family.py --charloom target/release/charloom --data FOLDER \\
        [--peers torch,jax,candle,burn] [--threads N] [CASE...]

FOLDER has names.txt and tinyshakespeare.txt. In each round every case is timed once in every peer and once by
`charloom bench`, so that other work of the machine disturbs all alike. Printed are medians over the rounds, in
microseconds, how many times as fast charloom is, and the goal for that ratio to PyTorch. "floor" is what the model's
arithmetic, as it is written, would take at the peak of charloom's threads; a step that computes equal things once can take
less. The peers pad words to the longest, as makemore does. Drawing the batch is part of a step. Measure on an idle machine.

Each peer is a process that gets the case, reports the number of its model's parameters, trains for some steps, and then
waits for its turns. The comparison ends if a model has another size than charloom's, but for biases that a peer's
modules lack, which are noted. A loss far from the first peer's is noted too. candle and burn are built by
`cd bench && cargo build --release -p peer-candle -p peer-burn`.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
ADAMW = {"optimizer": "adamw", "lr": 0.001}
SGD = {"optimizer": "sgd", "lr": 0.1}
LECTURE = {"kind": "mlp", "context": 3, "embed": 10, "hidden": [200]}
DEEP = {"kind": "mlp", "context": 8, "embed": 10, "hidden": [200] * 6, "norm": "batch"}
# By name: the settings of the model, those of its training, and the goal for one thread.
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
# The cases whose names begin so train on running text.
ON_TEXT = ("nanoGPT", "transformer 6", "lstm 2")


# The default settings of a model, since peers get every setting.
PLAIN = {
    "context": None, "hidden": [], "layers": 1, "heads": 1, "norm": "none", "norm_weight": True, "embed_norm": False,
    "activation": "gelu", "bias": True, "tie": False, "init": "gpt", "init_std": 0.02,
}
PEERS = {
    "torch": ("PyTorch", [sys.executable, HERE / "family_torch.py"]),
    "jax": ("JAX", [sys.executable, HERE / "family_jax.py"]),
    "candle": ("candle", ["candle-family"]),
    "burn": ("burn", ["burn-family"]),
}
# A larger difference of a peer's loss (the mean of its last steps) from the first peer's is noted. They
# differ a little,
# since each draws its own initial parameters and batches.
APART = 0.15


def toml(model, train):
    show = lambda value: json.dumps(value)
    table = lambda name, values: f"[{name}]\n" + "".join(f"{key} = {show(value)}\n" for key, value in values.items())
    return table("model", model) + table("train", train)


def charloom(arguments, data, config):
    command = [arguments.charloom, "bench", data, "--config", config, "--json"]
    command += ["--threads", str(arguments.threads), "--seconds", str(arguments.seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


class Peer:
    """A peer's process, with a case open."""

    def __init__(self, name, arguments, case):
        self.name, command = PEERS[name]
        if len(command) == 1:
            command = [arguments.programs / command[0]]
        threads = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | {variable: str(arguments.threads) for variable in threads}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([*command, json.dumps(case)], env=environment, **pipes)
        opened = self.receive()
        self.version, self.losses = opened["version"], opened["losses"]
        self.parameters, self.left_out = opened["parameters"], opened["left_out"]
        last = self.losses[-max(1, len(self.losses) // 4) :]
        self.last = statistics.mean(last)

    def receive(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} has ended")
        return json.loads(line)

    def microseconds(self, seconds):
        print(seconds, file=self.process.stdin, flush=True)
        return self.receive()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(name, arguments, data, config, case):
    """The medians of charloom, of its floor and of each peer, the peers' versions, and notes."""
    peers, rounds, notes = [Peer(peer, arguments, case) for peer in arguments.peers], [], []
    for _ in range(arguments.rounds):
        ours = charloom(arguments, data, config)
        times = [ours["microseconds"], ours["microseconds"] * ours["share"]]
        rounds.append(times + [peer.microseconds(arguments.seconds) for peer in peers])
    for peer in peers:
        if peer.parameters + peer.left_out != ours["parameters"]:
            sys.exit(f"{name}: {peer.name} has {peer.parameters} parameters and leaves out {peer.left_out}, "
                     f"charloom has {ours['parameters']}")
        if peer.left_out:
            notes.append(f"{peer.name}'s modules have {peer.left_out} biases less")
        if abs(peer.last - peers[0].last) > APART:
            notes.append(f"loss from {peer.losses[0]:.2f} to {peer.last:.2f} in {peer.name}, "
                         f"from {peers[0].losses[0]:.2f} to {peers[0].last:.2f} in {peers[0].name}")
        if arguments.losses:
            notes.append(f"{peer.name}: {peer.parameters} parameters, loss {peer.losses[0]:.3f} to {peer.last:.3f}")
        peer.close()
    return [statistics.median(times) for times in zip(*rounds)], [peer.version for peer in peers], notes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="only cases whose names begin so")
    parser.add_argument("--charloom", required=True)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    names = ", ".join(PEERS)
    parser.add_argument("--peers", default=["torch"], type=lambda peers: peers.split(","), help=f"of {names}")
    programs = HERE.parent / "target/release"
    parser.add_argument("--programs", default=programs, type=pathlib.Path, help="where candle's and burn's are")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each is timed in a round")
    parser.add_argument("--losses", action="store_true", help="show every peer's parameters and losses")
    arguments = parser.parse_args()
    chosen = {name: case for name, case in CASES.items() if not arguments.cases or name.startswith(tuple(arguments.cases))}
    if not chosen:
        parser.error(f"no case begins so; there are {'; '.join(CASES)}")
    print(f"{arguments.threads} threads; microseconds a step, medians of {arguments.rounds}; the goal is PyTorch's ratio")
    columns = "".join(f" {PEERS[peer][0]:>10} {'ratio':>6}" for peer in arguments.peers)
    print(f"{'case':32} {'floor':>10} {'charloom':>10}{columns} {'goal':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, train, goal) in chosen.items():
            train, is_text = ADAMW | train, name.startswith(ON_TEXT)
            config = pathlib.Path(folder) / "case.toml"
            config.write_text(toml(model, train))
            data = arguments.data / ("tinyshakespeare.txt" if is_text else "names.txt")
            norm = {"transformer": "layer", "wavenet": "batch"}.get(model["kind"], "none")
            told = PLAIN | {"norm": norm} | model
            if isinstance(told["hidden"], int):
                told["hidden"] = [told["hidden"]]
            check = 20 if is_text else 100
            case = {"model": told, "train": train, "file": str(data), "is_text": is_text, "check": check}
            (ours, floor, *theirs), versions, notes = compare(name, arguments, data, config, case)
            columns = "".join(f" {time:10.0f} {time / ours:6.2f}" for time in theirs)
            print(f"{name:32} {floor:10.0f} {ours:10.0f}{columns} {goal:6}", *notes, sep="\n    ", flush=True)
    print(", ".join(versions))


if __name__ == "__main__":
    main()
