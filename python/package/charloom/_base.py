"""Models that can be fitted, with scikit-learn's manners."""

from __future__ import annotations

import os

from . import _charloom, _html, _settings
from ._errors import CharloomError, SettingError
from ._language import LanguageModel, count, flag
from ._progress import Progress, functions
from ._text import Texts, as_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, ClassVar, Self


class CharModel(LanguageModel):
    """A model that can be fitted, with the manners of scikit-learn's estimators."""

    kind: ClassVar[str]
    _counts: ClassVar[bool] = False
    _history: list[dict[str, Any]]
    _fitting: object

    def __init__(self) -> None:
        raise TypeError("a CharModel is what MLP, GRU and the other kinds are; make one of those")

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:
            cls.__init__ = _settings.constructor(cls.kind, cls._counts, cls.__name__)  # type: ignore[method-assign]
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
        Ctrl-C keeps the best model so far, and raises KeyboardInterrupt. With `seeds` above 1 it is so many trainings, and
        the model is their mixture; a callback's events then say which `training`.
        """
        import tempfile
        from pathlib import Path

        # One step, so that of two threads one is refused.
        mine = object()
        if self.__dict__.setdefault("_fitting", mine) is not mine:
            raise CharloomError(f"this {type(self).__name__} is being fitted by another call; fit a clone of it")
        shown = None
        try:
            if isinstance(val, (int, float)):
                raise TypeError("val must be text to validate on; the share of X that is held out is the model's keyword `split`")
            text, mode = as_text(X)
            of_val = None if val is None else as_text(val, "val")[0]
            config = self._config(mode)
            told, force = functions(callbacks), flag(force, "force")
            if out is not None and not os.fspath(out):
                raise SettingError("`out` is empty; name a folder")
            limit = None if threads is None else count(threads, "threads")
            shown = Progress(progress, getattr(self, "steps", 1))
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / "run" if out is None else Path(out)
                if getattr(self, "seeds", 1) != 1 and isinstance(text, str):
                    # Each member's run reads its data again, to be mixed.
                    file = Path(temporary) / "data.txt"
                    file.write_text(text, encoding="utf-8", newline="\n")
                    text = (os.fspath(file),)
                model, history, raised = _charloom.fit(
                    config, text, of_val, folder, force, limit, told, shown.event if shown.is_shown else None
                )
        except CharloomError as error:
            # A folder of its own is gone by then.
            said, saved, _ = str(error).partition("; what was saved before is in ")
            raise (type(error)(said) if out is None and saved else error) from None
        finally:
            del self._fitting
            if shown is not None:
                shown.close()
        if model is not None:
            self._model = model
            self._history = history
        if raised is not None:
            raise raised
        return self

    @property
    def history_(self) -> list[dict[str, Any]]:
        """What the last fit told: of steps `step`, `loss`, `lr`, of evaluations `step`, `train_loss`, `val_loss`, `best`."""
        self._fitted()
        return self._history

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
        # What is written alike: an array is not compared as a whole.
        given = {key: value for key, value in self.get_params().items() if repr(value) != repr(defaults[key])}
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in given.items())})"

    def _repr_html_(self) -> str:
        return _html.model(self)
