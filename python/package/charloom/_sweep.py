"""Studies: many trainings that differ in some settings, to find those that predict best."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from . import _charloom, _html, _settings
from ._base import CharModel
from ._errors import SettingError
from ._language import count, flag, number, word
from ._progress import Progress, functions
from ._text import Texts, as_text
from .models import CLASSES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Sweep(list):
    """The trials of a study as dicts, the best first: number, state, settings, loss (nats per character), steps, seconds, ..."""

    #: The best trial's settings and loss; a model with these settings, not fitted; None where no trial was trained to its end.
    best_params_: dict[str, Any] | None = None
    best_loss_: float | None = None
    best_model_: CharModel | None = None
    #: The share of the trials' differences that each setting explains, from 0 to 1, the most important first.
    importance_: dict[str, float | None]

    def _repr_html_(self) -> str:
        names = sorted({name for trial in self for name in trial["settings"]})
        head = "".join(f"<th>{_html.escape(name)}</th>" for name in ["trial", "state", "nats / char", *names])

        def row(trial: dict[str, Any]) -> str:
            loss = "" if trial["loss"] is None else f"{trial['loss']:.4f}"
            cells = [trial["number"], trial["state"], loss, *(trial["settings"].get(name, "") for name in names)]
            return "<tr>" + "".join(f"<td>{_html.escape(cell)}</td>" for cell in cells) + "</tr>"

        more = f"<p>and {len(self) - 20} more</p>" if len(self) > 20 else ""
        return f"<table><tr>{head}</tr>{''.join(map(row, self[:20]))}</table>{more}"


def sweep(
    settings: Mapping[str, Any],
    *,
    base: CharModel,
    data: Texts,
    val: Texts | None = None,
    trials: int | None = None,
    seeds: int = 1,
    sampler: str | None = None,
    sampler_seed: int = 1,
    prune: str = "none",
    max_steps: int | None = None,
    max_seconds: float | None = None,
    study: str | os.PathLike[str] | None = None,
    resume: bool = False,
    threads: int = 0,
    progress: bool | str = "auto",
    callbacks: Iterable[Callable[[dict[str, Any]], Any]] = (),
) -> Sweep:
    """Tries settings, trains a model for each, and compares them on the validation split.

    A setting's values are a list, or a range: `{"low": 1e-3, "high": 1.0, "log": True}`; all else is as in `base`. `sampler` is
    "grid", "random" or "tpe" (by itself: "tpe" if there is a range, else "grid"); `prune` "none", "asha" or "hyperband";
    `seeds` trainings a trial. Each trial computes on one thread, `threads` of them at once (0: one for each core).
    With `study`, a file, it can go on after a stop (`resume=True`), and `charloom sweep show` reads it. A callback is given each
    finished trial as a dict: number, state, loss, error.

    >>> found = sweep({"embed": [2, 4]}, base=MLP(hidden=8, steps=50), data=names)    # doctest: +SKIP
    >>> found.best_model_.fit(names)                                                  # doctest: +SKIP
    """
    import json
    import tempfile
    from pathlib import Path

    if not isinstance(base, CharModel):
        raise TypeError(f"base must be a model such as MLP(), not {type(base).__name__}")
    if not isinstance(settings, Mapping):
        raise TypeError(f"settings must be a dict of names and values, not {type(settings).__name__}")
    if flag(resume, "resume") and study is None:
        raise SettingError("`resume` goes on with a study; name its file with `study`")
    values = {name: dict(of) if isinstance(of, Mapping) else _choices(name, of) for name, of in settings.items()}
    has_range = any(isinstance(of, dict) for of in values.values())
    spec: dict[str, Any] = {"settings": {str(name): _settings.plain(of, str(name)) for name, of in values.items()}}
    for check, given in (
        (word, {"sampler": sampler or ("tpe" if has_range else "grid"), "prune": prune}),
        (count, {"trials": trials, "seeds": seeds, "sampler_seed": sampler_seed, "max_steps": max_steps}),
        (number, {"max_seconds": max_seconds}),
    ):
        # `plain` refuses NaN.
        spec |= {key: _settings.plain(check(value, key), key) for key, value in given.items() if value is not None}
    written = json.dumps(spec)
    text, mode = as_text(data)
    of_val = None if val is None else as_text(val, "val")[0]
    told, shown = functions(callbacks), Progress(progress, trials or 0, unit="trial")

    def tell(event: dict[str, Any]) -> None:
        shown.trial(event["loss"])
        for callback in told:
            callback(event)

    folder = Path(tempfile.mkdtemp(prefix="charloom-")) if study is None else None
    path = Path(study) if folder is None else folder / "study.db"  # type: ignore[arg-type]
    try:
        found, raised = _charloom.sweep(written, base._config(mode), text, of_val, path, resume, count(threads, "threads"), tell)
    finally:
        shown.close()
        if folder is not None:
            path.unlink(missing_ok=True)
            folder.rmdir()
    result = _result(json.loads(found), base)
    if raised is not None:
        raised.found = result  # type: ignore[attr-defined]
        raise raised
    return result


def _choices(name: str, values: Any) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise SettingError(f"setting {name}: give a list of values, or a dict with low and high, not {values!r}")
    return list(values)


def _result(found: dict[str, Any], base: CharModel) -> Sweep:
    result = Sweep(found["trials"])
    result.importance_ = {of["name"]: of["share"] for of in found["importance"]}
    if found["best"] is not None:
        result.best_params_, result.best_loss_ = result[0]["settings"], result[0]["loss"]
        keys, params = base.get_params(), _settings.params({"model": result.best_params_})
        made = type(base)
        if not set(params) <= set(keys):
            # A preset, or a number of layers with a width for each.
            made = CLASSES[found["best"]["model"]["kind"]]
            keys, params = made().get_params(), _settings.params(found["best"])
        result.best_model_ = made(**{key: params.get(key, value) for key, value in keys.items()})
    return result
