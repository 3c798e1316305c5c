"""``opskit app show``: one app on one page of a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from opskit.cli.change import open_fleet
from opskit.cli.options import App
from opskit.cli.read import DeadlineOption

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from opskit.apps.page import AppPage, FindingLine, RunLine, SecretLine, ServiceLine

_UNWATCHED = 120
"""Columns where there is no terminal."""
_STYLES = {"good": "green", "warn": "yellow", "bad": "red", "idle": "dim"}
_SEVERE = {"critical": "red", "high": "red", "medium": "yellow"}


class PageFormat(StrEnum):
    """How a page is printed."""

    table = "table"
    json = "json"


def show(
    app: App,
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask its domain, from here, whether it answers.")
    ] = False,
    format: Annotated[  # noqa: A002 (the option's name)
        PageFormat, typer.Option("--format", "-f", help="How to print it.")
    ] = PageFormat.table,
    deadline: DeadlineOption = None,
) -> None:
    """Show all that is known of an app: what runs, its versions, secrets, findings, last runs."""
    import msgspec

    fleet = open_fleet(deadline=deadline)
    page = fleet.page(app)
    if probe:
        page = msgspec.structs.replace(page, answer=fleet.answer(page.name))
    match format:
        case PageFormat.table:
            from rich.console import Console

            _print(Console(width=None if sys.stdout.isatty() else _UNWATCHED), page)
        case PageFormat.json:
            print(msgspec.json.format(msgspec.json.encode(page), indent=2).decode())
        case _ as unknown:
            assert_never(unknown)


def _print(console: Console, page: AppPage) -> None:
    console.print(_words(f"{page.app} on {page.server}", "bold"))
    console.print(_signed(page.tone, page.headline))
    for note in page.notes:
        console.print(_words(note, "yellow"))
    console.print(_grid((_words(word, "dim"), _words(said)) for word, said in _facts(page)))
    parts: Sequence[tuple[str, Sequence[Sequence[RenderableType]], str]] = (
        ("Services", [row for one in page.services for row in _service(one)], page.nothing),
        ("Secrets", list(map(_secret, page.secrets)), page.nothing),
        ("Findings", [row for one in page.findings for row in _finding(one)], page.nothing),
        ("Last runs", [row for one in page.last_runs for row in _run(one)], page.no_runs),
    )
    for title, rows, nothing in parts:
        console.print()
        console.print(_words(title if rows else f"{title}: {nothing}", "bold"))
        if rows:
            console.print(_grid(rows))


def _facts(page: AppPage) -> Iterable[tuple[str, str]]:
    for fact in page.facts:
        releases = "\n".join(f"{one.version}  {one.note}".strip() for one in fact.releases)
        yield fact.word, fact.text or releases
    if page.url:
        yield "Address", f"{page.url}  {page.answer.text if page.answer else 'not asked: --probe'}"


def _service(one: ServiceLine) -> Iterable[Sequence[RenderableType]]:
    yield (
        _signed(one.tone, one.name), _words(one.tasks), _words(one.stands),
        _words(one.image, "dim"),
    )  # fmt: skip
    if one.error:
        when = f" ({one.error_at.astimezone():%Y-%m-%d %H:%M})" if one.error_at else ""
        yield (_words(f"  {one.error_is}{when}: {one.error}", "red"),)


def _secret(one: SecretLine) -> Sequence[RenderableType]:
    age = "" if one.age_days is None else f"{one.age_days:,.0f} d"
    return (
        _words(f"  {one.secret}", "" if one.declared else "dim"), _words(one.version),
        _words(one.state or "not read"), _words(age), _words(", ".join(one.used_by), "dim"),
    )  # fmt: skip


def _finding(one: FindingLine) -> Iterable[Sequence[RenderableType]]:
    yield _words(f"  {one.severity}", _SEVERE.get(one.severity, "dim")), _words(one.what)
    yield _words(f"  {one.key}", "dim"), _words(f"→ {one.remedy}", "dim")


def _run(one: RunLine) -> Iterable[Sequence[RenderableType]]:
    when = f"  {one.started_at.astimezone():%Y-%m-%d %H:%M}"
    yield _words(when), _signed(one.tone, one.status), _words(one.did)
    yield (_words(f"  by {one.who}, run {one.run}", "dim"),)


def _grid(rows: Iterable[Sequence[RenderableType]]) -> RenderableType:
    """Return rows in columns; one of a single cell stands below the row before it, whole."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table

    rows = list(rows)
    many = max(map(len, rows))
    parts: list[RenderableType] = []
    widths = [
        max((_width(row[at]) for row in rows if len(row) > 1), default=0) for at in range(many)
    ]
    table: Table | None = None
    for row in rows:
        if len(row) == 1:
            parts.append(Padding(row[0], (0, 0, 0, 2)))
            table = None
            continue
        if table is None:
            table = Table.grid(padding=(0, 2, 0, 0))
            for at in range(many):
                # Names never break; what is said last wraps.
                last = at == many - 1
                table.add_column(
                    no_wrap=not last, min_width=None if last else widths[at], overflow="fold"
                )
            parts.append(table)
        table.add_row(*row)
    return Group(*parts)


def _width(cell: RenderableType) -> int:
    from rich.text import Text

    assert isinstance(cell, Text), "cells are texts"
    return cell.cell_len


def _signed(tone: str, text: str) -> Text:
    from rich.text import Text

    return Text.assemble(("● ", _STYLES[tone]), _words(text))


def _words(text: str, style: str = "") -> Text:
    from rich.text import Text

    from opskit.inert import visible

    return Text(visible(text), style)
