"""Pictures of secret versions: how old they are, and in what state."""

# pandas ships partial types, altair dynamic ones.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Annotated, Any

from opskit.pictures.picture import (
    AGES,
    STATES,
    Picture,
    altair,
    beside,
    check_snapshot,
    counted,
    drawn,
    labelled,
    missing,
    safe,
    shortened,
)
from opskit.snapshot import Snapshot
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import about

APPS_AT_MOST = 30
"""With more apps, the age map has a row per server."""
ROWS_AT_MOST = 50
"""With more rows, those that matter most are shown."""

_LIMITS = (30, 90, 180, 365)
_NO_APP = "(no app declares it)"
_OLDEST = "oldest"
_NARROWEST = 0.03
"""Part of the widest bar below which a figure has no room in a segment."""


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
    state: Annotated[str, Column("How they stand: `opskit.facts.join.State`, or unknown.")]
    versions: Annotated[int, Column("How many versions stand so.")]


def age_map(snap: Snapshot) -> Picture:
    """Draw how many secrets in use are how old, by app.

    It answers: whose should be rotated next? The app with the oldest comes first, and older is
    darker.

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
    worst = sorted(ages, key=lambda key: (-max(ages[key]), key))[:ROWS_AT_MOST]
    rows = [
        AgesRow(
            server=server,
            app=app,
            age=age,
            secrets=number,
            oldest_days=max(days for days in ages[server, app] if _bin(days) == age),
        )
        for server, app in worst
        for age, number in sorted(Counter(map(_bin, ages[server, app])).items())
    ]
    numbers = View.from_rows(AgesRow, rows, about(snap.facts, "ages"))
    names = _names(worst, by_app=by_app)
    old = sum(row.age_days > _LIMITS[-1] for row in used)
    return drawn(
        _heat(numbers, names, {key: max(ages[key]) for key in worst}),
        title="Age of the secrets in use, in days",
        alt=_said(used, old) + missing(snap),
        note=_note(by_app=by_app, shown=len(worst), rows=len(ages)),
        numbers=numbers,
        labels=names.values(),
    )


def states(snap: Snapshot) -> Picture:
    """Draw how many secret versions are in which state, by server.

    It answers: where is there something to put right? The server with most versions that are
    neither current nor undeployed comes first.
    """
    check_snapshot(snap)
    found: Counter[tuple[str, str]] = Counter()
    for row in snap.secrets.records():
        found[safe(row.server), row.state if isinstance(row.state, str) else "unknown"] += 1
    trouble: Counter[str] = Counter()
    for (server, state), number in found.items():
        trouble[server] += number if state not in {"current", "undeployed"} else 0
    shown = sorted(trouble, key=lambda server: (-trouble[server], server))[:ROWS_AT_MOST]
    order = list(STATES)
    rows = [
        StatesRow(server=server, state=state, versions=found[server, state])
        for server in shown
        for state in order
        if found[server, state]
    ]
    numbers = View.from_rows(StatesRow, rows, about(snap.facts, "states"))
    total = Counter[str]()
    for (_, state), number in found.items():
        total[state] += number
    return drawn(
        _bars(numbers, {server: shortened(server) for server in shown}),
        title="Secret versions by state and server",
        alt=(", ".join(f"{number:,} {state}" for state, number in total.most_common()) or "None")
        + f" on {counted(len(trouble), 'server')}."
        + missing(snap),
        note=_note(by_app=True, shown=len(shown), rows=len(trouble)),
        numbers=numbers,
        labels=map(shortened, shown),
    )


def _said(used: list[Any], old: int) -> str:
    if not used:
        return "No secret is in use."
    oldest = max(used, key=lambda row: row.age_days)
    where = f"{safe(oldest.secret)} of {_app(oldest)} on {safe(oldest.server)}"
    return (
        f"{counted(len(used), 'secret')} in use; {old or 'none'} older than {_LIMITS[-1]} days, "
        f"the oldest {oldest.age_days:,.0f} days: {where}."
    )


def _names(keys: list[tuple[str, str]], *, by_app: bool) -> dict[tuple[str, str], str]:
    """Return what stands beside each row: the app, with its server where it alone is not enough."""
    if not by_app:
        return {key: shortened(key[0]) for key in keys}
    short = {key: shortened(key[1]) for key in keys}
    often = Counter(short.values())
    return {
        key: name if often[name] == 1 and key[1] != _NO_APP else shortened(f"{key[1]} · {key[0]}")
        for key, name in short.items()
    }


def _app(row: Any) -> str:
    return safe(row.app) or _NO_APP


def _bin(days: float) -> str:
    return list(AGES)[sum(days >= limit for limit in _LIMITS)]


def _note(*, by_app: bool, shown: int, rows: int) -> str:
    together = "" if by_app else f"More than {APPS_AT_MOST} apps: each row is a whole server. "
    cut = f"The {shown} rows that matter most of {rows:,}." if shown < rows else ""
    return (together + cut).strip()


def _heat(numbers: Any, names: dict[tuple[str, str], str], oldest: dict[Any, float]) -> Any:
    alt = altair()
    rows = [
        row | {"row": list(names).index((row["server"], row["app"])), "ink": AGES[row["age"]][1]}
        for row in numbers.to_dict("records")
    ]
    ends = [
        {"row": place, "age": _OLDEST, "said": f"{oldest[key]:,.0f} days"}
        for place, key in enumerate(names)
    ]
    columns = [*AGES, _OLDEST]
    x = alt.X(
        "age:O",
        scale=alt.Scale(domain=columns, padding=0.06),
        title=None,
        axis=alt.Axis(orient="top", labelAngle=0),
    )
    y = alt.Y("row:O", title=None, scale=alt.Scale(padding=0.08), axis=labelled(names.values()))
    cells = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y)
    colours = alt.Scale(domain=list(AGES), range=[colour for colour, _ in AGES.values()])
    # The ramp's ends come near to a page's ground, one on each theme.
    squares = cells.mark_rect(
        cornerRadius=3, stroke="currentColor", strokeOpacity=0.35, strokeWidth=1
    ).encode(color=alt.Color("age:O", scale=colours, legend=None))
    figures = cells.mark_text(fontSize=12).encode(
        text="secrets:Q", color=alt.Color("ink:N", scale=None)
    )
    last = alt.Chart(alt.Data(values=ends)).encode(x=x, y=y, text="said:N")
    words = last.mark_text(fontSize=12, color="currentColor")
    return alt.layer(squares, figures, words).properties(
        width=beside(names.values()), height=alt.Step(24, **{"for": "position"})
    )


def _bars(numbers: Any, names: dict[str, str]) -> Any:
    alt = altair()
    order = list(STATES)
    begins: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    widest = max((numbers.groupby("server")["versions"].sum()), default=0)
    for row in numbers.to_dict("records"):
        at, server = begins[row["server"]], row["server"]
        begins[server] += row["versions"]
        narrow = row["versions"] < widest * _NARROWEST
        rows.append(
            {
                "row": list(names).index(server), "state": row["state"],
                "begins": at, "ends": begins[server], "middle": (at + begins[server]) / 2,
                "said": "" if narrow else f"{row['versions']:,}",
            }
        )  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("row:O", title=None, axis=labelled(names.values()))
    )
    bars = base.mark_bar(height=18, xOffset=0.5, x2Offset=-0.5).encode(
        x=alt.X("begins:Q", title="secret versions", axis=alt.Axis(tickMinStep=1)),
        x2="ends:Q",
        color=alt.Color(
            "state:N",
            sort=order,
            scale=alt.Scale(domain=order, range=list(STATES.values())),
            legend=alt.Legend(columns=4, symbolType="square"),
        ),
    )
    figures = base.mark_text(fontSize=11, color="#fff").encode(text="said:N", x="middle:Q")
    return alt.layer(bars, figures).properties(width=beside(names.values()), height=alt.Step(24))
