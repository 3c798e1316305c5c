"""A terminal that is no more than a text, for commands that are run in this process."""

from __future__ import annotations

import io

import pytest
from rich.text import Text

from opskit.cli.app import run


class Screen(io.StringIO):
    """A terminal, and what was written to it."""

    def isatty(self) -> bool:
        return True

    def frame(self) -> str:
        """Return what the bar and its lines showed last."""
        return self.getvalue().rpartition("stacks")[2]


def shown(monkeypatch: pytest.MonkeyPatch, width: int, *command: str) -> list[str]:
    """Run a command before a terminal so wide, and return the lines that are read there."""
    screen = Screen()
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm")
        patch.setattr("sys.stdout", screen)
        run(list(command))
    return [Text.from_ansi(line).plain.rstrip() for line in screen.getvalue().splitlines()]
