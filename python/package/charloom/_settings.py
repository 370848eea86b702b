"""The keywords of the models' constructors, made of the library's own settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from . import _charloom
from ._errors import SettingError

_ALL = json.loads(_charloom.settings())
#: The settings of training and of data, with their defaults; of data, which is given as text, those that are not of files.
TRAIN: dict[str, Any] = _ALL["train"]
DATA: dict[str, Any] = {
    key: _ALL["data"].get(key) for key in ("mode", "split", "split_seed", "shuffle", "dedupe", "normalize")
}
#: Those of training that are left out of `TRAIN` because they have no default of their own.
_DERIVED = {"eval_every": None, "eval_size": None, "log_every": None, "feed": None}


def _value(toml: str | None) -> Any:
    if toml is None:
        return None
    # TOML writes numbers, words and lists of them as JSON does.
    value = json.loads(toml)
    return tuple(value) if isinstance(value, list) else value


def of_kind(kind: str) -> dict[str, Any]:
    """A kind's own settings, with their defaults."""
    return {setting["key"]: _value(setting["default"]) for setting in _ALL["kinds"][kind]}


def about(kind: str) -> dict[str, str]:
    """What each of a kind's own settings is, and its limit."""
    return {s["key"]: f"{s['about']}; {s['limit']}" for s in _ALL["kinds"][kind]}


def defaults(kind: str, counts: bool) -> dict[str, Any]:
    """All keywords of a kind's constructor, with their defaults."""
    train = {} if counts else {**_frozen(TRAIN), **_DERIVED}
    return {**of_kind(kind), **train, **DATA}


def constructor(kind: str, counts: bool) -> Callable[..., None]:
    """A kind's `__init__`: keywords with their defaults, each stored under its name."""
    names = {"_defaults": defaults(kind, counts)}
    keywords = ", ".join(f"{key}=_defaults[{key!r}]" for key in names["_defaults"])
    stores = "; ".join(f"self.{key} = {key}" for key in names["_defaults"])
    exec(f"def __init__(self, *, {keywords}): {stores}", names)  # as dataclasses make theirs
    return names["__init__"]  # type: ignore[return-value]


def _frozen(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _tuples(value) for key, value in values.items()}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """A setting's value as JSON has it: numpy's numbers and tuples included."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") and not isinstance(value, str) else value


def config(kind: str, params: dict[str, Any]) -> str:
    """The configuration of these keywords, as JSON."""
    own = of_kind(kind)
    model, train, data = {"kind": kind}, {}, {}
    for key, value in params.items():
        if value is None:
            continue
        to = model if key in own else data if key in DATA else train
        to[key] = _plain(value)
        if isinstance(to[key], float) and not math.isfinite(to[key]):
            raise SettingError(f"`{key}` {value} is out of range; it must be a finite number")
    return json.dumps({"model": model, "train": train, "data": data})


def params(config: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a configuration."""
    model = {key: value for key, value in config["model"].items() if key != "kind"}
    data = {key: value for key, value in config.get("data", {}).items() if key in DATA}
    return _frozen({**model, **config.get("train", {}), **data})
