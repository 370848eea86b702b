"""Writes package/charloom/models.pyi, whose constructors follow from the library's settings; --check only compares."""

import sys
from pathlib import Path

from charloom import CLASSES, _settings

HEAD = '''# Made by make_stubs.py.
from typing import Any, ClassVar, TypedDict, Unpack

from ._base import CharModel
from ._text import Texts

'''
TAIL = '''CLASSES: dict[str, type[CharModel]]

def preset(name: str, **params: Any) -> CharModel: ...
def sized(size: str, X: Texts, *, kind: str | None = None, val: Texts | None = None, **params: Any) -> CharModel: ...
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


def shared(name: str, base: str, defaults: dict) -> str:
    """Keywords that several constructors have, and the attributes that they become."""
    keys = "".join(f"    {key}: {kind_of(value)}  # {value!r}\n" for key, value in defaults.items())
    keywords = f"class {name}Keywords(TypedDict, total=False):\n{keys}\n"
    return f"{keywords}class _{name}({base}):\n{keys}\n"


def stub() -> str:
    of_data = _settings.DATA
    in_steps = {k: v for k, v in _settings.defaults("mlp", False).items() if k not in _settings.of_kind("mlp")}
    text = HEAD + shared("Counting", "CharModel", of_data) + shared("Learning", "CharModel", in_steps)
    for made in CLASSES.values():
        own = _settings.of_kind(made.kind)
        rest = "Counting" if made._counts else "Learning"
        keywords = "".join(f"        {key}: {kind_of(value)} = {value!r},\n" for key, value in own.items())
        attributes = "".join(f"    {key}: {kind_of(value)}\n" for key, value in own.items())
        text += f"class {made.__name__}(_{rest}):\n    kind: ClassVar[str]\n{attributes}"
        text += f"    def __init__(\n        self,\n        *,\n{keywords}        **others: Unpack[{rest}Keywords],\n    ) -> None: ...\n\n"
    return text + TAIL


if __name__ == "__main__":
    path = Path(__file__).parent / "package/charloom/models.pyi"
    if "--check" in sys.argv:
        sys.exit(None if path.read_text() == stub() else f"{path.name} is not what make_stubs.py makes; run it again")
    path.write_text(stub())
