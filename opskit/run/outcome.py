"""What a run did, stack by stack, as the journal has it: done, undone, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from opskit.errors import InputError
from opskit.journal.records import StepRecord, name_in
from opskit.journal.runs import open_journal
from opskit.kinds.statuses import STATUSES
from opskit.plan.data import Change, Unit, load_plan
from opskit.secrets.redact import redact
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About


class OutcomeRow(Row, frozen=True, kw_only=True):
    """A row of what a run shows of itself: one stack."""

    status: Annotated[
        str, Column("done, undone, partly undone, failed, running, interrupted or skipped.")
    ]
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
        _row(unit, by_unit.get(number, []), is_at_work=record.status == "running")
        for number, unit in enumerate(load_plan(record.plan).units)
    ]
    fault = any(one.phase == "do" and is_fault(one) for one in taken)
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


def _row(unit: Unit, taken: Sequence[StepRecord], *, is_at_work: bool) -> OutcomeRow:
    ended = [one.finished_at for one in taken if one.finished_at is not None]
    began = min((one.started_at for one in taken), default=None)
    errors = [one.error for one in taken if one.error]
    return OutcomeRow(
        status=unit_outcome(len(unit.steps), taken, is_at_work=is_at_work),
        server=unit.server,
        app=unit.app or unit.stack,
        what="; ".join(filter(None, map(_said, unit.changes))) or "the app",
        seconds=(max(ended) - began).total_seconds() if began is not None and ended else None,
        error=redact(errors[0]) if errors else None,
    )


class Taken(Protocol):
    """A step of a run as the journal has it: there or back, and how it ended."""

    @property
    def step(self) -> int:
        """Its place among the steps of its stack, from 0."""
        ...

    @property
    def phase(self) -> str:
        """Do or undo."""
        ...

    @property
    def action(self) -> str:
        """What kind of step it is."""
        ...

    @property
    def status(self) -> str:
        """Running, done, skipped or failed."""
        ...


def unit_outcome(steps: int, taken: Sequence[Taken], *, is_at_work: bool = False) -> str:
    """Say what became of one stack: done, undone, partly undone, failed, interrupted or skipped.

    A lock that could not be released is no failure: all else is as it was to be.

    Parameters
    ----------
    steps
        How many steps its plan has for it; those that were never begun leave no trace.
    taken
        Those of it that were begun, there and back.
    is_at_work
        Whether its run is: then it is running, rather than interrupted.
    """
    there, back = (
        {one.step: _stands(one) for one in taken if one.phase == phase} for phase in ("do", "undo")
    )
    if not taken:
        return "skipped"
    if back:
        if all(back.get(step) == "done" for step in there):
            return "undone"
        return "running" if is_at_work and "failed" not in back.values() else "partly undone"
    if "failed" in there.values():
        return "failed"
    if all(there.get(step) == "done" for step in range(steps)):
        return "done"
    return "running" if is_at_work else "interrupted"


def is_fault(one: Taken) -> bool:
    """Return whether a step failed, and more than the release of a lock with it."""
    releases = ("do", "release-lock"), ("undo", "take-lock")
    return one.status == "failed" and (one.phase, one.action) not in releases


def _stands(one: Taken) -> str:
    if one.status == "failed":
        return "failed" if is_fault(one) else "done"
    return "done" if one.status == "skipped" else one.status


def _said(change: Change) -> str:
    versions = " → ".join(filter(None, (change.from_version, change.to_version)))
    return " ".join(filter(None, (change.secret, versions))) or change.note
