"""Known data sets."""

from __future__ import annotations

from . import _charloom
from ._errors import DataError
from ._language import word


def load(name: str = "names") -> list[str] | str:
    """The text of a data set. "names", 32,257 first names (United States 2018), is part of the package.

    Others are read from the folder in which `charloom data get NAME` keeps them: "names.txt", the lectures' 32,033 names, as strings;
    "tinyshakespeare" as one str.
    """
    if name in ("names", "us-names-2018", "us-names-2018.txt"):
        return _charloom.embedded_names().splitlines()
    path = _charloom.cached_dataset(word(name, "name"))
    if path is None:
        raise DataError(f"{name!r} is not on this machine yet; `charloom data get {name}` fetches it, once")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return text.splitlines() if name.startswith("names") else text
