"""Models from files, and trainings by hand."""

from __future__ import annotations

import os

from . import _charloom, _html
from ._base import CharModel
from ._errors import SettingError
from ._language import LanguageModel, count, word
from ._text import Texts, as_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Trained(LanguageModel):
    """A model from a file or a run folder."""

    #: Of a mixture, how much each member counts.
    weights_: list[float] | None = None

    def __init__(self, model: _charloom.Model, path: str | None = None):
        if not isinstance(model, _charloom.Model):
            raise TypeError(f"a Trained model is made by load(path), mix or a Trainer, not of {type(model).__name__}")
        self._model = model
        self._path = path

    @property
    def history_(self) -> list[dict[str, Any]]:
        """The losses of the run that it was loaded from, as `fit` tells them; of a file none."""
        import json

        path = os.path.join(self._path or "", "metrics.jsonl")
        if self._path is None or not os.path.isfile(path):
            return []
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        names = {"batch": "loss", "train": "train_loss", "val": "val_loss"}
        return [{"step": line["step"], names[line["split"]]: line["loss"]} for line in lines if line["split"] in names]

    def __repr__(self) -> str:
        n, kind = self.n_parameters_, self.config_["model"]["kind"]
        return f"<charloom {kind}>" if n is None else f"<charloom {kind}, {n} parameters>"

    def _repr_html_(self) -> str:
        return _html.model(self)


class Trainer:
    """A training step by step, for those who want the loop.

    >>> t = Trainer(MLP(hidden=16, steps=100), ["emma", "olivia"])
    >>> t.step() > 0
    True
    """

    def __init__(self, model: CharModel, X: Texts, *, val: Texts | None = None, threads: int | None = None):
        if not isinstance(model, CharModel):
            raise TypeError(f"model must be a model such as MLP(), not {'the class ' if isinstance(model, type) else ''}"
                            f"{getattr(model, '__name__', type(model).__name__)}")
        if model._counts:
            raise SettingError(f"a {type(model).__name__} counts, in one pass; call its fit")
        if getattr(model, "seeds", 1) != 1:
            raise SettingError("`seeds` has no effect: a Trainer is one training; call the model's fit")
        text, mode = as_text(X)
        of_val = None if val is None else as_text(val, "val")[0]
        self._training = _charloom.Training(model._config(mode), text, of_val, None if threads is None else count(threads, "threads"))

    def step(self, steps: int = 1) -> float:
        """Makes updates; returns the minibatch's loss before the last of them, in nats per character."""
        return self._training.step(count(steps, "steps"))

    @property
    def steps_done(self) -> int:
        """Updates made."""
        return self._training.steps_done

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self._training.lr

    def evaluate(self, split: str = "val") -> float | None:
        """The loss on a whole split, in nats per character."""
        return self._training.evaluate(word(split, "split"))

    def model(self) -> Trained:
        """The model as it is now."""
        return Trained(self._training.model())


def load(path: str | os.PathLike[str]) -> Trained:
    """The model of a run folder (its best) or of a model file."""
    path = os.fsdecode(path)
    return Trained(_charloom.Model.load(path), path)
