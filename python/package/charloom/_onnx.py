"""Models as ONNX files, which need nothing but this package to write. The graph is that of `to_torch`'s module: numbers of
characters in, logits out. Source: onnx.ai/onnx/operators, onnx.proto of version 1.15."""

from __future__ import annotations

import json

from ._errors import ModelError
from ._protobuf import message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import numpy as np

    from ._language import LanguageModel

#: Versions of the format and of the operators (Gelu is one since 20).
_IR, _OPSET = 9, 20
#: onnx.proto's numbers of element types and of kinds of attributes.
_TYPES = {"float32": 1, "int64": 7}
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7


class _Graph:
    """Operations, in order; a value is its name."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self.weights = weights
        self.nodes: list[bytes] = []
        self.tensors: dict[str, bytes] = {}

    def constant(self, name: str, array: np.ndarray) -> str:
        import numpy as np

        array = np.ascontiguousarray(array)
        fields = (1, list(array.shape)), (2, _TYPES[str(array.dtype)]), (8, name), (9, array.tobytes())
        self.tensors[name] = message(*fields)
        return name

    def ints(self, *numbers: int) -> str:
        import numpy as np

        return self.constant("ints_" + "_".join(map(str, numbers)), np.array(numbers, dtype=np.int64))

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name])

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """An operation; its first result."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        made = [_attribute(key, value) for key, value in attributes.items()]
        self.nodes.append(message((1, list(inputs)), (2, [name]), (3, name), (4, kind), (5, made)))
        return name

    def scalar(self, number: float | int) -> str:
        import numpy as np

        kind = np.int64 if isinstance(number, int) else np.float32
        return self.constant(f"scalar_{number}", np.array(number, dtype=kind))

    def linear(self, x: str, name: str, part: int = 0, parts: int = 1) -> str:
        """x W^T + b, or one of equal parts of its columns; x is (N, in), or has more dimensions before"""
        import numpy as np

        weight = np.split(self.weights[f"{name}.weight"], parts)[part]
        x = self.op("MatMul", x, self.constant(f"{name}.weight.T.{part}", weight.T))
        if f"{name}.bias" not in self.weights:
            return x
        return self.op("Add", x, self.constant(f"{name}.bias.{part}", np.split(self.weights[f"{name}.bias"], parts)[part]))


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, list):
        return message((1, name), (8, value), (20, _INTS))
    number, kind = {float: (2, _FLOAT), int: (3, _INT), str: (4, _STRING)}[type(value)]
    return message((1, name), (number, value), (20, kind))


def _characters(g: _Graph, vocab: int, embedded: str | None) -> str:
    """(B, T) -> (B, T, E): rows of the embedding, or ones at the characters' places."""
    import numpy as np

    if embedded is not None:
        return g.op("Gather", g.weight(embedded), "x", axis=0)
    ends = g.constant("zero_and_one", np.array([0, 1], dtype=np.float32))
    return g.op("OneHot", "x", g.ints(vocab), ends, axis=-1)


def _batch_norm(g: _Graph, x: str, name: str) -> str:
    parts = [g.weight(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
    return g.op("BatchNormalization", x, *parts, epsilon=1e-5)


#: Of each activation ONNX's operator and its attributes; squared-relu is squared besides.
_ACTIVATIONS: dict[str, tuple[str, dict[str, str]]] = {
    "tanh": ("Tanh", {}), "relu": ("Relu", {}), "gelu": ("Gelu", {}), "gelu-tanh": ("Gelu", {"approximate": "tanh"}),
    "squared-relu": ("Relu", {}),
}


def _activation(g: _Graph, x: str, name: str) -> str:
    kind, attributes = _ACTIVATIONS[name]
    x = g.op(kind, x, **attributes)
    return g.op("Mul", x, x) if name == "squared-relu" else x


def _norm(g: _Graph, x: str, name: str, norm: str, width: int) -> str:
    """LayerNorm or RMSNorm of rows of `width` numbers; without a weight in the model it is 1."""
    import numpy as np

    weight = g.constant(f"{name}.weight", g.weights.get(f"{name}.weight", np.ones(width, dtype=np.float32)))
    if norm == "layer":
        bias = [g.weight(f"{name}.bias")] if f"{name}.bias" in g.weights else []
        return g.op("LayerNormalization", x, weight, *bias, axis=-1, epsilon=1e-5)
    square = g.op("ReduceMean", g.op("Mul", x, x), g.ints(-1), keepdims=1)
    return g.op("Mul", g.op("Div", x, g.op("Sqrt", g.op("Add", square, g.scalar(1e-5)))), weight)


def _window(g: _Graph, vocab: int, s: dict[str, Any]) -> str:
    """The mlp and the linear model."""
    embed, hidden = s.get("embed", 0), s.get("hidden", [])
    x = _characters(g, vocab, "embedding.weight" if embed else None)
    x = g.op("Reshape", x, g.ints(-1, s["context"] * (embed or vocab)))
    place = 0
    for width in hidden:
        x = g.linear(x, f"layers.{place}")
        place += 1
        if s["norm"] == "batch":
            x = _batch_norm(g, x, f"layers.{place}")
        elif s["norm"] != "none":
            x = _norm(g, x, f"layers.{place}", s["norm"], width)
        place += s["norm"] != "none"
        x = _activation(g, x, s["activation"])
        place += 1 + bool(s["dropout"])
    return g.linear(x, f"layers.{place}")


def _wavenet(g: _Graph, vocab: int, s: dict[str, Any]) -> str:
    x, width = _characters(g, vocab, "embedding.weight"), s["embed"]
    stages = s["context"].bit_length() - 1
    for stage in range(stages):
        # Two neighbours of (B T, E) are a row of (B T / 2, 2 E).
        x = g.op("Reshape", x, g.ints(-1, 2 * width))
        x = g.op("Tanh", _batch_norm(g, g.linear(x, f"layers.{4 * stage + 1}"), f"layers.{4 * stage + 2}"))
        width = s["hidden"]
    return g.linear(x, f"layers.{4 * stages}")


#: Where ONNX has the gates that PyTorch has in the order 0, 1, 2, ...
_GATES = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}


def _recurrent(g: _Graph, vocab: int, s: dict[str, Any]) -> str:
    import numpy as np

    kind, gates = s["kind"].upper(), _GATES[s["kind"]]
    x = g.op("Transpose", _characters(g, vocab, "embedding.weight" if s["embed"] else None), perm=[1, 0, 2])

    def turned(name: str) -> np.ndarray:
        parts = np.split(g.weights[f"rnn.{name}"], len(gates))
        return np.concatenate([parts[gate] for gate in gates])

    for layer in range(s["layers"]):
        names = [f"{part}_l{layer}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        ih, hh, *biases = [turned(name) for name in names]
        parts = [g.constant(f"rnn.{name}", array[None]) for name, array in zip(names, [ih, hh, np.concatenate(biases)], strict=False)]
        more = {"linear_before_reset": 1} if kind == "GRU" else {}
        # (T, 1, B, H)
        x = g.op("Squeeze", g.op(kind, x, *parts, hidden_size=s["hidden"], **more), g.ints(1))
    return g.linear(g.op("Transpose", x, perm=[1, 0, 2]), "output")


def _turned(g: _Graph, x: str, positions: str, size: int, context: int) -> str:
    """(B, heads, T, size), pairs (i, i + size / 2) turned by position over 10000^(2 i / size)"""
    import numpy as np

    angles = np.arange(context)[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size)
    cos, sin = (
        g.op("Gather", g.constant(name, of(angles).astype(np.float32)), positions, axis=0)
        for name, of in (("cos", np.cos), ("sin", np.sin))
    )
    a, b = (g.op("Slice", x, g.ints(i), g.ints(i + size // 2), g.ints(-1)) for i in (0, size // 2))
    left = g.op("Sub", g.op("Mul", a, cos), g.op("Mul", b, sin))
    return g.op("Concat", left, g.op("Add", g.op("Mul", a, sin), g.op("Mul", b, cos)), axis=-1)


def _attention(g: _Graph, x: str, name: str, positions: str, s: dict[str, Any]) -> str:
    import numpy as np

    size, context = s["embed"] // s["heads"], s["context"]

    def heads(part: int) -> str:
        split = g.op("Reshape", g.linear(x, f"{name}.c_attn", part, 3), g.ints(0, 0, s["heads"], size))
        return g.op("Transpose", split, perm=[0, 2, 1, 3])

    q, k, v = map(heads, range(3))
    if s["positions"] == "rotary":
        q, k = (_turned(g, part, positions, size, context) for part in (q, k))
    scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
    # Nothing is seen of what comes after.
    later = g.constant("later", np.triu(np.full((context, context), -np.inf, dtype=np.float32), 1))
    later = g.op("Gather", g.op("Gather", later, positions, axis=0), positions, axis=1)
    shares = g.op("Softmax", g.op("Add", g.op("Mul", scores, g.scalar(size**-0.5)), later), axis=-1)
    found = g.op("Transpose", g.op("MatMul", shares, v), perm=[0, 2, 1, 3])
    return g.linear(g.op("Reshape", found, g.ints(0, 0, s["embed"])), f"{name}.c_proj")


def _decoder(g: _Graph, vocab: int, s: dict[str, Any]) -> str:
    is_bow = s["kind"] == "bow"
    length = g.op("Gather", g.op("Shape", "x"), g.scalar(1), axis=0)
    positions = g.op("Range", g.scalar(0), length, g.scalar(1))

    def mlp(x: str, name: str) -> str:
        x = _activation(g, g.linear(x, f"{name}.c_fc"), s["activation"])
        return g.linear(x, f"{name}.c_proj")

    def norm(x: str, name: str) -> str:
        return _norm(g, x, name, s["norm"], s["embed"])

    x = _characters(g, vocab, "wte.weight")
    if is_bow or s["positions"] == "learned":
        x = g.op("Add", x, g.op("Gather", g.weight("wpe.weight"), positions, axis=0))
    if is_bow:
        # x plus the mean of all up to here
        n = g.op("Unsqueeze", g.op("Cast", g.op("Add", positions, g.scalar(1)), to=_TYPES["float32"]), g.ints(1))
        x = g.op("Add", x, g.op("Div", g.op("CumSum", x, g.scalar(1)), n))
        return g.linear(g.op("Add", x, mlp(x, "mlp")), "lm_head")
    if s["embed_norm"]:
        x = norm(x, "ln_e")
    for layer in range(s["layers"]):
        name = f"h.{layer}"
        x = g.op("Add", x, _attention(g, norm(x, f"{name}.ln_1"), f"{name}.attn", positions, s))
        x = g.op("Add", x, mlp(norm(x, f"{name}.ln_2"), f"{name}.mlp"))
    if not s["embed_norm"]:
        x = norm(x, "ln_f")
    return g.linear(x, "wte" if s["tie"] else "lm_head")


#: How the graph of each kind is made, of its settings.
_WINDOWS = {"mlp": _window, "linear": _window, "wavenet": _wavenet}
_MAKERS = _WINDOWS | dict.fromkeys(_GATES, _recurrent) | {"transformer": _decoder, "bow": _decoder}


def _value(name: str, kind: str, *shape: int | str) -> bytes:
    """A graph's input or output; an axis that is a word may have any length."""
    axes = [message((1 if isinstance(axis, int) else 2, axis)) for axis in shape]
    tensor = message((1, _TYPES[kind]), (2, message((1, axes))))
    return message((1, name), (2, message((1, tensor))))


def to_onnx(model: LanguageModel) -> bytes:
    """The bytes of an ONNX file: input `x` (B, T), int64; output `logits`, (B, V) of a window model, else (B, T, V).

    T is the context of a window model, and at most that of a transformer or a bag of words.
    """
    config, vocab = model.config_["model"], model.vocab_
    kind = config["kind"]
    if kind not in _MAKERS:
        known = ", ".join(_MAKERS)
        raise ModelError(f"a model of kind {kind!r} has no ONNX form; {known} have one. save() writes charloom's own file")
    graph = _Graph(model.state_dict())
    found = _MAKERS[kind](graph, len(vocab), config)
    graph.nodes.append(message((1, [found]), (2, ["logits"]), (4, "Identity")))
    is_window = kind in _WINDOWS
    x = _value("x", "int64", "B", config["context"] if is_window else "T")
    logits = _value("logits", "float32", "B", *([] if is_window else ["T"]), len(vocab))
    made = message((1, graph.nodes), (2, kind), (5, list(graph.tensors.values())), (11, [x]), (12, [logits]))
    notes = {"vocab": json.dumps(vocab), "config": json.dumps(model.config_)}
    pairs = [message((1, key), (2, value)) for key, value in notes.items()]
    return message((1, _IR), (2, "charloom"), (7, made), (8, message((1, ""), (2, _OPSET))), (14, pairs))
