"""Known data sets."""

from __future__ import annotations

from . import _charloom
from ._errors import DataError


def load(name: str = "names") -> list[str]:
    """The strings of a data set. "names", 32,257 first names, is part of the package."""
    if name != "names":
        raise DataError(f"{name!r} is not part of the package; it is names. `charloom data get` fetches others as files")
    return _charloom.embedded_names().splitlines()
