"""The keywords of the models' constructors, made of the library's own settings."""

from __future__ import annotations

import math
import os

from . import _charloom
from ._errors import SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ALL = _charloom.settings()
#: Settings of training that the library leaves out of its defaults: none, or they follow from others.
_DERIVED = ("eval_every", "eval_size", "log_every", "feed", "init_from", "teacher", "teacher_weight", "teacher_temperature")
#: The settings of training and of data, with their defaults; of data, which is given as text, those that are not of files.
TRAIN: dict[str, Any] = {**_ALL["train"], "seeds": 1, **dict.fromkeys(_DERIVED)}
DATA: dict[str, Any] = {
    key: _ALL["data"].get(key) for key in ("mode", "split", "split_seed", "shuffle", "dedupe", "normalize")
}


def of_kind(kind: str) -> dict[str, Any]:
    """A kind's own settings, with their defaults."""
    return {setting["key"]: setting["default"] for setting in _ALL["kinds"][kind]}


def about(kind: str) -> dict[str, str]:
    """What each of a kind's own settings is, and its limit."""
    return {s["key"]: f"{s['about']}; {s['limit']}" for s in _ALL["kinds"][kind]}


def defaults(kind: str, counts: bool) -> dict[str, Any]:
    """All keywords of a kind's constructor, with their defaults."""
    return {**of_kind(kind), **({} if counts else TRAIN), **DATA}


def constructor(kind: str, counts: bool, name: str) -> Callable[..., None]:
    """A kind's `__init__`: keywords with their defaults, each stored under its name."""
    names = {"_defaults": defaults(kind, counts)}
    keywords = ", ".join(f"{key}=_defaults[{key!r}]" for key in names["_defaults"])
    stores = "; ".join(f"self.{key} = {key}" for key in names["_defaults"])
    exec(f"def __init__(self, *, {keywords}): {stores}", names)  # as dataclasses make theirs
    names["__init__"].__qualname__ = f"{name}.__init__"  # type: ignore[attr-defined]  # what errors say
    return names["__init__"]  # type: ignore[return-value]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value


def plain(value: Any) -> Any:
    """A setting's value as JSON has it: numpy's numbers, tuples and paths included."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if hasattr(value, "item") and not isinstance(value, str) else value


def _default(own: dict[str, Any], key: str) -> Any:
    return own[key] if key in own else TRAIN.get(key, DATA.get(key))


def config(kind: str, params: dict[str, Any]) -> str:
    """The configuration of these keywords, as JSON."""
    import json

    own = of_kind(kind)
    model: dict[str, Any] = {"kind": kind}
    train: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for key, value in params.items():
        if value is None:
            continue
        to = model if key in own else data if key in DATA else train
        to[key] = plain(value)
        if isinstance(to[key], float) and to[key].is_integer() and type(_default(own, key)) is int:
            to[key] = int(to[key])  # 1e4 steps
        if isinstance(to[key], float) and not math.isfinite(to[key]):
            raise SettingError(f"`{key}` {value} is out of range; it must be a finite number")
    of_teacher = {key: train.pop(f"teacher_{key}") for key in ("weight", "temperature") if f"teacher_{key}" in train}
    if "teacher" in train:
        train["teacher"] = {"path": train["teacher"], "weight": 0.5, **of_teacher}
    elif of_teacher:
        raise SettingError(f"`teacher_{next(iter(of_teacher))}` has no effect: there is no `teacher`")
    try:
        return json.dumps({"model": model, "train": train, "data": data})
    except TypeError as error:
        named = {**model, **train, **data}
        wrong = next((key for key, value in named.items() if not isinstance(value, (str, bool, int, float, list))), "a setting")
        kind = type(named.get(wrong, error)).__name__
        raise TypeError(f"`{wrong}` is {kind}; a setting is a number, a word, a path or a list of such") from None


def params(config: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a configuration."""
    model = {key: value for key, value in config["model"].items() if key != "kind"}
    data = {key: value for key, value in config.get("data", {}).items() if key in DATA}
    train = dict(config.get("train", {}))
    teacher = train.pop("teacher", None)
    if teacher is not None:
        train |= {"teacher": teacher["path"]} | {f"teacher_{key}": teacher.get(key) for key in ("weight", "temperature")}
    return {key: _tuples(value) for key, value in {**model, **train, **data}.items()}
