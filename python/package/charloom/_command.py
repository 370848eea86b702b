"""The command `charloom`."""

import sys

from . import _charloom


def main() -> int:
    """Runs the command with the program's arguments; returns its exit code."""
    return _charloom.command(sys.argv[1:])
