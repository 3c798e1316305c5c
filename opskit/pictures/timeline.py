"""The picture of a run: which step of which app took when how long, and how it ended."""

# pandas ships partial types, altair dynamic ones.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from opskit.arguments import check_text
from opskit.journal.runs import open_journal
from opskit.pictures.picture import OUTCOMES, WIDTH, Picture, altair, counted, drawn, safe
from opskit.run.run import Run
from opskit.views.columns import Column, Row
from opskit.views.frame import About, View

ROWS_AT_MOST = 60
"""With more steps, each app is one bar."""


class BarsRow(Row, frozen=True, kw_only=True):
    """A row of a run's numbers: one bar, which is a step or all of an app's."""

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app.")]
    step: Annotated[str, Column("Which step, and what it does.")]
    outcome: Annotated[str, Column("How it ended; the worst of several.")]
    begins_s: Annotated[float, Column("From the run's beginning to its own.", unit="seconds")]
    ends_s: Annotated[float, Column("From the run's beginning to its end.", unit="seconds")]


def timeline(run: Run | str) -> Picture:
    """Draw a run's steps over time, from the journal.

    Parameters
    ----------
    run
        A run, or its id (or the beginning of it).
    """
    ident = run.id if isinstance(run, Run) else run
    check_text("run", ident, "Give a run, or the id of one: see fleet.journal().")
    with open_journal() as journal:
        ident = journal.run(ident).run
        begun = list(journal.steps_frame(ident).records())
    start = min((row.started_at for row in begun), default=None)
    steps = [row for row in begun if row.status != "skipped"]
    steps.sort(key=lambda row: (row.unit, row.started_at))
    whole = len(steps) <= ROWS_AT_MOST
    rows: list[BarsRow] = []
    for part in _parts(steps, whole=whole):
        first, last = part[0], part[-1]
        rows.append(
            BarsRow(
                server=safe(first.server),
                app=safe(first.app),
                step=_name(first) if whole else "all steps",
                outcome=_outcome(last) if whole else _worst(part),
                begins_s=_seconds(first.started_at, start),
                ends_s=max(_seconds(_end(row), start) for row in part),
            )
        )
    numbers = View.from_rows(BarsRow, rows, About(noun="bars", remark=f"run {ident}"))
    failed = sum(row.status == "failed" for row in steps)
    apps = len({(row.server, row.app) for row in steps})
    seconds = max((_seconds(_end(row), start) for row in steps), default=0.0)
    return drawn(
        _chart(numbers),
        title=f"Run {ident}",
        alt=f"{counted(len(steps), 'step')} on {counted(apps, 'app')} in {seconds:,.1f} s, "
        f"{failed or 'none'} failed.",
        note="" if whole else f"More than {ROWS_AT_MOST} steps: each bar is all of an app's.",
        numbers=numbers,
        labels=numbers["app"] + " · " + numbers["step"],
    )


def _parts(steps: list[Any], *, whole: bool) -> list[list[Any]]:
    if whole:
        return [[row] for row in steps]
    by_app: dict[tuple[str, str], list[Any]] = {}
    for row in steps:
        by_app.setdefault((row.server, row.app), []).append(row)
    return list(by_app.values())[:ROWS_AT_MOST]


def _name(row: Any) -> str:
    undone = " (undone)" if row.phase == "undo" else ""
    return f"{row.step + 1} {safe(row.action).replace('-', ' ')}{undone}"


def _end(row: Any) -> datetime:
    return row.finished_at if isinstance(row.finished_at, datetime) else row.started_at


def _outcome(row: Any) -> str:
    if row.status == "done" and row.phase == "undo":
        return "undone"
    return row.status


def _worst(part: list[Any]) -> str:
    outcomes = {_outcome(row) for row in part}
    return next(o for o in ("failed", "running", "undone", "done", "skipped") if o in outcomes)


def _seconds(at: datetime, start: datetime | None) -> float:
    return (at - start).total_seconds() if start is not None else 0.0


def _chart(numbers: Any) -> Any:
    alt = altair()
    rows = numbers.to_dict("records")
    for row in rows:
        row["row"] = f"{row['app']} · {row['step']}"
        row["said"] = f"{row['outcome']}, {row['ends_s'] - row['begins_s']:.1f} s"
    span = max((row["ends_s"] for row in rows), default=1.0)
    scale = alt.Scale(domain=[0, span * 1.25 or 1.0])
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("row:N", sort=None, title=None),
        x=alt.X(
            "begins_s:Q",
            title="seconds since the run began",
            scale=scale,
            axis=alt.Axis(tickCount=8, labelFlush=False),
        ),
    )
    bars = base.mark_bar(height=12, cornerRadius=2, minBandSize=3).encode(
        x2="ends_s:Q",
        color=alt.Color(
            "outcome:N",
            legend=None,
            scale=alt.Scale(domain=list(OUTCOMES), range=list(OUTCOMES.values())),
        ),
    )
    words = base.mark_text(align="left", dx=5, fontSize=11, color="currentColor").encode(
        x=alt.X("ends_s:Q", scale=scale), text="said:N"
    )
    return alt.layer(bars, words).properties(width=WIDTH - 220, height=alt.Step(18))
