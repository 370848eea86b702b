"""The same models in PyTorch, which is imported only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import ModelError

if TYPE_CHECKING:
    from ._language import LanguageModel


def _activation(nn: Any, name: str) -> Any:
    class SquaredReLU(nn.Module):
        def forward(self, x: Any) -> Any:
            return nn.functional.relu(x).square()

    return {
        "tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU, "gelu-tanh": lambda: nn.GELU(approximate="tanh"),
        "squared-relu": SquaredReLU,
    }[name]()


def _norm(nn: Any, name: str, width: int) -> list[Any]:
    norms = {"none": [], "batch": [nn.BatchNorm1d(width)], "layer": [nn.LayerNorm(width)], "rms": [nn.RMSNorm(width, eps=1e-5)]}
    return norms[name]


def _window(nn: Any, torch: Any, vocab: int, embed: int, layers: list[Any]) -> Any:
    """(B, T) numbers of characters -> (B, V) logits of the next."""

    class Window(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if embed:
                self.embedding = nn.Embedding(vocab, embed)
            self.layers = nn.Sequential(*layers)

        def forward(self, x: Any) -> Any:
            one_hot = nn.functional.one_hot
            x = self.embedding(x) if embed else one_hot(x, vocab).to(torch.get_default_dtype())
            return self.layers(x.flatten(1))

    return Window()


def _mlp(nn: Any, torch: Any, vocab: int, s: dict[str, Any]) -> Any:
    layers: list[Any] = []
    width = s["context"] * (s["embed"] or vocab)
    for hidden in s["hidden"]:
        layers.append(nn.Linear(width, hidden, bias=s["norm"] == "none" or s["bias"]))
        layers += _norm(nn, s["norm"], hidden)
        layers.append(_activation(nn, s["activation"]))
        if s["dropout"]:
            layers.append(nn.Dropout(s["dropout"]))
        width = hidden
    return _window(nn, torch, vocab, s["embed"], [*layers, nn.Linear(width, vocab)])


def _linear(nn: Any, torch: Any, vocab: int, s: dict[str, Any]) -> Any:
    return _window(nn, torch, vocab, 0, [nn.Linear(s["context"] * vocab, vocab, bias=s["bias"])])


def _wavenet(nn: Any, torch: Any, vocab: int, s: dict[str, Any]) -> Any:
    class FlattenConsecutive(nn.Module):
        """(B, T, E) -> (B, T / 2, 2 E), or (B, 2 E) where one position is left"""

        def forward(self, x: Any) -> Any:
            batch, length, width = x.shape
            return x.reshape(batch, length // 2, 2 * width).squeeze(1)

    class BatchNorm(nn.BatchNorm1d):
        """Over the batch and all positions."""

        def forward(self, x: Any) -> Any:
            return super().forward(x) if x.ndim == 2 else super().forward(x.transpose(1, 2)).transpose(1, 2)

    class WaveNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocab, s["embed"])
            layers: list[Any] = []
            width = s["embed"]
            for _ in range(s["context"].bit_length() - 1):
                hidden = s["hidden"]
                layers += [FlattenConsecutive(), nn.Linear(2 * width, hidden, bias=False), BatchNorm(hidden), nn.Tanh()]
                width = hidden
            self.layers = nn.Sequential(*layers, nn.Linear(width, vocab))

        def forward(self, x: Any) -> Any:
            return self.layers(self.embedding(x))

    return WaveNet()


def _recurrent(kind: str) -> Any:
    """(B, T) numbers of characters -> (B, T, V) logits of what comes after each."""

    def make(nn: Any, torch: Any, vocab: int, s: dict[str, Any]) -> Any:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                if s["embed"]:
                    self.embedding = nn.Embedding(vocab, s["embed"])
                self.rnn = getattr(nn, kind)(s["embed"] or vocab, s["hidden"], s["layers"], batch_first=True)
                self.output = nn.Linear(s["hidden"], vocab)

            def forward(self, x: Any) -> Any:
                one_hot = nn.functional.one_hot
                x = self.embedding(x) if s["embed"] else one_hot(x, vocab).to(torch.get_default_dtype())
                return self.output(self.rnn(x)[0])

        return Net()

    return make


def _decoder(nn: Any, torch: Any, vocab: int, s: dict[str, Any]) -> Any:
    """(B, T) numbers of characters, T at most the context -> (B, T, V) logits of what comes after each."""
    functional = nn.functional
    width, is_bow = s["embed"], s["kind"] == "bow"
    act = _activation(nn, s["activation"])

    def norm() -> Any:
        if s["norm"] == "rms":
            return nn.RMSNorm(width, eps=1e-5, elementwise_affine=s["norm_weight"])
        return nn.LayerNorm(width, elementwise_affine=s["norm_weight"], bias=s["bias"])

    def turned(x: Any) -> Any:
        """(B, heads, T, size), pairs (i, i + size / 2) turned by position over 10000^(2 i / size)"""
        size = x.shape[-1]
        rates = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angles = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * rates
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        a, b = x[..., : size // 2], x[..., size // 2 :]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_attn = nn.Linear(width, 3 * width, bias=s["bias"])
            self.c_proj = nn.Linear(width, width, bias=s["bias"])

        def forward(self, x: Any) -> Any:
            batch, length, _ = x.shape
            parts = self.c_attn(x).split(width, dim=2)
            q, k, v = (part.view(batch, length, s["heads"], -1).transpose(1, 2) for part in parts)
            if s["positions"] == "rotary":
                q, k = turned(q), turned(k)
            found = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(found.transpose(1, 2).reshape(batch, length, width))

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            hidden, bias = (s["hidden"], True) if is_bow else (4 * width, s["bias"])
            self.c_fc = nn.Linear(width, hidden, bias=bias)
            self.c_proj = nn.Linear(hidden, width, bias=bias)

        def forward(self, x: Any) -> Any:
            return self.c_proj(act(self.c_fc(x)))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.attn, self.ln_2, self.mlp = norm(), Attention(), norm(), Mlp()

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class Mean(nn.Module):
        """x plus the mean of all up to here"""

        def forward(self, x: Any) -> Any:
            return x + x.cumsum(1) / torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte = nn.Embedding(vocab, width)
            if is_bow or s["positions"] == "learned":
                self.wpe = nn.Embedding(s["context"], width)
            if is_bow:
                self.mean, self.mlp = Mean(), Mlp()
            else:
                self.h = nn.ModuleList(Block() for _ in range(s["layers"]))
                if s["embed_norm"]:
                    self.ln_e = norm()
                else:
                    self.ln_f = norm()
            if not s.get("tie"):
                self.lm_head = nn.Linear(width, vocab, bias=is_bow)

        def forward(self, x: Any) -> Any:
            positions = torch.arange(x.shape[1])
            x = self.wte(x)
            if hasattr(self, "wpe"):
                x = x + self.wpe(positions)
            if hasattr(self, "ln_e"):
                x = self.ln_e(x)
            if is_bow:
                x = self.mean(x)
                x = x + self.mlp(x)
            else:
                for block in self.h:
                    x = block(x)
            if hasattr(self, "ln_f"):
                x = self.ln_f(x)
            return self.lm_head(x) if hasattr(self, "lm_head") else x @ self.wte.weight.T

    return Decoder()


#: How the module of each kind is made, of its settings.
MAKERS = {
    "transformer": _decoder, "bow": _decoder, "mlp": _mlp, "linear": _linear, "wavenet": _wavenet,
} | {
    kind.lower(): _recurrent(kind) for kind in ("RNN", "GRU", "LSTM")
}


def to_torch(model: LanguageModel) -> Any:
    """The module of a model, in evaluation mode, with its weights."""
    config = model.config_["model"]
    make = MAKERS.get(config["kind"])
    if make is None:
        raise ModelError(f"a model of kind {config['kind']!r} has no PyTorch form; {', '.join(MAKERS)} have one")
    import torch

    module = make(torch.nn, torch, len(model.vocab_), config)
    state = {name: torch.from_numpy(array) for name, array in model.state_dict().items()}
    known = module.state_dict()
    # torch's count of batches, which decides nothing.
    state |= {name: value for name, value in known.items() if name.endswith("num_batches_tracked")}
    module.load_state_dict(state)
    return module.eval()
