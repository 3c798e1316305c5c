"""The picture of a runbook: its steps as bars over time, notes and signatures as points."""

# pandas ships partial types, altair dynamic ones.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from typing import Any

from opskit.pictures.picture import OUTCOMES, Picture, altair, beside, counted, drawn, safe
from opskit.views.frame import View

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
_LONGEST = 40


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
    drawn_rows = [_row(row, start, size) for row in rows]
    names = list(dict.fromkeys(row["step"] for row in drawn_rows))
    counts = Counter(row.kind for row in rows)
    failed = sum(row.kind == "step" and row.status in ("failed", "interrupted") for row in rows)
    words = ", ".join(counted(counts[kind], kind) for kind in ("step", *_POINTS) if counts[kind])
    return drawn(
        _chart(drawn_rows, names, unit),
        title=safe(title),
        alt=f"{words or 'Nothing yet'}; {failed or 'none'} of the steps failed.",
        numbers=entries,
        labels=names,
    )


def _row(row: Any, start: Any, size: float) -> dict[str, Any]:
    begins = (row.started_at - start).total_seconds() / size
    ended = row.finished_at if row.finished_at == row.finished_at else None
    ends = (ended - start).total_seconds() / size if ended is not None else begins
    step = safe(row.step) if isinstance(row.step, str) else _NO_STEP
    outcome = {"interrupted": "failed", "rolled-back": "undone"}.get(row.status, row.status)
    return {
        "step": step if len(step) <= _LONGEST else f"{step[: _LONGEST - 1]}…",
        "kind": row.kind, "outcome": outcome, "begins": begins, "ends": ends,
        "said": _said(row.status, (ends - begins) * size),
    }  # fmt: skip


def _said(status: str, seconds: float) -> str:
    if status == "running":
        return status
    return f"{seconds:,.1f} s{'' if status == 'done' else f', {status}'}"


def _chart(rows: list[dict[str, Any]], names: list[str], unit: str) -> Any:
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
