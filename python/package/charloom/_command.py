"""The command `charloom`."""

import signal
import sys

from . import _charloom


def main() -> int:
    """Runs the command with the program's arguments; returns its exit code."""
    # The command's own ways with Ctrl-C, not Python's, which would wait for its end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _charloom.command(sys.argv[1:])
