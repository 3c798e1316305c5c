"""Commands that only look: one per view, what drifted, and saving a snapshot."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, assert_never, cast

import typer

from opskit.cli import complete
from opskit.errors import InputError

if TYPE_CHECKING:
    from opskit.snapshot import Snapshot
    from opskit.views.frame import View
    from opskit.views.table import Listing

VIEWS = {
    "servers": "Servers: reachable or not, engine, counts.",
    "apps": "Apps: recipe, version, revision, deployed or not.",
    "secrets": "Secret versions: declared and observed joined, with their state.",
    "services": "Services with running and desired tasks.",
    "tasks": "Tasks, past ones included.",
    "nodes": "Nodes of every swarm.",
    "configs": "Config versions: declared and observed joined.",
    "networks": "Networks.",
    "volumes": "Volumes of the node behind each context.",
}


class Format(StrEnum):
    """How a table is printed."""

    table = "table"
    json = "json"
    csv = "csv"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to print it.")]
ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server", "-s", help="Only this server; repeatable.", autocompletion=complete.servers
    ),
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        "-w",
        metavar="EXPR",
        help="Only rows that match, such as: state == 'missing' and age_days > 90",
    ),
]
SnapshotOption = Annotated[
    Path | None, typer.Option("--snapshot", help="Work offline on a saved snapshot.")
]
WideOption = Annotated[
    bool, typer.Option("--wide", help="All columns beside each other, whatever the width.")
]
ColumnsOption = Annotated[
    str | None, typer.Option("--columns", metavar="A,B", help="These columns, in this order.")
]
DeadlineOption = Annotated[
    float | None,
    typer.Option(
        "--deadline",
        min=0.1,
        help="Seconds per server, whatever hangs; 15, unless your settings say otherwise.",
    ),
]


_DRIFTING = ("pending", "missing", "stale", "orphan")


def add_to(app: typer.Typer) -> None:
    """Add the reading commands to the tree."""
    for name, text in VIEWS.items():
        app.command(name, help=text)(_view_command(name))
    app.command("drift")(drift)
    app.command("snapshot")(snapshot)


def _view_command(name: str) -> Any:
    def command(
        format: FormatOption = Format.table,  # noqa: A002 (the option's name)
        server: ServerOption = None,
        where: WhereOption = None,
        wide: WideOption = False,
        columns: ColumnsOption = None,
        snapshot: SnapshotOption = None,
        deadline: DeadlineOption = None,
    ) -> None:
        read = partial(take_snapshot, snapshot, server, deadline)
        _show_view(read, name, server, where, format, wide=wide, columns=columns)

    return command


def drift(
    format: FormatOption = Format.table,  # noqa: A002
    server: ServerOption = None,
    where: WhereOption = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    snapshot: SnapshotOption = None,
    deadline: DeadlineOption = None,
) -> None:
    """Secrets where what is declared and what is there differ."""
    read = partial(take_snapshot, snapshot, server, deadline)
    _show_view(read, "secrets", server, where, format, wide=wide, columns=columns, states=_DRIFTING)


def snapshot(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    server: ServerOption = None,
    deadline: DeadlineOption = None,
) -> None:
    """Read every server and save what was found, without any secret's value."""
    taken = take_snapshot(None, server, deadline)
    taken.save(file)
    print(f"{taken!r} saved to {file}", file=sys.stderr)


def take_snapshot(
    saved: Path | None,
    servers: list[str] | None,
    deadline: float | None,
    *,
    with_pass: bool = False,
    lists: bool = False,
) -> Snapshot:
    """Return a saved snapshot, or read the servers now.

    Who only `lists` what was read needs no pandas, which takes longer to load than a server
    takes to answer.

    Raises
    ------
    InputError
        One of the servers is not known.
    """
    from opskit.abra.layout import default_root
    from opskit.reading.reading import Reading
    from opskit.snapshot import Snapshot

    if saved is not None:
        snap = Snapshot.load(saved)
        known = snap.facts.apps_by_server
        for name in sorted(set(servers or ()) - known.keys()):
            raise InputError(
                f"there is no server called {name!r} in {saved}.",
                remedy=f"Choose from: {', '.join(sorted(known)) or 'none is there'}",
            )
        return snap
    # Not from_abra, which reads all files once more.
    reading = Reading(default_root(), servers=servers or None, deadline=deadline)
    return Snapshot(reading.look()) if lists else reading.snapshot(with_pass=with_pass)


def narrow(view: View, where: str | None, servers: list[str] | None) -> View:
    """Return the rows that match a condition, if one is given, and are of the named servers.

    Raises
    ------
    InputError
        It is no condition; an empty one neither, as what was to be in it is missing.
    """
    if servers:
        view = view.keep(view["server"].isin(servers))
    return view if where is None else view.select(where)


def show(view: View, form: Format, *, wide: bool | None = None, columns: str | None = None) -> None:
    """Print a view to stdout; what is missing is said on stderr when the form cannot.

    `wide` and `columns` are those options, of a command that has them.

    Raises
    ------
    InputError
        One of `columns` is none of the view's; names those.
    """
    chosen = chosen_columns(view, columns)
    match form:
        case Format.table:
            _show_table(view, chosen, wide)
        case Format.json:
            picked = view if chosen is None else cast("View", view[chosen])
            print(picked.to_json(orient="records", date_format="iso", date_unit="s", indent=2))
        case Format.csv:
            picked = view if chosen is None else cast("View", view[chosen])
            print(picked.to_text_csv(), end="")
        case _ as unknown:
            assert_never(unknown)
    if form is not Format.table and view.missing_servers:
        print(f"opskit: {view.caption}", file=sys.stderr)


def chosen_columns(view: View | Listing, columns: str | None) -> list[str] | None:
    """Return the columns that were asked for by name; nothing when none were.

    Raises
    ------
    InputError
        One of them is none of the view's; names those.
    """
    if columns is None:
        return None
    chosen = [name.strip() for name in columns.split(",")]
    for name in chosen:
        if name not in view.columns:
            raise InputError(
                f"there is no column {name!r}.", remedy=f"Choose from: {', '.join(view.columns)}"
            )
    return list(dict.fromkeys(chosen))


def _show_view(
    read: Callable[..., Snapshot],
    name: str,
    servers: list[str] | None,
    where: str | None,
    form: Format,
    *,
    wide: bool,
    columns: str | None,
    states: Collection[str] = (),
) -> None:
    """Print a view: of its rows those of the servers, in one of the states if there are any."""
    if form is Format.table and where is None:
        rows = read(lists=True).listing(name)
        if servers:
            rows = rows.keep(lambda row: row.server in servers)
        if states:
            rows = rows.keep(lambda row: row.state in states)
        _show_table(rows, chosen_columns(rows, columns), wide)
        return
    view = getattr(read(), name)
    if states:
        view = view.keep(view["state"].isin(states))
    show(narrow(view, where, servers), form, wide=wide, columns=columns)


def _show_table(view: View | Listing, chosen: list[str] | None, wide: bool | None) -> None:
    from rich.console import Console

    from opskit.views.terminal import TextTable, plain_rows

    console, cells = Console(), view.cells(chosen or view.shown_columns())
    if not console.is_terminal:
        print(view.caption)
        print(*plain_rows(cells), sep="\n")
        return
    table = TextTable(
        cells=cells,
        caption=view.caption,
        # What was asked for by name stays.
        goes=() if chosen else view.goes,
        wide=bool(wide),
        hint="" if wide is None else "--wide shows them",
    )
    console.print(table, soft_wrap=bool(wide))
