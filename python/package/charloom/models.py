"""The kinds of models."""

from __future__ import annotations

from . import _charloom, _settings
from ._base import CharModel
from ._language import word
from ._text import Texts, as_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class MLP(CharModel):
    """The neural probabilistic language model of Bengio et al. 2003: an embedding, hidden layers, logits."""

    kind = "mlp"


class Linear(CharModel):
    """One matrix over a one-hot context."""

    kind = "linear"


class WaveNet(CharModel):
    """A tree over the context: neighbours are joined two by two, with BatchNorm over all positions."""

    kind = "wavenet"


class RNN(CharModel):
    """A recurrent net of tanh units: a state that each character changes."""

    kind = "rnn"


class GRU(CharModel):
    """A recurrent net of gated recurrent units (Cho et al. 2014)."""

    kind = "gru"


class LSTM(CharModel):
    """A recurrent net of long short-term memory cells (Hochreiter and Schmidhuber 1997)."""

    kind = "lstm"


class Transformer(CharModel):
    """Attention to all characters before, then an mlp, several times."""

    kind = "transformer"


class BagOfWords(CharModel):
    """The mean of all characters so far, and an mlp on it."""

    kind = "bow"


class Ngram(CharModel):
    """Counts of characters after those before them, smoothed."""

    kind = "ngram"
    _counts = True


#: The class of each kind.
CLASSES: dict[str, type[CharModel]] = {c.kind: c for c in (MLP, Linear, Ngram, WaveNet, RNN, GRU, LSTM, Transformer, BagOfWords)}


def preset(name: str, **params: Any) -> CharModel:
    """A model with the settings of a preset of the command, such as "bengio"; keywords beat them."""
    return _of(_charloom.preset(word(name, "name")), params)


def sized(size: str, X: Texts, *, kind: str | None = None, val: Texts | None = None, **params: Any) -> CharModel:
    """A model, not fitted, whose settings suit `X` and the time there is; keywords beat them.

    `size` is "tiny" (seconds), "small" (half a minute), "medium" (minutes) or "large" (an hour), `kind` a kind of model:
    "gru" where none is named. `X` and `val` are what `fit` is given then; it is the command's `--size`.

    >>> names = ["emma", "olivia"]
    >>> sized("tiny", names).fit(names)                                               # doctest: +SKIP
    """
    text, mode = as_text(X)
    of_val = None if val is None else as_text(val, "val")[0]
    of_data = {"mode": mode, **{key: value for key, value in params.items() if key in _settings.DATA}}
    return _of(_charloom.sized(word(size, "size"), None if kind is None else word(kind, "kind"), _settings.config("mlp", of_data), text, of_val), params)


def _of(config: dict[str, Any], params: dict[str, Any]) -> CharModel:
    made = CLASSES[config["model"]["kind"]]
    known = set(_settings.defaults(made.kind, made._counts))
    given = {key: value for key, value in _settings.params(config).items() if key in known}
    return made(**{**given, **params})
