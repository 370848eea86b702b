"""A bar while a model is fitted: tqdm's where that is at hand, else a line of text, and none where nobody looks."""

from __future__ import annotations

import sys

from ._errors import SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class Progress:
    """Shows the events of a fit, or the trials of a sweep."""

    def __init__(self, show: bool | str, steps: int, unit: str = "step"):
        self._bar: Any = None
        self._line = False
        self._steps = steps
        self._best: float | None = None
        self._trials = 0
        if show not in (True, False, "auto"):
            raise SettingError(f"`progress` {show!r} is none of True, False, 'auto'")
        in_notebook = "ipykernel" in sys.modules
        if show is False or (show == "auto" and not (in_notebook or sys.stderr.isatty())):
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            self._line = True
        else:
            self._bar = tqdm(total=steps or None, unit=unit, leave=False)

    @property
    def is_shown(self) -> bool:
        """Whether anything is."""
        return self._line or self._bar is not None

    def event(self, event: dict[str, Any]) -> None:
        """Ten times a second, and when a best may have changed."""
        if event["event"] == "evaluated":
            self._keep(event["val_loss"] if event["val_loss"] is not None else event["train_loss"])
        self._show(event["step"], "step")

    def trial(self, loss: float | None) -> None:
        self._keep(loss)
        self._trials += 1
        self._show(self._trials, "trial")

    def _keep(self, loss: float | None) -> None:
        if loss is not None:
            self._best = loss if self._best is None else min(self._best, loss)

    def _show(self, n: int, unit: str) -> None:
        if self._bar is not None:
            self._bar.n = n
            if self._best is not None:
                self._bar.set_postfix(best=f"{self._best:.4f}", refresh=False)
            self._bar.refresh()
        elif self._line:
            best = "" if self._best is None else f", best {self._best:.4f}"
            of = f" of {self._steps}" if self._steps else ""
            print(f"\r{unit} {n}{of}{best}   ", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._line:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def functions(callbacks: Iterable[Callable[[dict[str, Any]], Any]]) -> list[Callable[[dict[str, Any]], Any]]:
    """The callbacks of a fit or a sweep, as a list."""
    if callable(callbacks):
        raise TypeError("callbacks must be a list of functions, not one; put it in a list")
    try:
        told = list(callbacks)
    except TypeError:
        raise TypeError(f"callbacks must be a list of functions, not {type(callbacks).__name__}") from None
    for i, callback in enumerate(told):
        if not callable(callback):
            raise TypeError(f"callbacks[{i}] is {type(callback).__name__}, not a function")
    return told
