"""Models beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from . import _charloom, _html
from ._errors import SettingError
from ._language import LanguageModel, number
from ._text import Texts, as_list, as_text
from ._trained import Trained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Comparison(list):
    """Rows of a comparison, the best first: name, loss (nats per character), difference to the best and its standard error."""

    def _repr_html_(self) -> str:
        head = "<tr><th>model</th><th>nats / char</th><th>difference</th><th>p</th></tr>"

        def row(r: dict[str, Any]) -> str:
            difference = "" if r["difference"] is None else f"{r['difference']:+.4f} &plusmn; {r['standard_error']:.4f}"
            p = "" if r["p"] is None else f"{r['p']:.2g}"
            return f"<tr><td>{_html.escape(r['name'])}</td><td>{r['loss']:.4f}</td><td>{difference}</td><td>{p}</td></tr>"

        return f"<table>{head}{''.join(map(row, self))}</table>"


def _checked(models: Any) -> list[LanguageModel]:
    """Models, and nothing else."""
    if isinstance(models, LanguageModel) or not isinstance(models, Iterable):
        raise TypeError(f"models must be a list of models, not {type(models).__name__}")
    listed = list(models)
    for i, model in enumerate(listed):
        if not isinstance(model, LanguageModel):
            raise TypeError(f"models[{i}] is {type(model).__name__}, not a model")
    return listed


def compare(models: Sequence[LanguageModel] | Mapping[str, LanguageModel], X: Iterable[str]) -> Comparison:
    """Models on the same strings, each against the best by a paired test over strings.

    The difference is a ratio of sums (nats over characters), its standard error that of a ratio of means (Cochran 1977,
    6.3); p is of a normal distribution, which for a hundred strings or more is as good as Student's.
    """
    import numpy as np

    named: Iterable[tuple[str, LanguageModel]]
    if isinstance(models, Mapping):
        _checked(models.values())
        named = models.items()
    else:
        named = [(f"{type(model).__name__} {i}", model) for i, model in enumerate(_checked(models))]
    texts = as_list(X)
    losses = {name: -model.score_samples(texts) for name, model in named}
    if len(losses) < 2 or not texts:
        raise SettingError("two models or more and some strings are needed to compare")
    lengths = np.array([len(text) + 1 for text in texts], dtype=float)
    means = {name: float(loss.sum() / lengths.sum()) for name, loss in losses.items()}
    best = min(means, key=lambda name: means[name])
    rows = Comparison()
    for name in sorted(means, key=lambda name: means[name]):
        row: dict[str, Any] = {"name": name, "loss": means[name], "difference": None, "standard_error": None, "p": None}
        if name != best:
            d = losses[name] - losses[best]
            ratio = d.sum() / lengths.sum()
            n = len(texts)
            error = math.sqrt(np.sum((d - ratio * lengths) ** 2) / max(n - 1, 1) * n) / lengths.sum()
            row["difference"], row["standard_error"] = float(ratio), float(error)
            row["p"] = math.erfc(abs(ratio) / error / math.sqrt(2)) if error > 0 else None
        rows.append(row)
    return rows


def classify(models: Mapping[str, LanguageModel], X: Iterable[str]) -> list[str]:
    """Which of some models explains each string best: its name."""
    import numpy as np

    if not isinstance(models, Mapping):
        raise TypeError(f"models must be a dict of names and models, not {type(models).__name__}")
    _checked(models.values())
    texts = as_list(X)
    names = list(models)
    if not names:
        raise SettingError("one model or more is needed to classify")
    scores = np.stack([models[name].score_samples(texts) for name in names]) if texts else np.zeros((len(names), 0))
    return [names[i] for i in scores.argmax(axis=0)]


def mix(
    models: Sequence[LanguageModel],
    val: Texts | None = None,
    *,
    weights: Sequence[float] | None = None,
    product: bool = False,
    adapt: float | None = None,
) -> Trained:
    """One model of several: the mean of their probabilities, weighed so that `val` is likeliest, or by `weights`.

    With `product` their probabilities are multiplied, each to a power that depends on how sure all are; that is mostly
    better, and slower. With `adapt` too, the powers are for models that learn at this rate while they read, as in
    `evaluate(adapt=)`. Without `val` it is the validation split that the first was fitted with. What the weights are (of a
    product the mean powers), `weights_` says.
    """
    if weights is not None and product:
        raise SettingError("product: its powers are always fitted; leave out weights")
    if adapt is not None and not product:
        raise SettingError("adapt: only the powers of a product are fitted so; say product=True")
    models = _checked(models)
    text = None if val is None else as_text(val, "val")[0]
    if isinstance(weights, str) or not isinstance(weights, (Iterable, type(None))):
        raise TypeError(f"weights must be a list of numbers, one for each model, not {type(weights).__name__}")
    given = None if weights is None else [number(weight, f"weights[{i}]") for i, weight in enumerate(weights)]
    rate = None if adapt is None else number(adapt, "adapt")
    model, fitted = _charloom.mix([m._fitted() for m in models], text, given, bool(product), rate)
    mixed = Trained(model)
    mixed.weights_ = fitted
    return mixed
