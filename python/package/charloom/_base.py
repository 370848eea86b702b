"""What all models have in common: scikit-learn's manners, and what a language model can do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

from . import _charloom, _html, _settings
from ._errors import CharloomError, NotFittedError, SettingError
from ._progress import Progress, teller
from ._text import Texts, as_list, as_text

if TYPE_CHECKING:
    import numpy as np

#: The seed of sampling, where none is given.
SEED = 2_147_483_647


class LanguageModel:
    """What a fitted model can do, however it came to be."""

    _model: _charloom.Model | None = None

    def _fitted(self) -> _charloom.Model:
        if self._model is None:
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit with some text first")
        return self._model

    @property
    def vocab_(self) -> list[str]:
        """Its characters, in the order of their numbers; of a model of words the first is the boundary."""
        return self._fitted().vocab

    @property
    def n_parameters_(self) -> int | None:
        """How many numbers it has learned; None of a model that counts."""
        return self._fitted().n_parameters

    @property
    def config_(self) -> dict[str, Any]:
        """Every setting, defaults made explicit."""
        return json.loads(self._fitted().config)

    def sample(
        self,
        n: int = 10,
        *,
        prefix: str = "",
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = SEED,
        min_length: int = 0,
        max_length: int = 500,
        novel: bool = False,
        unique: bool = False,
        return_log_probs: bool = False,
    ) -> Any:
        """New strings; with `return_log_probs` also the logarithm of each one's probability, in nats.

        The same seed gives the same strings as the command. `novel` leaves out strings of the training split, `unique`
        those that were sampled before.
        """
        texts, log_probs = self._fitted().sample(
            _count(n, "n"),
            _count(seed, "seed"),
            temperature,
            _count(top_k, "top_k"),
            top_p,
            prefix,
            _count(min_length, "min_length"),
            _count(max_length, "max_length"),
            novel,
            unique,
        )
        return (texts, log_probs) if return_log_probs else texts

    def stream(self, prefix: str = "", *, temperature: float = 1.0, seed: int = SEED) -> Iterator[str]:
        """A text without end, character after character, after the prefix."""
        length, done = 256, len(prefix)
        while True:
            text = self.sample(1, prefix=prefix, temperature=temperature, seed=seed, max_length=length)[0]
            yield from text[done:]
            if len(text) < length:
                return
            done, length = len(text), 2 * length

    def score_samples(self, X: Iterable[str]) -> np.ndarray:
        """The logarithm of each string's probability, in nats (with the boundary that ends a word); shape (n,).

        A string with a character that the model does not know has -inf.
        """
        return self._fitted().score(as_list(X))[0]

    def per_char(self, X: Iterable[str]) -> np.ndarray:
        """The mean loss of each string, in nats per character; shape (n,)."""
        return self._fitted().score(as_list(X))[1]

    def score(self, X: Texts, y: Any = None) -> float:
        """The mean log-likelihood of a character of `X`, in nats: the higher the better, as scikit-learn wants it."""
        return -self.evaluate(X)["loss"]

    def evaluate(self, X: Texts | None = None, *, split: str = "test") -> dict[str, float]:
        """Loss (nats per character), bits_per_char, perplexity and examples of a text, or of a split of what it was fitted on."""
        return self._fitted().evaluate(None if X is None else as_text(X)[0], split)

    def surprise(self, text: str) -> _html.Surprise:
        """Each character of a string and the logarithm of its probability, in nats; coloured in a notebook."""
        return _html.Surprise(self._fitted().surprise(text))

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """The probability of each next character (in the order of `vocab_`) after each beginning; shape (n, V)."""
        return self._fitted().predict_proba(as_list(X))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of its tensors, by PyTorch's names and in its shapes."""
        return self._fitted().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> Self:
        """Takes up other numbers for its tensors: arrays or PyTorch's tensors, of the same names and shapes."""
        import numpy as np

        arrays = {name: np.ascontiguousarray(_numpy(tensor), dtype=np.float32) for name, tensor in state.items()}
        self._model = self._fitted().with_state(arrays)
        return self

    def from_torch(self, module: Any) -> Self:
        """Takes up the weights of a PyTorch module, or of its state dict."""
        state = module.state_dict() if hasattr(module, "state_dict") else module
        ours = self._fitted().state_dict()
        # torch's count of batches decides nothing.
        wanted = {n: t for n, t in state.items() if n in ours or not n.endswith("num_batches_tracked")}
        return self.load_state_dict(wanted)

    def to_torch(self) -> Any:
        """A `torch.nn.Module` with the same weights, names and outputs."""
        from ._torch import to_torch

        return to_torch(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model as one file, which the command reads too."""
        import tempfile
        from pathlib import Path

        path = Path(path)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(self._fitted().to_bytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)


class CharModel(LanguageModel):
    """A model that can be fitted, with the manners of scikit-learn's estimators."""

    kind: ClassVar[str]
    _counts: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:
            cls.__init__ = _settings.constructor(cls.kind, cls._counts)  # type: ignore[method-assign]
            own = "\n".join(f"    {key}: {about}" for key, about in _settings.about(cls.kind).items())
            cls.__doc__ = f"{cls.__doc__}\n\nKeywords\n--------\n{own}\n"

    @classmethod
    def _keys(cls) -> list[str]:
        return list(_settings.defaults(cls.kind, cls._counts))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's keywords and their values."""
        return {key: getattr(self, key) for key in self._keys()}

    def set_params(self, **params: Any) -> Self:
        """Gives keywords other values."""
        for key, value in params.items():
            if key not in self._keys():
                raise SettingError(f"{type(self).__name__} has no keyword {key!r}; it has {', '.join(self._keys())}")
            setattr(self, key, value)
        return self

    def _config(self, mode: str | None) -> str:
        params = self.get_params()
        if params["mode"] is None and mode is not None:
            params["mode"] = mode
        return _settings.config(self.kind, params)

    def fit(
        self,
        X: Texts,
        y: Any = None,
        *,
        val: Texts | None = None,
        out: str | os.PathLike[str] | None = None,
        force: bool = False,
        threads: int | None = None,
        progress: bool | str = "auto",
        callbacks: Iterable[Callable[[dict[str, Any]], Any]] = (),
    ) -> Self:
        """Trains on strings (one a line), on one long text, or on a file.

        Of the text a tenth is held out to validate and a tenth to test (`split`), unless `val` is given. The model that
        predicts the validation split best is kept. With `out` the run is a folder, as the command writes it. A callback is
        given each event as a dict: `event` is "step" (step, loss, lr) or "evaluated" (step, train_loss, val_loss, best).
        Ctrl-C keeps the best model so far, and raises KeyboardInterrupt.
        """
        import tempfile
        from pathlib import Path

        if self.__dict__.get("_fitting"):
            raise CharloomError(f"this {type(self).__name__} is being fitted by another call; fit a clone of it")
        text, mode = as_text(X)
        of_val = None if val is None else as_text(val, "val")[0]
        config = self._config(mode)
        history: list[dict[str, Any]] = []
        shown = Progress(progress, getattr(self, "steps", 1))
        tell = teller(shown, list(callbacks), history)
        self._fitting = True
        try:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / "run" if out is None else Path(out)
                model, raised = _charloom.fit(config, text, of_val, folder, force, threads, tell)
        finally:
            del self._fitting
            shown.close()
        if model is not None:
            self._model = model
            self.history_ = history
        if raised is not None:
            raise raised
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_fitting"}

    def __sklearn_is_fitted__(self) -> bool:
        return self._model is not None

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, InputTags, TargetTags

        return Tags(
            estimator_type="density_estimator",
            target_tags=TargetTags(required=False),
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )

    def __repr__(self) -> str:
        defaults = _settings.defaults(self.kind, self._counts)
        given = {key: value for key, value in self.get_params().items() if value != defaults[key]}
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in given.items())})"

    def _repr_html_(self) -> str:
        return _html.model(self)


class Trained(LanguageModel):
    """A model from a file or a run folder."""

    #: Of a mixture, how much each member counts.
    weights_: list[float] | None = None

    def __init__(self, model: _charloom.Model):
        self._model = model

    def __repr__(self) -> str:
        return f"<charloom {self.config_['model']['kind']}, {self.n_parameters_} parameters>"

    def _repr_html_(self) -> str:
        return _html.model(self)


class Trainer:
    """A training step by step, for those who want the loop.

    >>> t = Trainer(MLP(hidden=16, steps=100), ["emma", "olivia"])
    >>> t.step() > 0
    True
    """

    def __init__(self, model: CharModel, X: Texts, *, val: Texts | None = None, threads: int | None = None):
        if model._counts:
            raise SettingError(f"a {type(model).__name__} counts, in one pass; call its fit")
        text, mode = as_text(X)
        of_val = None if val is None else as_text(val, "val")[0]
        self._training = _charloom.Training(model._config(mode), text, of_val, threads)

    def step(self, steps: int = 1) -> float:
        """Makes updates; returns the minibatch's loss before the last of them, in nats per character."""
        return self._training.step(_count(steps, "steps"))

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
        return self._training.evaluate(split)

    def model(self) -> Trained:
        """The model as it is now."""
        return Trained(self._training.model())


def load(path: str | os.PathLike[str]) -> Trained:
    """The model of a run folder (its best) or of a model file."""
    return Trained(_charloom.Model.load(os.fspath(path)))


def _count(n: Any, what: str) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"{what} must be a whole number, not {type(n).__name__}")
    if not 0 <= n.__index__() < 2**63:
        raise SettingError(f"{what} {n} is out of range; it must be from 0 to 2^63 - 1")
    return n.__index__()


def _numpy(tensor: Any) -> Any:
    return tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor


__all__ = ["CharModel", "CharloomError", "LanguageModel", "Trained", "Trainer", "load"]
