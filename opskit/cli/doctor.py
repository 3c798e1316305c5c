"""``opskit doctor`` and ``disconnect``: whether all is well here and with every server.

What mends it, where not; and an end to the ssh connections that stay for the next command.
"""

from __future__ import annotations

import sys
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import typer

from opskit.cli.read import DeadlineOption, Format, FormatOption, ServerOption, show

if TYPE_CHECKING:
    from rich.console import Console

    from opskit.views.frame import View
from typing import Annotated

from opskit.cli import complete

_NOT_A_TERMINAL, _NARROWEST = 200, 30
_MARKS = {"well": ("✓", "green"), "note": ("·", "yellow"), "mend": ("✗", "red")}
_PLAIN_MARKS = {"well": "+", "note": "-", "mend": "x"}
"""Where a terminal has no other letters."""


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command()(doctor)


def doctor(
    format: FormatOption = Format.table,  # noqa: A002 (the option's name)
    server: ServerOption = None,
    deadline: DeadlineOption = None,
) -> None:
    """Check this machine and every server, and say what mends them.

    Changes nothing. Exit status 1 when something is to be mended.
    """
    from opskit.doctor.examine import examine

    found = examine(servers=server or None, deadline=deadline)
    if format is Format.table:
        _print(found)
    else:
        show(found, format)
    if len(found.keep(found["state"] == "mend")):
        raise typer.Exit(1)


def _print(found: View) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _NOT_A_TERMINAL, highlight=False)
    rows = list(found.records())
    here = [row for row in rows if not isinstance(row.server, str)]
    elsewhere = [row for row in rows if isinstance(row.server, str)]
    by_server = {name: list(group) for name, group in groupby(elsewhere, attrgetter("server"))}
    print("This machine")
    _lines(console, here)
    if by_server:
        print("\nServers")
    wide = max(map(len, by_server), default=0)
    for server, group in by_server.items():
        if group[-1].state == "well":
            _line(console, "well", server, " · ".join(row.what for row in group), wide)
        else:
            _line(console, "mend", server, "", wide)
            _lines(console, group, indent=4)
    lacking = sum(row.state == "mend" for row in rows)
    if lacking:
        things = "thing" if lacking == 1 else "things"
        print(f"\n{lacking} {things} to mend. Afterwards, once more: opskit doctor")
    else:
        print("\nAll is well. See your servers: opskit servers. See what they need: opskit audit")
    if not by_server:
        print("To look around on made-up servers: opskit demo")


def _lines(console: Console, rows: list[Any], indent: int = 0) -> None:
    wide = max(len(row.check) for row in rows)
    for row in rows:
        _line(console, row.state, row.check, row.what, wide, indent)
        if isinstance(row.remedy, str):
            _remedy(console, row.remedy, indent)


def _line(console: Console, state: str, name: str, what: str, wide: int, indent: int = 0) -> None:
    from rich.text import Text

    from opskit.views.cells import cell_text

    mark, style = _MARKS[state]
    if console.options.ascii_only:
        mark = _PLAIN_MARKS[state]
    begin = f"{' ' * (2 + indent)}{mark}  {cell_text(name):{wide}}"
    before = len(begin) + 2
    lines = Text(cell_text(what)).wrap(console, max(_NARROWEST, console.width - before))
    shown = Text(begin)
    shown.stylize(style, 2 + indent, 3 + indent)
    for at, line in enumerate(lines):
        line.rstrip()
        shown.append(" " * 2 if at == 0 else f"\n{' ' * before}").append(line)
    shown.rstrip()
    console.print(shown, soft_wrap=True)


def _remedy(console: Console, remedy: str, indent: int) -> None:
    from rich.text import Text

    from opskit.views.cells import cell_text

    arrow = "->" if console.options.ascii_only else "→"
    # Wrapped by the terminal alone: a command is copied in one piece.
    console.print(Text(f"{' ' * (5 + indent)}{arrow} {cell_text(remedy)}", "bold"), soft_wrap=True)


def disconnect(
    server: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVER...]", help="Only to these.", autocompletion=complete.servers
        ),
    ] = None,
) -> None:
    """End the ssh connections that stay open for the next command (`ssh_keep`).

    At once, also those that a notebook or another command is using.
    """
    from opskit.errors import UnreachableError
    from opskit.swarm import masters
    from opskit.swarm.context import find_context

    ended, left = masters.disconnect([find_context(name) for name in server] if server else None)
    print(f"{ended or 'No'} ssh connection{'' if ended == 1 else 's'} ended.")
    if left:
        raise UnreachableError(
            f"{len(left)} would not end: ssh still listens at {', '.join(map(str, left))}.",
            remedy="Find its process, and kill it: ss -xlp | grep "
            + " ".join(f"-e {control.name}" for control in left),
        )
