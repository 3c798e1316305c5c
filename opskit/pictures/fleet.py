"""The fleet map: what is wrong on which server and in which app, the worst first."""

# pandas ships partial types, altair dynamic ones.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pandas as pd

from opskit.pictures.board import Line, board
from opskit.pictures.picture import HEALTH, Picture, check_snapshot, counted, drawn, missing, safe
from opskit.snapshot import Snapshot
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import about

LINES_AT_MOST = 40
"""With more apps in trouble, each line is a whole server."""
SERVERS_AT_MOST = 40
"""With more servers, those with the most trouble are shown."""

_ALL, _SOME, _NONE, _DONE, _SCALED, _ABSENT, _UNREAD = HEALTH
_WELL = frozenset({_ALL, _DONE, _SCALED})
_COUNTED = ("critical", "high", "medium", "low")


class PlacesRow(Row, frozen=True, kw_only=True):
    """A row of the map's numbers: one app, one stack that no app declares, or a server itself."""

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app; empty for the server, or a stack that none declares.")]
    stack: Annotated[str, Column("The stack; empty for the server itself.")] = ""
    health: Annotated[str, Column("How many of its tasks run, in words.")]
    running: Annotated[int | None, Column("How many of its tasks run.")] = None
    desired: Annotated[int | None, Column("How many of them are still to run.")] = None
    completed: Annotated[int | None, Column("How many of them have done their work.")] = None
    critical: Annotated[int, Column("How many critical findings it has.")] = 0
    high: Annotated[int, Column("How many findings of high severity.")] = 0
    medium: Annotated[int, Column("How many findings of medium severity.")] = 0
    low: Annotated[int, Column("How many findings of low severity.")] = 0
    info: Annotated[int, Column("How many findings are only for information.")] = 0
    newer: Annotated[str, Column("The latest release later than what runs; empty if none.")] = ""
    wrong: Annotated[list[str], Column("What is wrong, the worst first; empty if nothing is.")]


@dataclass(slots=True)
class _Place:
    """What is known of an app, a stack or a server."""

    stack: str = ""
    health: str = ""
    services: list[Any] = field(default_factory=list[Any])
    findings: list[Any] = field(default_factory=list[Any])
    newer: str = ""

    @property
    def words(self) -> list[str]:
        """What is wrong: what does not run, then the findings, the worst first."""
        said = [self.health] if self.health == _ABSENT else []
        down = [safe(row.service).removeprefix(f"{self.stack}_") for row in self._down]
        if down:
            said.append(f"{', '.join(down)} {'does' if len(down) == 1 else 'do'} not run")
        counted_ones = [row for row in self.findings if row.severity in _COUNTED]
        found = list(dict.fromkeys(safe(row.id).replace("-", " ") for row in counted_ones))
        newer = [f"newer: {self.newer}"] if self.newer else []
        return [*said, *found[:1], *newer, *found[1:]]

    @property
    def _down(self) -> list[Any]:
        return [row for row in self.services if _service_health(row) in (_SOME, _NONE)]

    def row(self, server: str, app: str) -> PlacesRow:
        counts = Counter(str(row.severity) for row in self.findings)
        known = [row for row in self.services if not pd.isna(row.running)]
        sums = {
            name: sum(getattr(row, name) or 0 for row in known) if known else None
            for name in ("running", "desired", "completed")
        }
        return PlacesRow(
            server=server, app=app, stack=self.stack, health=self.health, newer=self.newer,
            wrong=self.words, info=counts["info"],
            **sums, **{name: counts[name] for name in _COUNTED},
        )  # fmt: skip


def fleet_map(snap: Snapshot) -> Picture:
    """Draw what is wrong on which server and in which app.

    It answers: where do I begin? The worst comes first: findings, apps that are down or not
    deployed, newer releases. What is well is folded to one line for each server, and servers that
    are well to one line together.

    Parameters
    ----------
    snap
        The snapshot; a server that could not be read is one line that says so.
    """
    check_snapshot(snap)
    places = _places(snap)
    rows = [place.row(server, app) for (server, app, _), place in places.items()]
    by_server: defaultdict[str, list[PlacesRow]] = defaultdict(list)
    for row in sorted(rows, key=_rank):
        by_server[row.server].append(row)
    order = sorted(by_server, key=lambda server: _server_rank(by_server[server]))
    numbers = View.from_rows(
        PlacesRow,
        [row for server in order for row in by_server[server]],
        about(snap.facts, "places"),
    )
    bad = [server for server in order if any(map(_is_wrong, by_server[server]))]
    detailed = sum(bool(row.stack) and _is_wrong(row) for row in rows) <= LINES_AT_MOST
    lines = [
        line
        for server in bad[:SERVERS_AT_MOST]
        for line in _lines(server, by_server[server], detailed=detailed)
    ]
    if well := order[len(bad) :]:
        lines.append(_well(well))
    notes = [] if detailed else [f"More than {LINES_AT_MOST} apps: each line is a whole server."]
    if len(bad) > SERVERS_AT_MOST:
        notes.append(f"The {SERVERS_AT_MOST} servers with the most trouble of {len(bad):,}.")
    return drawn(
        board(lines, columns=("tasks", *_COUNTED)) if lines else None,
        title="Fleet map",
        alt=_said(order, bad, rows) + missing(snap),
        note=" ".join(notes),
        numbers=numbers,
        labels=(),
    )


def _places(snap: Snapshot) -> dict[tuple[str, str, str], _Place]:
    """Return everything the map knows: (server, app, stack), the server itself without the two."""
    missing = snap.facts.unknown("services")
    found: defaultdict[tuple[str, str, str], _Place] = defaultdict(_Place)
    for server in snap.facts.apps_by_server:
        found[server, "", ""].health = _UNREAD if server in missing else _ALL
    services: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in snap.services.records():
        services[row.server, safe(row.stack)].append(row)
    declared: set[tuple[str, str]] = set()
    keys: dict[tuple[str, str], tuple[str, str, str]] = {}
    for row in snap.apps.records():
        stack, app = safe(row.stack), safe(row.app)
        declared.add((row.server, stack))
        keys[row.server, app] = (row.server, app, stack)
        place = found[row.server, app, stack]
        place.stack, place.services = stack, services[row.server, stack]
        if pd.isna(row.deployed):
            place.health = _UNREAD
        else:
            place.health = _health(place.services) if row.deployed else _ABSENT
        place.newer = (
            safe(row.upgrades[-1]) if isinstance(row.upgrades, list) and row.upgrades else ""
        )
    for (server, stack), own in services.items():
        if own and (server, stack) not in declared:
            found[server, "", stack] = _Place(stack=stack, health=_health(own), services=own)
    for row in snap.audit().records():
        app = safe(row.app) if isinstance(row.app, str) else ""
        found[keys.get((row.server, app), (row.server, "", ""))].findings.append(row)
    return dict(found)


def _health(services: list[Any]) -> str:
    """Return how services are together."""
    each = {_service_health(row) for row in services}
    if len(each) == 1:
        return each.pop()
    if each <= _WELL:
        return _ALL if _ALL in each else _DONE
    return _SOME


def _service_health(row: Any) -> str:
    if pd.isna(row.running) or pd.isna(row.desired):
        return _UNREAD
    if not row.desired:
        return _DONE if row.completed else _SCALED
    if row.running >= row.desired:
        return _ALL
    return _SOME if row.running else _NONE


def _is_wrong(row: PlacesRow) -> bool:
    return bool(row.wrong) or (not row.stack and row.health == _UNREAD)


def _rank(row: PlacesRow) -> tuple[Any, ...]:
    bad = [-getattr(row, name) for name in _COUNTED]
    return (*bad, row.health in _WELL, not row.newer, row.app, row.stack)


def _server_rank(rows: list[PlacesRow]) -> tuple[Any, ...]:
    bad = [-sum(getattr(row, name) for row in rows) for name in _COUNTED]
    unwell = sum(row.health not in _WELL for row in rows)
    return (*bad, -unwell, -sum(bool(row.newer) for row in rows), rows[0].server)


def _lines(server: str, rows: list[PlacesRow], *, detailed: bool) -> Iterator[Line]:
    (itself,) = (row for row in rows if not row.stack)
    apps = [row for row in rows if row.stack]
    wrong = [row for row in apps if _is_wrong(row)]
    well = [row for row in apps if not _is_wrong(row)]
    is_read = itself.health != _UNREAD
    cells = _cells([itself] if detailed else rows)
    words = list(itself.wrong)
    if not is_read:
        cells["tasks"] = (_UNREAD, "")
        words = [*(words or [_UNREAD]), f"{counted(len(apps), 'app')} unknown"]
    elif not detailed:
        cells["tasks"] = _tasks(apps)
        first, *others = _together(rows)
        words = [f"{len(wrong):,} of {counted(len(apps), 'app')}: {first}", *others]
    yield Line(name=server, is_head=detailed, cells=cells, words=words)
    if not detailed or not is_read:
        return
    for row in wrong:
        yield Line(
            name=row.app or f"{row.stack} (no app)",
            cells=_cells([row]) | {"tasks": _tasks([row])},
            words=row.wrong,
        )
    if well:
        yield Line(
            name=f"{counted(len(well), 'app')} well",
            cells={},
            wide=[row.app or f"{row.stack} (no app)" for row in well],
        )


def _together(rows: list[PlacesRow]) -> list[str]:
    """Return what is wrong in any of these places, the most frequent first."""
    said = Counter(word for row in rows for word in row.wrong)
    return [word for word, _ in said.most_common()]


def _cells(rows: list[PlacesRow]) -> dict[str, tuple[str, str] | None]:
    sums = {name: sum(getattr(row, name) for row in rows) for name in _COUNTED}
    return {name: (name, f"{number:,}") if number else None for name, number in sums.items()}


def _tasks(apps: list[PlacesRow]) -> tuple[str, str]:
    running, desired = (
        sum(getattr(row, name) or 0 for row in apps) for name in ("running", "desired")
    )
    each = {row.health for row in apps if row.health != _ABSENT} or {_ABSENT}
    health = each.pop() if len(each) == 1 else _ALL if each <= _WELL else _SOME
    return health, f"{running:,}/{desired:,}" if health in (_ALL, _SOME, _NONE) else ""


def _well(servers: list[str]) -> Line:
    return Line(
        name=f"{counted(len(servers), 'server')} well",
        is_head=True,
        cells={},
        wide=[safe(server) for server in servers],
    )


def _said(servers: list[str], bad: list[str], rows: list[PlacesRow]) -> str:
    if not servers:
        return "No server is known."
    sums = {name: sum(getattr(row, name) for row in rows) for name in _COUNTED}
    findings = ", ".join(f"{number:,} {name}" for name, number in sums.items() if number)
    apps = [row for row in rows if row.stack]
    parts = [
        f"{len(bad) or 'none'} of {counted(len(servers), 'server')} with something wrong",
        f"findings: {findings or 'none'}",
    ]
    healths = Counter(row.health for row in apps)
    parts += [
        f"{counted(healths[health], 'app')} {words}"
        for health, words in _IN_WORDS.items()
        if healths[health]
    ]
    if number := sum(bool(row.newer) for row in apps):
        parts.append(f"{counted(number, 'app')} with a newer release")
    return f"{'; '.join(parts).capitalize()}."


_IN_WORDS = {_SOME: "with tasks that do not run", _NONE: "without any task", _ABSENT: _ABSENT}
