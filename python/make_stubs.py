"""Writes package/charloom/models.pyi, whose constructors follow from the library's settings; --check only compares."""

import sys
from pathlib import Path

from charloom import CLASSES, _settings

HEAD = '''# Made by make_stubs.py.
from typing import Any

from ._base import CharModel

'''


def kind_of(value: object) -> str:
    match value:
        case None:
            return "Any"
        case tuple():
            return "Any"
        case str() if value.isdigit():
            return "Any"
        case _:
            return {"bool": "bool", "int": "int", "float": "float", "str": "str"}.get(type(value).__name__, "Any")


def stub() -> str:
    text = HEAD
    for made in CLASSES.values():
        text += f"class {made.__name__}(CharModel):\n    kind: str\n"
        defaults = _settings.defaults(made.kind, made._counts)
        text += "".join(f"    {key}: {kind_of(value)}\n" for key, value in defaults.items())
        keywords = "".join(f"        {key}: {kind_of(value)} = {value!r},\n" for key, value in defaults.items())
        text += f"    def __init__(\n        self,\n        *,\n{keywords}    ) -> None: ...\n\n"
    return text + "CLASSES: dict[str, type[CharModel]]\n\ndef preset(name: str, **params: Any) -> CharModel: ...\n"


if __name__ == "__main__":
    path = Path(__file__).parent / "package/charloom/models.pyi"
    if "--check" in sys.argv:
        sys.exit(None if path.read_text() == stub() else f"{path.name} is not what make_stubs.py makes; run it again")
    path.write_text(stub())
