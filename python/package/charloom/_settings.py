"""The keywords of the models' constructors, made of the library's own settings."""

from __future__ import annotations

import math
import os

from . import _charloom
from ._errors import SettingError
from ._text import whole

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


#: How many lists and dicts lie in one another at most.
_DEEP = 4


def plain(value: Any, key: str, depth: int = 0) -> Any:
    """A setting's value as JSON has it: numpy's numbers and arrays, tuples and paths included."""
    if hasattr(value, "tolist") and not isinstance(value, str):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if isinstance(value, (list, tuple, range, dict)) and depth == _DEEP:
        raise TypeError(f"`{key}` has lists in lists; a setting is a number, a word, a path or a list of such")
    if isinstance(value, dict):
        return {str(name): plain(item, key, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(item, key, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"`{key}` {value} is out of range; it must be a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise SettingError(f"`{key}` is out of range; it must be from -2^63 to 2^63 - 1")
    if isinstance(value, str):
        return whole(value, f"`{key}`")
    if not isinstance(value, (bool, int, float)):
        raise TypeError(f"`{key}` is {type(value).__name__}; a setting is a number, a word, a path or a list of such")
    return value


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
        to[key] = plain(value, key)
        if isinstance(to[key], float) and to[key].is_integer() and type(_default(own, key)) is int:
            to[key] = plain(int(to[key]), key)  # 1e4 steps
    of_teacher = {key: train.pop(f"teacher_{key}") for key in ("weight", "temperature") if f"teacher_{key}" in train}
    if "teacher" in train:
        train["teacher"] = {"path": train["teacher"], "weight": 0.5, **of_teacher}
    elif of_teacher:
        raise SettingError(f"`teacher_{next(iter(of_teacher))}` has no effect: there is no `teacher`")
    return json.dumps({"model": model, "train": train, "data": data})


def params(config: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a configuration."""
    model = {key: value for key, value in config["model"].items() if key != "kind"}
    data = {key: value for key, value in config.get("data", {}).items() if key in DATA}
    train = dict(config.get("train", {}))
    teacher = train.pop("teacher", None)
    if teacher is not None:
        train |= {"teacher": teacher["path"]} | {f"teacher_{key}": teacher.get(key) for key in ("weight", "temperature")}
    return {key: _tuples(value) for key, value in {**model, **train, **data}.items()}
