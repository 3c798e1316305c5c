"""Pictures of secret versions: how old they are, and in what state."""

# pandas ships partial types, altair dynamic ones.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Annotated, Any

from opskit.pictures.picture import (
    AGES,
    STATES,
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

APPS_AT_MOST = 30
"""With more apps, the age map has a row per server."""
ROWS_AT_MOST = 50
"""With more rows, those that matter most are shown."""

_LIMITS = (30, 90, 180, 365)


class AgesRow(Row, frozen=True, kw_only=True):
    """A row of the age map's numbers: secrets of one app and one age."""

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app; all apps when a row is a whole server.")]
    age: Annotated[str, Column("Between which ages they are.")]
    secrets: Annotated[int, Column("How many secrets in use are of this age.")]
    oldest_days: Annotated[float, Column("The age of the oldest of them.", unit="days")]


class StatesRow(Row, frozen=True, kw_only=True):
    """A row of the states' numbers: versions of one server in one state."""

    server: Annotated[str, Column("The server, as abra names it.")]
    state: Annotated[str, Column("How they stand: `opskit.join.State`, or unknown.")]
    versions: Annotated[int, Column("How many versions stand so.")]


def age_map(snap: Snapshot) -> Picture:
    """Draw how many secrets in use are how old, by app and server.

    Parameters
    ----------
    snap
        The snapshot; secrets that no running service uses are left out.
    """
    check_snapshot(snap)
    used = [row for row in snap.secrets.records() if row.used_by and row.age_days >= 0]
    by_app = len({(row.server, row.app) for row in used}) <= APPS_AT_MOST
    ages: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in used:
        ages[safe(row.server), _app(row) if by_app else "all apps"].append(row.age_days)
    worst = sorted(ages, key=lambda key: max(ages[key]), reverse=True)[:ROWS_AT_MOST]
    rows = [
        AgesRow(
            server=server,
            app=app,
            age=age,
            secrets=number,
            oldest_days=max(days for days in ages[server, app] if _bin(days) == age),
        )
        for server, app in sorted(worst)
        for age, number in sorted(Counter(map(_bin, ages[server, app])).items())
    ]
    numbers = View.from_rows(AgesRow, rows, about(snap.facts, "ages"))
    old = sum(row.age_days > _LIMITS[-1] for row in used)
    return drawn(
        _heat(numbers, "app" if by_app else "server", grouped=by_app),
        title="Age of the secrets in use",
        alt=f"{counted(len(used), 'secret')} in use; {old} older than {_LIMITS[-1]} days"
        + (f", the oldest {max(row.age_days for row in used):,.0f} days." if used else ".")
        + _missing(snap),
        note=_note(by_app=by_app, shown=len(worst), rows=len(ages)),
        numbers=numbers,
        labels=numbers["app" if by_app else "server"],
    )


def states(snap: Snapshot) -> Picture:
    """Draw how many secret versions are in which state, by server."""
    check_snapshot(snap)
    found: Counter[tuple[str, str]] = Counter()
    for row in snap.secrets.records():
        found[safe(row.server), row.state if isinstance(row.state, str) else "unknown"] += 1
    trouble: Counter[str] = Counter()
    for (server, state), number in found.items():
        trouble[server] += number if state not in {"current", "undeployed"} else 0
    shown = {server for server, _ in trouble.most_common(ROWS_AT_MOST)}
    rows = [
        StatesRow(server=server, state=state, versions=number)
        for (server, state), number in sorted(found.items())
        if server in shown
    ]
    numbers = View.from_rows(StatesRow, rows, about(snap.facts, "states"))
    total = Counter[str]()
    for (_, state), number in found.items():
        total[state] += number
    return drawn(
        _bars(numbers),
        title="Secret versions by state and server",
        alt=", ".join(f"{number:,} {state}" for state, number in total.most_common())
        + f" on {counted(len(trouble), 'server')}."
        + _missing(snap),
        note=_note(by_app=True, shown=len(shown), rows=len(trouble)),
        numbers=numbers,
        labels=numbers["server"],
    )


def _app(row: Any) -> str:
    return safe(row.app) or "(no app declares it)"


def _bin(days: float) -> str:
    return list(AGES)[sum(days >= limit for limit in _LIMITS)]


def _missing(snap: Snapshot) -> str:
    gone = len(snap.facts.missing())
    return f" {counted(gone, 'server')} could not be read." if gone else ""


def _note(*, by_app: bool, shown: int, rows: int) -> str:
    together = "" if by_app else f"More than {APPS_AT_MOST} apps: each row is a whole server. "
    cut = f"The {shown} rows that matter most of {rows:,}." if shown < rows else ""
    return (together + cut).strip()


def _heat(numbers: Any, row: str, *, grouped: bool) -> Any:
    alt = altair()
    data = alt.Data(values=numbers.to_dict("records"))
    base = alt.Chart(data).encode(
        x=alt.X("age:O", sort=list(AGES), title=None, axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y(f"{row}:N", title=None),
    )
    cells = base.mark_rect(cornerRadius=3, stroke=None).encode(
        color=alt.Color(
            "age:O",
            scale=alt.Scale(domain=list(AGES), range=list(AGES.values())),
            legend=None,
        )
    )
    figures = base.mark_text(fontSize=12, color="#fff").encode(text="secrets:Q")
    chart = alt.layer(cells, figures).properties(
        width=WIDTH - 180, height=alt.Step(22, **{"for": "position"})
    )
    if not grouped:
        return chart
    return _by_server(chart)


def _by_server(chart: Any) -> Any:
    alt = altair()
    header = alt.Header(orient="top", labelAnchor="start", labelPadding=2)
    return (
        chart.facet(facet=alt.Facet("server:N", title=None, header=header), columns=1, spacing=12)
        .resolve_scale(y="independent", x="shared")
        .resolve_axis(x="shared")
    )


def _bars(numbers: Any) -> Any:
    alt = altair()
    order = list(STATES)
    rows = [row | {"order": order.index(row["state"])} for row in numbers.to_dict("records")]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("versions:Q", stack="zero", title="secret versions", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("server:N", title=None),
        order=alt.Order("order:Q"),
    )
    bars = base.mark_bar(height=18, stroke=None).encode(
        color=alt.Color(
            "state:N",
            sort=order,
            scale=alt.Scale(domain=order, range=list(STATES.values())),
            legend=alt.Legend(columns=4, symbolType="square"),
        )
    )
    figures = base.mark_text(fontSize=11, color="#fff", align="right", dx=-4).encode(
        text="versions:Q", detail="state:N"
    )
    return alt.layer(bars, figures).properties(width=WIDTH - 150, height=alt.Step(24))
