"""What a run did, stack by stack, as the journal has it: done, undone, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from opskit.errors import InputError
from opskit.journal.records import StepRecord, name_in
from opskit.journal.runs import open_journal
from opskit.plan.data import Change, Unit, load_plan
from opskit.secrets.redact import redact
from opskit.statuses import STATUSES
from opskit.views.columns import Column, Row
from opskit.views.frame import About, View


class OutcomeRow(Row, frozen=True, kw_only=True):
    """A row of what a run shows of itself: one stack."""

    status: Annotated[str, Column("done, undone, partly undone, failed, interrupted or skipped.")]
    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app's name; that of a stack without one.")]
    what: Annotated[str, Column("What became of it: each secret with its versions.")]
    seconds: Annotated[float | None, Column("How long it took.", unit="seconds")]
    error: Annotated[str | None, Column("What went wrong.")]


def outcome_view(run: str) -> View:
    """List what a run did to each stack of its plan.

    Raises
    ------
    InputError
        There is no such run, or another opskit wrote its plan.
    """
    with open_journal() as journal:
        record = journal.run(run)
        taken = journal.steps(record.run)
    by_unit: dict[int, list[StepRecord]] = {}
    for one in taken:
        by_unit.setdefault(one.unit, []).append(one)
    rows = [
        _row(unit, by_unit.get(number, []))
        for number, unit in enumerate(load_plan(record.plan).units)
    ]
    fault = any(one.status == "failed" for one in taken)
    who = name_in(record.identity or record.actor)
    remark = f"{record.kind}, run {record.run}: {STATUSES[record.status].name(fault=fault)}"
    hidden = {"error"} if not any(row.error for row in rows) else set[str]()
    shown = tuple(name for name in OutcomeRow.__struct_fields__ if name not in hidden)
    return View.from_rows(
        OutcomeRow, rows, About(noun="stacks", remark=f"{remark}, by {who}", shown=shown)
    )


def shown_outcome(run: str) -> View | None:
    """Return what a run did; nothing where the journal does not know it."""
    try:
        return outcome_view(run)
    except InputError:
        return None


def _row(unit: Unit, taken: Sequence[StepRecord]) -> OutcomeRow:
    ended = [one.finished_at for one in taken if one.finished_at is not None]
    began = min((one.started_at for one in taken), default=None)
    errors = [one.error for one in taken if one.error]
    return OutcomeRow(
        status=_status(taken),
        server=unit.server,
        app=unit.app or unit.stack,
        what="; ".join(filter(None, map(_said, unit.changes))) or "the app",
        seconds=(max(ended) - began).total_seconds() if began is not None and ended else None,
        error=redact(errors[0]) if errors else None,
    )


def _status(taken: Sequence[StepRecord]) -> str:
    back = [one for one in taken if one.phase == "undo"]
    there = [one for one in taken if one.phase == "do"]
    match (taken, back):
        case ([], _):
            return "skipped"
        case (_, [_, *_]):
            whole = all(one.status in ("done", "skipped") for one in back)
            return "undone" if whole else "partly undone"
        case _ if any(one.status == "failed" for one in there):
            return "failed"
        case _ if any(one.status == "running" for one in there):
            return "interrupted"
        case _:
            return "done"


def _said(change: Change) -> str:
    versions = " → ".join(filter(None, (change.from_version, change.to_version)))
    return " ".join(filter(None, (change.secret, versions))) or change.note
