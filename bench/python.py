"""The Python package beside the command of the same build: fits, sampling, import, threads.

    python bench/python.py TARGET/wheel/charloom fit|events|names|import|threads [ROUNDS]

Both sides in turn, medians of processor time (import: of wall time). The package is the one that this Python imports.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import charloom as cl
from charloom import _charloom


def cpu(work) -> float:
    """Processor time of this process."""
    before = time.process_time()
    work()
    return time.process_time() - before


def cpu_of(command: list[str]) -> float:
    """Processor time of another process."""
    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return used() - before


def in_turn(rounds: int, sides: dict) -> dict:
    """Times the sides in turn; returns the median of each, in milliseconds."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            taken[name].append(1e3 * side())
    for name, all_ in taken.items():
        print(f"  {name:34} {statistics.median(all_):9.2f} ms, smallest {min(all_):9.2f}")
    return {name: statistics.median(all_) for name, all_ in taken.items()}


def written(folder: str) -> tuple[list[str], str, str]:
    """The names, a file with them, and a path for a run."""
    names = cl.datasets.load("names")
    file = os.path.join(folder, "names.txt")
    with open(file, "w") as to:
        to.write("\n".join(names) + "\n")
    return names, file, os.path.join(folder, "run")


def fit(command: str, rounds: int, folder: str) -> None:
    """Whole fits beside the same training by the compiled half alone, from a file."""
    names, file, out = written(folder)
    for steps, rounds in ((2_000, 5 * rounds), (20_000, rounds)):
        model = cl.MLP(hidden=200, steps=steps)
        config = model._config("lines")
        print(f"{steps} steps, processor time of the whole")
        in_turn(rounds, {
            "m.fit(list)": lambda: cpu(lambda: model.fit(names, threads=1, out=out, force=True)),
            "the compiled half, from a file": lambda: cpu(
                lambda: _charloom.fit(config, (file,), None, out, True, 1, [], None)),
        })


def events(command: str, rounds: int, folder: str) -> None:
    """The cost of an event: a tiny net's training with an event for every step, minus one without events."""
    steps = 20_000
    names, file, out = written(folder)
    tiny = {"hidden": 1, "embed": 1, "context": 1, "batch": 1, "eval_every": 10**9, "eval_size": 100, "steps": steps}

    def fitted(every: int, callbacks: list) -> float:
        model = cl.MLP(**tiny, log_every=every)
        return cpu(lambda: model.fit(names, threads=1, out=out, force=True, callbacks=callbacks))

    def trained(every: int) -> float:
        flags = [part for key, value in {**tiny, "log_every": every}.items()
                 for part in (f"--{key.replace('_', '-')}", str(value))]
        return cpu_of([command, "train", file, *flags, "--threads", "1", "--out", out, "--force"])

    sides = {
        "m.fit": lambda every: fitted(every, []), "m.fit, a callback": lambda every: fitted(every, [lambda event: None]),
        "the command": trained,
    }
    taken: dict[str, list] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            taken[name].append((side(1), side(steps)))
    for name, pairs in taken.items():
        cost = statistics.median(1e6 * (told - silent) / steps for told, silent in pairs)
        least = 1e6 * (min(told for told, _ in pairs) - min(silent for _, silent in pairs)) / steps
        print(f"{name}: {cost:.2f} us an event; the smallest less the smallest {least:.2f}")


def names(command: str, rounds: int, folder: str) -> None:
    run = os.path.join(folder, "run")
    cl.MLP(hidden=200, steps=2_000).fit(cl.datasets.load("names"), out=run)
    model = cl.load(run)
    print("10,000 names, processor time")
    found = in_turn(rounds, {
        "m.sample(10_000)": lambda: cpu(lambda: model.sample(10_000)),
        "the command": lambda: cpu_of([command, "sample", run, "-n", "10000"]),
        "the command, one name": lambda: cpu_of([command, "sample", run, "-n", "1"]),
    })
    of_command = found["the command"] - found["the command, one name"]
    print(f"  {100 * (found['m.sample(10_000)'] / of_command - 1):+.1f} % of the command less its start")


def importing(command: str, rounds: int, folder: str) -> None:
    program = "import sys, time; t = time.perf_counter(); import charloom; print(time.perf_counter() - t)"
    taken = [float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(rounds)]
    print(f"import charloom: {1e3 * statistics.median(taken):.1f} ms, smallest {1e3 * min(taken):.1f}")


def threads(command: str, rounds: int, folder: str) -> None:
    model = cl.MLP(hidden=200, steps=2_000).fit(cl.datasets.load("names"))

    def cores(count: int) -> tuple[float, float]:
        work = [threading.Thread(target=model.sample, args=(50_000,), kwargs={"seed": seed}) for seed in range(count)]
        begun, used = time.perf_counter(), time.process_time()
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        lasted = time.perf_counter() - begun
        return lasted, (time.process_time() - used) / lasted

    for count in (1, 4):
        taken = [cores(count) for _ in range(rounds)]
        lasted, used = (statistics.median(column) for column in zip(*taken))
        print(f"{count} threads, 50,000 names each: {lasted:.2f} s, {used:.2f} cores, {count * 50_000 / lasted:,.0f} names/s")


if __name__ == "__main__":
    command, what = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 11
    with tempfile.TemporaryDirectory() as folder:
        {"fit": fit, "events": events, "names": names, "import": importing, "threads": threads}[what](command, rounds, folder)
