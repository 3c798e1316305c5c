"""Pictures of what happened when: in a run, and in a runbook.

Of a run, what took how long in each app, what waited for what, and the way back; of a runbook, its
steps as bars, notes and signatures as points.
"""

# pandas ships partial types, altair dynamic ones.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from opskit.arguments import check_text
from opskit.decoding import decode_json
from opskit.journal.runs import open_journal
from opskit.kinds.statuses import STATUSES, RunStatus
from opskit.pictures.lanes import Lane, Segment, lanes_chart
from opskit.pictures.picture import OUTCOMES, Picture, altair, beside, counted, drawn, safe
from opskit.run.outcome import is_fault, unit_outcome
from opskit.run.run import Run
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About

LANES_AT_MOST = 40
"""With more apps, those that failed and those that took longest are shown."""

_NOTICED_S = 0.25
"""Shorter waits before an app's first step are no waits."""
_FOR_APPS = "waits for other apps"
_NOT_BEGUN = "not begun"
_BAD = ("failed", "partly undone", "interrupted")
_WAITS = {
    "take-lock": "waits for the lock",
    "verify": "waits for tasks",
    "verify-stack": "waits for tasks",
    "converge-back": "waits for tasks",
}
"""Steps that wait for something rather than change it."""


class _PlannedUnit(msgspec.Struct):
    server: str
    app: str
    steps: tuple[msgspec.Raw, ...] = ()


class _Planned(msgspec.Struct):
    """What is read of a plan that any opskit may have written."""

    units: tuple[_PlannedUnit, ...]


class BarsRow(Row, frozen=True, kw_only=True):
    """A row of a run's numbers: one step there or back, or an app that was not begun."""

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app.")]
    step: Annotated[str, Column("Which step, and what it does; empty when none was begun.")]
    way: Annotated[str, Column("there or back.")]
    outcome: Annotated[str, Column("How it ended.")]
    waits: Annotated[str, Column("What it waited for, if it did.")] = ""
    begins_s: Annotated[
        float | None, Column("From the run's beginning to its own.", unit="seconds")
    ]
    ends_s: Annotated[float | None, Column("From the run's beginning to its end.", unit="seconds")]


def timeline(run: Run | str) -> Picture:
    """Draw a run over time, from the journal.

    It answers: what took long, what waited and why, what failed, and what was undone? Each app
    has a lane with its steps as segments; the way back stands below.

    Parameters
    ----------
    run
        A run, or its id (or the beginning of it).
    """
    ident = run.id if isinstance(run, Run) else run
    check_text("run", ident, "Give a run, or the id of one: see fleet.journal().")
    with open_journal() as journal:
        record = journal.run(ident)
        steps = list(journal.steps_frame(record.run).records())
    units = decode_json(record.plan, _Planned).units
    rows = _rows(steps, units, min((row.started_at for row in steps), default=None))
    numbers = View.from_rows(BarsRow, rows, About(noun="bars", remark=f"run {record.run}"))
    is_at_work = record.status == "running"
    there = _lanes(
        rows, "there",
        _outcomes([row for row in steps if row.phase == "do"], units, is_at_work=is_at_work),
    )  # fmt: skip
    back = _lanes(rows, "back", _outcomes(steps, units, is_at_work=is_at_work))
    is_faulty = any(row.phase == "do" and is_fault(row) for row in steps)
    shown = _most(there)
    cut = f"The {LANES_AT_MOST} of {len(there):,} apps that failed or took longest."
    return drawn(
        lanes_chart(shown, _most(back)) if rows else None,
        title=f"Run {record.run}",
        alt=_said(rows, record.status, is_faulty=is_faulty),
        note=cut if len(shown) < len(there) else "",
        numbers=numbers,
        labels=(),
    )


def _rows(
    steps: Sequence[Any], units: Sequence[_PlannedUnit], start: datetime | None
) -> list[BarsRow]:
    """Return the steps of each unit in the plan's order, there before back."""
    rows: list[BarsRow] = []
    for number, unit in enumerate(units):
        place = {"server": safe(unit.server), "app": safe(unit.app)}
        own = sorted(
            (row for row in steps if row.unit == number),
            key=lambda row: (row.phase, row.started_at),
        )
        if not own:
            rows.append(
                BarsRow(**place, step="", way="there", outcome=_NOT_BEGUN,
                        begins_s=None, ends_s=None)
            )  # fmt: skip
            continue
        begins = _seconds(own[0].started_at, start)
        if begins >= _NOTICED_S and any(row.started_at < own[0].started_at for row in steps):
            rows.append(
                BarsRow(**place, step="", way="there", outcome="waited", waits=_FOR_APPS,
                        begins_s=0.0, ends_s=begins)
            )  # fmt: skip
        rows += [
            BarsRow(
                **place,
                step=f"{row.step + 1} {safe(row.action).replace('-', ' ')}",
                way="back" if row.phase == "undo" else "there",
                outcome="undone" if (row.status, row.phase) == ("done", "undo") else row.status,
                waits=_why(row),
                begins_s=_seconds(row.started_at, start),
                ends_s=_seconds(_end(row), start),
            )
            for row in own
            if row.status != "skipped"
        ]
    return rows


def _why(row: Any) -> str:
    # On the way there it only stands for the way back, where nothing but it waits.
    is_idle = (row.phase == "undo") != (row.action == "converge-back")
    return "" if is_idle else _WAITS.get(row.action, "")


def _outcomes(
    steps: Sequence[Any], units: Sequence[_PlannedUnit], *, is_at_work: bool
) -> dict[tuple[str, str], str]:
    """Return what became of each app, by server and app."""
    return {
        (safe(unit.server), safe(unit.app)): unit_outcome(
            len(unit.steps), [row for row in steps if row.unit == number], is_at_work=is_at_work
        )
        for number, unit in enumerate(units)
    }


def _lanes(
    rows: Sequence[BarsRow], way: str, outcomes: Mapping[tuple[str, str], str]
) -> list[Lane]:
    by_app: dict[tuple[str, str], list[BarsRow]] = {}
    for row in rows:
        if row.way == way:
            by_app.setdefault((row.server, row.app), []).append(row)
    names = [app for _, app in by_app]
    return [
        Lane(
            name=app if names.count(app) == 1 else f"{app} · {server}",
            words=_ended(own, outcomes[server, app]),
            is_bad=outcomes[server, app] in _BAD,
            segments=[
                Segment(
                    begins=row.begins_s, ends=row.ends_s, outcome=row.outcome,
                    label=row.step.partition(" ")[2] or "waits", waits=row.waits,
                )
                for row in own
                if row.begins_s is not None and row.ends_s is not None
            ],
        )
        for (server, app), own in by_app.items()
    ]  # fmt: skip


def _ended(own: Sequence[BarsRow], outcome: str) -> str:
    """Return how an app's way ended, and where it did if not at its end."""
    worked = [row for row in own if row.begins_s is not None and row.outcome != "waited"]
    if not worked:
        return _NOT_BEGUN
    failed = next((row for row in worked if row.outcome == "failed"), None)
    if failed is not None and outcome in _BAD:
        return f"{outcome}: {failed.step.partition(' ')[2]}"
    seconds = sum((row.ends_s or 0) - (row.begins_s or 0) for row in worked)
    return f"{outcome} {'after' if outcome in _BAD else 'in'} {seconds:,.1f} s"


def _most(lanes: list[Lane]) -> list[Lane]:
    if len(lanes) <= LANES_AT_MOST:
        return lanes
    order = sorted(lanes, key=lambda lane: (not lane.is_bad, -lane.seconds))
    shown = {id(lane) for lane in order[:LANES_AT_MOST]}
    return [lane for lane in lanes if id(lane) in shown]


def _said(rows: Sequence[BarsRow], status: RunStatus, *, is_faulty: bool) -> str:
    there = [row for row in rows if row.step and row.way == "there"]
    back = [row for row in rows if row.way == "back"]
    apps, idle = ({(row.server, row.app) for row in rows if bool(row.step) is is_begun}
                  for is_begun in (True, False))  # fmt: skip
    seconds = max((row.ends_s or 0.0 for row in there), default=0.0)
    failed = [row for row in rows if row.outcome == "failed"]
    said = (
        f"{counted(len(there), 'step')} on {counted(len(apps), 'app')} in {seconds:,.1f} s, "
        f"{len(failed) or 'none'} failed."
    )
    if failed:
        said += f" First: {failed[0].step.partition(' ')[2]} of {failed[0].app}."
    if back:
        undone = len({(row.server, row.app) for row in back})
        said += f" {counted(len(back), 'step')} back on {counted(undone, 'app')}."
    if idle - apps:
        said += f" {counted(len(idle - apps), 'app')} not begun."
    return f"{said} {STATUSES[status].sentence(fault=is_faulty)}"


def _end(row: Any) -> datetime:
    return row.finished_at if isinstance(row.finished_at, datetime) else row.started_at


def _seconds(at: datetime, start: datetime | None) -> float:
    return (at - start).total_seconds() if start is not None else 0.0


_POINTS = {
    "check": "circle",
    "note": "square",
    "decision": "diamond",
    "signature": "triangle-up",
    "run": "triangle-right",
    "plan": "cross",
}
_NO_STEP = "outside of steps"
_UNITS = ((7200.0, "hours", 3600.0), (180.0, "minutes", 60.0), (0.0, "seconds", 1.0))
"""From so many seconds on the axis counts in units of so many seconds."""
_STEP_AT_MOST = 40


def book_picture(entries: View, title: str) -> Picture:
    """Draw a runbook.

    Parameters
    ----------
    entries
        Columns ``started_at finished_at kind step text status``, oldest first.
    title
        The runbook's.
    """
    rows = [row for row in entries.records() if row.kind in (*_POINTS, "step")]
    start = min((row.started_at for row in rows), default=None)
    end = max((row.started_at for row in rows), default=None)
    span = (end - start).total_seconds() if start is not None else 0.0
    unit, size = next((name, size) for least, name, size in _UNITS if span >= least)
    drawn_rows = [_book_row(row, start, size) for row in rows]
    names = list(dict.fromkeys(row["step"] for row in drawn_rows))
    counts = Counter(row.kind for row in rows)
    failed = sum(row.kind == "step" and row.status in ("failed", "interrupted") for row in rows)
    words = ", ".join(counted(counts[kind], kind) for kind in ("step", *_POINTS) if counts[kind])
    return drawn(
        _book_chart(drawn_rows, names, unit),
        title=safe(title),
        alt=f"{words or 'Nothing yet'}; {failed or 'none'} of the steps failed.",
        numbers=entries,
        labels=names,
    )


def _book_row(row: Any, start: Any, size: float) -> dict[str, Any]:
    begins = (row.started_at - start).total_seconds() / size
    ended = row.finished_at if row.finished_at == row.finished_at else None
    ends = (ended - start).total_seconds() / size if ended is not None else begins
    step = safe(row.step) if isinstance(row.step, str) else _NO_STEP
    outcome = {"interrupted": "failed", "rolled-back": "undone"}.get(row.status, row.status)
    return {
        "step": step if len(step) <= _STEP_AT_MOST else f"{step[: _STEP_AT_MOST - 1]}…",
        "kind": row.kind, "outcome": outcome, "begins": begins, "ends": ends,
        "said": _step_said(row.status, (ends - begins) * size),
    }  # fmt: skip


def _step_said(status: str, seconds: float) -> str:
    if status == "running":
        return status
    return f"{seconds:,.1f} s{'' if status == 'done' else f', {status}'}"


def _book_chart(rows: list[dict[str, Any]], names: list[str], unit: str) -> Any:
    alt = altair()
    span = max((row["ends"] for row in rows), default=0.0) or 0.1
    scale = alt.Scale(domain=[0, span * 1.3])
    outcomes = alt.Scale(domain=list(OUTCOMES), range=list(OUTCOMES.values()))
    colour = alt.Color("outcome:N", legend=None, scale=outcomes)
    axis = alt.Axis(tickCount=8, labelFlush=False)
    x = alt.X("begins:Q", title=f"{unit} since the runbook began", scale=scale, axis=axis)
    y = alt.Y("step:N", sort=names, title=None)
    steps = alt.Chart(alt.Data(values=[row for row in rows if row["kind"] == "step"]))
    bars = steps.mark_bar(height=16, cornerRadius=2, minBandSize=3, opacity=0.55).encode(
        x=x, x2="ends:Q", y=y, color=colour
    )
    last = {row["step"]: row for row in rows if row["kind"] == "step"}
    words = alt.Chart(alt.Data(values=list(last.values())))
    said = words.mark_text(align="left", dx=9, fontSize=11, color="currentColor").encode(
        x=alt.X("ends:Q", scale=scale), y=y, text="said:N"
    )
    kinds = [kind for kind in _POINTS if any(row["kind"] == kind for row in rows)]
    size = {"width": beside(names), "height": alt.Step(26)}
    if not kinds:
        # A legend of nothing has no size, and neither has the drawing it is part of.
        return alt.layer(bars, said).properties(**size)
    points = alt.Chart(alt.Data(values=[row for row in rows if row["kind"] != "step"]))
    # On a bar of their own colour they could not be seen: they are as in the legend, or red.
    marks = points.mark_point(filled=True, size=60, opacity=1).encode(
        x=x, y=y,
        color=alt.condition(
            "datum.outcome == 'failed'", alt.value(OUTCOMES["failed"]), alt.value("currentColor")
        ),
        shape=alt.Shape(
            "kind:N", scale=alt.Scale(domain=kinds, range=[_POINTS[kind] for kind in kinds]),
            legend=alt.Legend(symbolFillColor="currentColor", symbolStrokeColor="currentColor"),
        ),
    )  # fmt: skip
    return alt.layer(bars, said, marks).properties(**size)
