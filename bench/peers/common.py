"""Shared by the Python peers: the protocol (see ../protocol/src/lib.rs) and the files of a case."""

import json
import math
import sys
import time

import numpy as np


class Absent(Exception):
    """Raised for a task that the peer does not have."""


class Data:
    """The arrays of a case."""

    def __init__(self, case):
        def read(key, dtype=np.uint32):
            return np.fromfile(case[key], dtype=dtype)

        self.contexts = read("contexts").reshape(case["examples"], case["context"]).astype(np.int64)
        self.targets = read("targets").astype(np.int64)
        batches = read("batches").astype(np.int64)
        self.batches = batches.reshape(case["checks"], -1)
        numbers, at, self.weights = read("weights", np.float32), 0, {}
        for name, shape in case["tensors"]:
            n = math.prod(shape)
            self.weights[name] = numbers[at : at + n].reshape(shape).copy()
            at += n
        assert at == len(numbers), "the weights' file has another length"


def layers(case):
    """The modules after the embedding and the flattening, as (kind, name, has bias)."""
    out = []

    def add(kind, bias=False):
        out.append((kind, f"layers.{len(out)}", bias))

    for _ in case["hidden"]:
        add("linear", case["hidden_bias"])
        if case["norm"] != "none":
            add(case["norm"])
        add("activation")
        if case["dropout"] > 0:
            add("dropout")
    add("linear", case["output_bias"])
    return out


def words(data):
    """The index of each example's word, and the number of words; a word ends with the target 0."""
    ends = np.cumsum(data.targets == 0)
    return np.concatenate([[0], ends[:-1]]), int(ends[-1])


def serve(version, open_case):
    """Answers requests. `open_case(case, data)` returns an object with a method `run(task, n)`."""

    def reply(answer):
        print(json.dumps(answer), flush=True)

    reply({"hello": {"version": version}})
    opened = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["op"] == "open":
                opened = None
                opened = open_case(request["case"], Data(request["case"]))
                reply("open")
            else:
                start = time.perf_counter()
                value = float(opened.run(request["task"], request["n"]))
                seconds = time.perf_counter() - start
                value = value if math.isfinite(value) else None
                reply({"done": {"seconds": seconds, "value": value}})
        except Absent as why:
            reply({"absent": str(why)})
        except Exception as why:  # the comparison goes on without this case, and shows why
            reply({"absent": f"{type(why).__name__}: {str(why).splitlines()[0] if str(why) else ''}"})
