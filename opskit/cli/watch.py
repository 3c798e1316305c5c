"""``opskit watch``: a table that stays fresh in a terminal, elsewhere a line for each change."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live as Screen

from opskit.cli.read import (
    VIEWS,
    ColumnsOption,
    DeadlineOption,
    ServerOption,
    WhereOption,
    WideOption,
    chosen_columns,
    narrow,
)
from opskit.errors import InputError

if TYPE_CHECKING:
    from opskit.reading.watching import Live
    from opskit.views.frame import View

_FRAME = 6
"""Lines of a screen that are no rows: caption, titles, a rule, and what is left out."""
_AGAIN_S = 60.0
"""How often a screen is drawn anew though nothing changed: its ages have, and perhaps its size."""


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("watch")(watch)


def watch(
    view: Annotated[
        str,
        typer.Argument(
            metavar="VIEW",
            help=f"What to watch: {', '.join(VIEWS)}.",
            autocompletion=lambda: list(VIEWS),
        ),
    ],
    server: ServerOption = None,
    where: WhereOption = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    period: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            help="Seconds after which a server is read though it told of nothing; 300, unless "
            "your settings say otherwise.",
        ),
    ] = None,
    deadline: DeadlineOption = None,
) -> None:
    """Show a table that changes as the fleet does, until Ctrl-C; without a terminal, its changes.

    Without a terminal each changed row is a line: when, how, and the row, parted by tabs.
    """
    from opskit.fleet import Fleet

    if view not in VIEWS:
        raise InputError(
            f"there is no table called {view!r}.", remedy=f"Choose from: {', '.join(VIEWS)}"
        )
    fleet = Fleet.from_abra(servers=server or None, deadline=deadline)
    with fleet.watch(period) as live, suppress(KeyboardInterrupt):
        tables = _tables(live, view, where)
        if Console().is_terminal:
            _show(tables, columns, wide=wide)
        else:
            _print(tables, columns)


def _tables(live: Live, name: str, where: str | None) -> Iterator[View]:
    """Yield the table as it is, after each change, and from time to time."""
    from opskit.facts.facts import Facts
    from opskit.snapshot import Snapshot

    changes = live.changes(_AGAIN_S)
    while True:
        known = live.snapshot
        facts = Facts(
            taken_at=datetime.now(UTC),
            declared=known.facts.declared,
            observed=known.facts.observed,
        )
        # What is known is as old as it is, its ages are those of now.
        yield narrow(getattr(Snapshot(facts, since=known), name), where, None)
        if next(changes, None) is None:
            changes = live.changes(_AGAIN_S)


def _show(tables: Iterator[View], columns: str | None, *, wide: bool) -> None:
    from opskit.views.terminal import TextTable

    console = Console()
    with Screen(console=console, screen=True, auto_refresh=False) as screen:
        for view in tables:
            chosen = chosen_columns(view, columns)
            table = TextTable(
                cells=view.cells(chosen or view.shown_columns(), max(1, console.height - _FRAME)),
                caption=f"{view.caption} · {datetime.now(UTC):%H:%M:%S} UTC · Ctrl-C ends",
                goes=() if chosen else view.goes,
                wide=wide,
                hint="--wide shows them",
            )
            screen.update(table, refresh=True)


def _print(tables: Iterator[View], columns: str | None) -> None:
    from opskit.views.diff import Changes

    view = next(tables)
    shown = chosen_columns(view, columns) or view.shown_columns()
    changes, missing = Changes(view, shown), ""
    print("time", "change", *shown, sep="\t", flush=True)
    for view in tables:
        if view.missing_servers != missing:
            missing = view.missing_servers
            print(f"opskit: {missing or 'no server is missing any more'}", file=sys.stderr)
        for change, row in changes.since_then(view):
            print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", change, *row, sep="\t", flush=True)
