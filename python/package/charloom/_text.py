"""Whatever Python has of text, as the library takes it."""

from __future__ import annotations

import os

from ._errors import DataError, FileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

#: Strings (a list, a Series, any iterable), one long text, or a path of a file.
Texts: TypeAlias = "str | os.PathLike[str] | Iterable[str]"

#: How the names of files end that somebody may have mistyped; nobody learns from a text of one such word.
_FILES = (".txt", ".text", ".csv", ".tsv", ".json", ".md")


def whole(text: str, what: str) -> str:
    """A text, unless there is half a character in it: a surrogate, which has no bytes."""
    if not str.isascii(text):
        try:
            str.encode(text)
        except UnicodeEncodeError as error:
            half = f"{text[error.start]!r} at {error.start}"
            raise DataError(f"{what} has half a character in it, {half}; read it with the encoding that it has") from None
    return text


def as_text(texts: Texts, what: str = "X") -> tuple[str | tuple[str], str | None]:
    """The text, or a path as the only member of a tuple; and its mode, where that is known."""
    if isinstance(texts, os.PathLike):
        return (os.fsdecode(texts),), None
    if isinstance(texts, str):
        may_be_path = "\n" not in texts and 0 < len(texts) < 4096
        is_file = may_be_path and os.path.isfile(texts)
        if may_be_path and os.sep in texts and os.path.isdir(texts):
            raise FileError(f"{texts}: is a folder; name a file of text in it")
        if not is_file and len(texts.split(None, 1)) == 1 and os.path.splitext(texts)[1] in _FILES:
            raise FileError(f"{texts}: no such file; if it is a text, put it in a list")
        return ((texts,), None) if is_file else (whole(texts, what), "text")
    strings = _listed(texts, what)
    try:
        text = "\n".join(strings) + "\n"
    except TypeError:
        # Names the one that is no str.
        text = "\n".join(as_list(strings, what)) + "\n"
    if text.count("\n") > len(strings) or "\r" in text:
        for i, string in enumerate(strings):
            if "\n" in string or "\r" in string:
                raise DataError(f"{what}[{i}] has a line break in it; a string is one line, or give one str as running text")
    return _all_whole(text, strings, what), "lines"


def _all_whole(text: str, strings: list[str], what: str) -> str:
    """Some strings joined, of each of which is looked whether it is whole if they are not."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            for i, string in enumerate(strings):
                whole(string, f"{what}[{i}]")
    return text


def as_list(texts: Any, what: str = "X") -> list[str]:
    """The strings of an iterable of strings."""
    strings = _listed(texts, what)
    # As a rule, and a hundred thousand strings are looked at in a few milliseconds.
    if set(map(type, strings)) <= {str}:
        if not all(map(str.isascii, strings)):
            for i, string in enumerate(strings):
                whole(string, f"{what}[{i}]")
        return strings
    for i, string in enumerate(strings):
        if not isinstance(string, str):
            kind = "NaN" if isinstance(string, float) and string != string else type(string).__name__
            raise TypeError(f"{what}[{i}] is {kind}, not str")
    return as_list([str.__str__(string) for string in strings], what)


def _listed(texts: Any, what: str) -> list[str]:
    """An iterable of strings as a list, whatever is in it."""
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{what} must be an iterable of str, not one {type(texts).__name__}; put it in a list")
    shape = getattr(texts, "shape", ())
    if isinstance(shape, tuple) and len(shape) == 2:
        if shape[1] != 1:
            raise TypeError(f"{what} has {shape[1]} columns; give the one with the text")
        texts = texts[:, 0] if not hasattr(texts, "iloc") else texts.iloc[:, 0]
    try:
        return list(texts)
    except TypeError:
        raise TypeError(f"{what} must be an iterable of str, not {type(texts).__name__}") from None
