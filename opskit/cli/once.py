"""Values that a run made, shown once: on a terminal's other screen, of which nothing stays."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from opskit.errors import InputError

if TYPE_CHECKING:
    from opskit.plan.data import Unit
    from opskit.secrets.value import Secret

Show = Annotated[
    bool, typer.Option("--show", help="Show new values once, in this terminal; a key clears them.")
]

_FRAME = 6
"""Rows of a screen that hold no value: what it is, how to go on, and what lies between."""
_GO_ON = "Press any key: this screen goes, and the values are shown nowhere again."


class Once:
    """The values that one run makes, in memory only, until they were shown.

    Raises
    ------
    InputError
        Nobody sits before a terminal that could be cleared again.
    """

    def __init__(self) -> None:
        if why := _no_screen():
            raise InputError(
                f"--show needs a terminal that somebody looks at, and {why}.",
                remedy="Keep the values in the password store instead: --pass",
            )
        self._made: dict[str, Secret] = {}

    def take(self, unit: Unit, values: Mapping[str, Secret]) -> None:
        """Keep what was made of a stack that is done."""
        self._made |= {f"{unit.server}  {name}": value for name, value in values.items()}

    def show(self) -> None:
        """Show all of them, one screen after the other, each until a key is pressed."""
        if not self._made:
            print("no value was made that could be shown.", file=sys.stderr)
            return
        # rich itself would heed FORCE_COLOR and TTY_COMPATIBLE, and then clear nothing.
        console = Console(
            file=sys.stdout, force_terminal=True, highlight=False, markup=False, emoji=False
        )
        with console.screen(hide_cursor=False):
            try:
                for name, text in _parts(self._made, console):
                    console.clear()
                    console.print(Text(name, "bold"), soft_wrap=True)
                    # Unbroken, so that it can be copied whole.
                    console.print(f"\n{text}", soft_wrap=True)
                    console.print(_GO_ON, style="dim")
                    # Ctrl-C and Ctrl-D are keys like any other: the run is over.
                    with suppress(EOFError, KeyboardInterrupt):
                        typer.getchar()
            finally:
                # A terminal without a second screen has shown them on its only one.
                console.clear()
        self._made.clear()


def _no_screen() -> str:
    """Return why nothing can be shown that is gone afterwards."""
    for stream, name in ((sys.stdout, "output"), (sys.stdin, "input")):
        # Python has none when it was started with it closed.
        if stream is None or not stream.isatty():  # pyright: ignore[reportUnnecessaryComparison]
            return f"standard {name} is none"
    # A kernel gives what it runs a terminal, and writes all that comes into the notebook.
    if "JPY_PARENT_PID" in os.environ:
        return "this one is a notebook's"
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return f"TERM={os.environ.get('TERM', '')} names none that can be cleared"
    return ""


def _parts(made: Mapping[str, Secret], console: Console) -> Iterator[tuple[str, str]]:
    """Yield each value with its name, one that is too large for a screen in several parts."""
    width, height = console.width, max(1, console.height - _FRAME)
    for name, value in made.items():
        text, note = _text_of(value)
        rows = [
            line[at : at + width] + ("\n" if at + width >= len(line) else "")
            for line in text.split("\n")
            for at in range(0, len(line) or 1, width)
        ]
        parts = [rows[at : at + height] for at in range(0, len(rows), height)]
        for number, part in enumerate(parts, 1):
            of = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
            yield f"{name}{note}{of}", "".join(part)


def _text_of(value: Secret) -> tuple[str, str]:
    """Return a value as text that steers no terminal, and what is to be known of that."""
    data = value.reveal()
    with suppress(UnicodeDecodeError):
        text = data.decode()
        if all(line.isprintable() for line in text.split("\n")):
            return text, ""
    return base64.b64encode(data).decode(), ", in base64"
