"""The fleet map: servers, their stacks, and how each service is."""

# pandas ships partial types, altair dynamic ones.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Annotated, Any

import pandas as pd

from opskit.pictures.picture import (
    HEALTH,
    WIDTH,
    Picture,
    altair,
    check_snapshot,
    counted,
    drawn,
    safe,
)
from opskit.snapshot import Snapshot
from opskit.views.columns import Column, Row
from opskit.views.frame import View, about

STACKS_AT_MOST = 40
"""With more stacks, each mark is a stack instead of a service."""
SERVERS_AT_MOST = 60
"""With more servers, those with the most trouble are shown."""

_ALL, _SOME, _NONE, _DONE, _SCALED, _UNREAD = HEALTH
_WELL = frozenset({_ALL, _DONE, _SCALED})


class MarksRow(Row, frozen=True, kw_only=True):
    """A row of the map's numbers: one mark, which is a service, a stack or an unread server."""

    server: Annotated[str, Column("The server, as abra names it.")]
    stack: Annotated[str, Column("The stack; empty for an unread server.")] = ""
    service: Annotated[str, Column("The service, without the stack; empty for a stack.")] = ""
    health: Annotated[str, Column("How many of the tasks run, in words.")]
    running: Annotated[int | None, Column("How many of the tasks run.")] = None
    desired: Annotated[int | None, Column("How many of them are still to run.")] = None
    completed: Annotated[int | None, Column("How many of them have done their work.")] = None


def fleet_map(snap: Snapshot) -> Picture:
    """Draw servers, stacks and services with their health.

    Parameters
    ----------
    snap
        The snapshot; a server that could not be read is one mark that says so.
    """
    check_snapshot(snap)
    services = list(snap.services.records())
    detailed = len({(row.server, row.stack) for row in services}) <= STACKS_AT_MOST
    marks = _services(services) if detailed else _stacks(services)
    health = Counter(mark.health for mark in marks)
    counts = [f"{health[one]:,} {one}" for one in HEALTH if health[one]]
    noun = counted(len(marks), "service" if detailed else "stack")
    missing = snap.facts.missing()
    marks += [MarksRow(server=server, health=_UNREAD) for server in missing]
    trouble = Counter(dict.fromkeys(snap.facts.apps_by_server, 0))
    for mark in marks:
        trouble[mark.server] += mark.health not in _WELL
    shown = {server for server, _ in trouble.most_common(SERVERS_AT_MOST)}
    marks = [mark for mark in marks if mark.server in shown]
    marks.sort(key=lambda mark: (mark.server, mark.stack, mark.service))
    numbers = View.from_rows(MarksRow, marks, about(snap.facts, "marks"))
    notes = [] if detailed else [f"More than {STACKS_AT_MOST} stacks: each mark is a whole stack."]
    if len(shown) < len(trouble):
        notes.append(f"The {len(shown)} servers with the most trouble of {len(trouble):,}.")
    return drawn(
        _chart(numbers, detailed=detailed),
        title="Fleet map",
        alt=f"{counted(len(trouble), 'server')}, {noun}: {', '.join(counts) or 'none'}."
        + (f" {counted(len(missing), 'server')} could not be read." if missing else ""),
        note=" ".join(notes),
        numbers=numbers,
        labels=numbers["stack" if detailed else "server"],
    )


def _services(services: list[Any]) -> list[MarksRow]:
    return [
        MarksRow(
            server=row.server,
            stack=safe(row.stack),
            service=safe(row.service).removeprefix(f"{safe(row.stack)}_"),
            health=_health(row),
            running=row.running,
            desired=row.desired,
            completed=row.completed,
        )
        for row in services
    ]


def _stacks(services: list[Any]) -> list[MarksRow]:
    found: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in services:
        found[row.server, safe(row.stack)].append(row)
    marks: list[MarksRow] = []
    for (server, stack), rows in found.items():
        each = {_health(row) for row in rows}
        health = next(iter(each)) if len(each) == 1 else _SOME
        if len(each) > 1 and each <= _WELL:
            health = _ALL if _ALL in each else _DONE
        marks.append(
            MarksRow(
                server=server,
                stack=stack,
                health=health,
                running=sum(row.running or 0 for row in rows),
                desired=sum(row.desired or 0 for row in rows),
                completed=sum(row.completed or 0 for row in rows),
            )
        )
    return marks


def _health(row: Any) -> str:
    if pd.isna(row.running) or pd.isna(row.desired):
        return _UNREAD
    if not row.desired:
        return _DONE if row.completed else _SCALED
    if row.running >= row.desired:
        return _ALL
    return _SOME if row.running else _NONE


def _chart(numbers: Any, *, detailed: bool) -> Any:
    alt = altair()
    rows = numbers.to_dict("records")
    places: Counter[tuple[str, str]] = Counter()
    for row in rows:
        row["row"] = (row["stack"] or "not read") if detailed else row["server"]
        key = (row["server"], row["row"])
        row["place"] = places[key]
        places[key] += 1
        del row["running"], row["desired"], row["completed"]
    names = list(HEALTH)
    colours, shapes = zip(*HEALTH.values(), strict=True)
    legend = alt.Legend(columns=6)
    widest = max(places.values(), default=1)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("place:Q", axis=None, scale=alt.Scale(domain=[-0.2, max(widest, 5) - 0.2])),
        y=alt.Y("row:N", title=None),
    )
    marks = base.mark_point(filled=True, size=90, opacity=1).encode(
        color=alt.Color(
            "health:N", scale=alt.Scale(domain=names, range=colours), legend=legend, sort=names
        ),
        shape=alt.Shape(
            "health:N", scale=alt.Scale(domain=names, range=shapes), legend=legend, sort=names
        ),
    )
    if not detailed:
        return marks.properties(width=WIDTH - 160, height=alt.Step(20))
    words = base.mark_text(align="left", dx=9, fontSize=11, color="currentColor").encode(
        text="service:N"
    )
    chart = alt.layer(marks, words).properties(width=WIDTH - 130, height=alt.Step(20))
    header = alt.Header(orient="top", labelAnchor="start", labelPadding=2)
    return chart.facet(
        facet=alt.Facet("server:N", title=None, header=header), columns=1, spacing=8
    ).resolve_scale(y="independent")
