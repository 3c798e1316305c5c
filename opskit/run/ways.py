"""What may still be done about a run, as its steps allow; and a rollback, planned and not begun."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opskit.errors import InputError, JournalError
from opskit.journal.records import RunRecord, StepRecord
from opskit.journal.runs import Journal
from opskit.kinds.statuses import STATUSES, Way
from opskit.plan.data import (
    CallsRow,
    ChangesRow,
    Consequences,
    PlanData,
    Unit,
    is_creation,
    load_plan,
    removed,
    restarted,
    word_of,
)
from opskit.steps import (
    CommitEnv,
    ConvergeBack,
    RecommitEnv,
    ReleaseLock,
    ReplaceEnv,
    RestartService,
    Step,
    TakeLock,
    Verify,
    VerifyStack,
)
from opskit.views.frame import View
from opskit.views.table import About

_CHANGES_NOTHING = (
    TakeLock, ReleaseLock, Verify, VerifyStack, ConvergeBack, RestartService, ReplaceEnv, CommitEnv,
    RecommitEnv,
)  # fmt: skip
"""Steps whose undoing brings nothing back: there was nothing to keep, or only in memory."""


@dataclass(frozen=True, slots=True)
class _Part:
    """How far a run came with one stack."""

    unit: Unit
    records: Sequence[StepRecord]

    def _numbers(self, keep: Callable[[StepRecord], bool]) -> set[int]:
        return {one.step for one in self.records if keep(one)}

    @property
    def _begun(self) -> set[int]:
        return self._numbers(lambda one: one.phase == "do")

    @property
    def _undone(self) -> set[int]:
        return self._numbers(lambda one: one.phase == "undo" and one.status in ("done", "skipped"))

    @property
    def begun(self) -> list[Step]:
        """The steps that were begun."""
        return [self.unit.steps[number] for number in sorted(self._begun)]

    @property
    def is_lost(self) -> bool:
        """Whether something of it is gone for good."""
        gone = self._numbers(
            lambda one: (one.phase, one.status) in (("do", "done"), ("undo", "failed"))
        )
        return any(self.unit.steps[number].is_irreversible() for number in gone)

    @property
    def is_back(self) -> bool:
        """Whether all that was begun was undone."""
        return self._begun <= self._undone

    @property
    def is_stuck(self) -> bool:
        """Whether it is on a way back that leads nowhere."""
        return self.is_lost and any(one.phase == "undo" for one in self.records)

    @property
    def changed(self) -> bool:
        """Whether undoing it brings something back."""
        return any(not isinstance(step, _CHANGES_NOTHING) for step in self.begun)


def _parts(journal: Journal, record: RunRecord, plan: PlanData) -> list[_Part]:
    steps = journal.steps(record.run)
    known = {(n, step) for n, unit in enumerate(plan.units) for step in range(len(unit.steps))}
    if not all((one.unit, one.step) in known for one in steps):
        raise JournalError(
            f"the journal {journal.path} is damaged (run {record.run} has steps that its plan has "
            "not): move it aside with its -wal and -shm files, and opskit begins a new one."
        )
    return [
        _Part(unit, [one for one in steps if one.unit == number])
        for number, unit in enumerate(plan.units)
    ]


def ways_of(journal: Journal, record: RunRecord) -> tuple[Way, ...]:
    """Return what may be done about a run; what leads nowhere is none of it."""
    status = STATUSES[record.status]
    try:
        parts = _parts(journal, record, load_plan(record.plan))
    except InputError:
        # The opskit that wrote the plan can tell.
        return status.ways
    returns = any(_returns(part, stopped=status.stopped) for part in parts)
    possible = {
        "resume": not all(part.is_stuck or part.is_back for part in parts) or not parts,
        "rollback": returns,
        "give-up": True,
    }
    return tuple(way for way in status.ways if possible[way])


def needed_later(journal: Journal, run: str, unit: Unit, needed: str) -> list[str]:
    """Return the later runs of a stack whose way back needs a secret or service."""
    found: list[str] = []
    for later in journal.later(run, server=unit.server, stack=unit.stack):
        record = journal.run(later)
        try:
            parts = _parts(journal, record, load_plan(record.plan))
        except InputError:
            continue  # Written by another opskit: only that one can undo it.
        status = STATUSES[record.status]
        if "rollback" in status.ways and any(
            needed in step.needs_to_undo()
            for part in parts
            if (part.unit.server, part.unit.stack) == (unit.server, unit.stack)
            and _returns(part, stopped=status.stopped)
            for step in part.begun
        ):
            found.append(later)
    return found


def _returns(part: _Part, *, stopped: bool) -> bool:
    """Return whether undoing it changes something, if only that its lock is let go."""
    return not part.is_back and not part.is_lost and (part.changed or stopped)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RollbackData:
    """What undoing a run would do; nothing has been undone yet.

    Parameters
    ----------
    record
        The run.
    plan
        The part of its plan that would be undone.
    begun
        The steps of each stack that were begun.
    left_alone
        What cannot be brought back, and why.
    """

    record: RunRecord
    plan: PlanData
    begun: tuple[tuple[Step, ...], ...]
    left_alone: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What tells it from any other rollback."""
        text = f"rollback {self.record.run} {self.plan.digest}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def changes(self) -> View:
        """What becomes of each secret: a plan's changes, the other way round."""
        rows: list[ChangesRow] = []
        for unit in self.plan.units:
            touched = [*restarted(unit), *removed(unit)]
            for change in unit.changes:
                names = [name.removeprefix(f"{unit.stack}_") for name in change.services]
                rows.append(
                    ChangesRow(
                        server=unit.server,
                        app=unit.app,
                        secret=change.secret or None,
                        from_version=change.to_version or None,
                        to_version=change.from_version or None,
                        restarts=[name for name in names if name in touched],
                        removes=[],
                        bits=None,
                        undone_by=None,
                        note=change.undone_by or None,
                    )
                )
        shown = ("server", "app", "secret", "from", "to", "restarts", "note")
        remark = f"rollback of {self.record.kind}, run {self.record.run}"
        return View.from_rows(
            ChangesRow,
            rows,
            About(noun="changes", remark=remark, shown=shown, goes=("restarts", "server")),
        )

    @property
    def calls(self) -> View:
        """What is undone of each stack, in order."""
        rows = [
            CallsRow(
                server=unit.server,
                app=unit.app,
                step=number,
                action=f"undo {step.__struct_config__.tag}",
                call=step.subject(),
            )
            for unit, steps in zip(self.plan.units, self.begun, strict=True)
            for number, step in enumerate(reversed(steps), 1)
        ]
        return View.from_rows(CallsRow, rows, About(noun="steps"))

    @property
    def consequences(self) -> Consequences:
        """What is shown beside it before somebody agrees."""
        plain, record = self.plan.consequences, self.record
        who = record.identity or record.actor
        gone = [f"Cannot be brought back: {'; '.join(self.left_alone)}."] if self.left_alone else []
        made = [one for steps in self.begun for one in steps if is_creation(one)]
        going = [one for one in made if not one.keep_failed]
        if going:
            names = ", ".join(one.swarm_name for one in going)
            gone.append(f"Removes {names}: what is removed cannot be read back.")
        touched = (*plain.restarts, *plain.removes)
        return Consequences(
            irreversible=bool(going),
            # Where it took another's place, the app has that one again.
            confirm="" if all(one.replaces for one in going) else word_of(self.plan),
            warnings=tuple(gone),
            impact=(
                f"Undoes run {record.run} ({record.kind}, by {who}).",
                f"Touches {', '.join(touched)}." if touched else "Restarts nothing.",
            ),
            restarts=touched,
            removes=(),
            servers=plain.servers,
            stacks=plain.stacks,
            touches_pass=plain.touches_pass,
            longest_wait=plain.longest_wait,
        )


def rollback_of(journal: Journal, record: RunRecord) -> RollbackData:
    """Return what undoing a run would do.

    Raises
    ------
    InputError
        Nothing of it can be brought back; says why.
    """
    plan = load_plan(record.plan)
    status = STATUSES[record.status]
    parts = _parts(journal, record, plan)
    going = [part for part in parts if _returns(part, stopped=status.stopped)]
    lost = tuple(
        f"{part.unit.app} on {part.unit.server}, of which values are gone for good"
        for part in parts
        if part.is_lost
    )
    if not going or "rollback" not in status.ways:
        why = f": {'; '.join(lost)}" if lost else f", as it is {status.label}"
        leave = f" Leave it as it stands: opskit give-up {record.run}" if status.stopped else ""
        raise InputError(
            f"there is nothing of run {record.run} ({record.kind}) that can be undone{why}.",
            remedy=f"See what it did: opskit journal {record.run}.{leave}",
        )
    return RollbackData(
        record=record,
        plan=PlanData(
            kinds=plan.kinds, made_at=plan.made_at, units=tuple(part.unit for part in going)
        ),
        begun=tuple(tuple(part.begun) for part in going),
        left_alone=lost,
    )
