"""What one stack goes through: done, undone, or resumed where it stopped, step by step.

What is resumed or undone later may no longer be the run's: the lock may have run out since, and
another run have come and gone.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from opskit.errors import JournalError, LockLostError, OpskitError, StalePlanError, StepError
from opskit.journal.records import Phase
from opskit.journal.runs import Journal
from opskit.plan.data import Unit
from opskit.run.precheck import what_changed
from opskit.run.ways import needed_later
from opskit.secrets.redact import redact
from opskit.secrets.value import Secret
from opskit.steps import (
    CannotUndoError,
    ConvergeBack,
    InterruptedStepError,
    ReleaseLock,
    Step,
    StepContext,
    SwitchService,
    TakeLock,
)
from opskit.steps.base import Detail, joined
from opskit.steps.lock import breaking

_REMEDY = (
    "Roll back the later run first, or rotate to a new version. A run that stopped can be left as "
    "it is: opskit give-up"
)
_STOPPED = "The run stopped there and undid nothing, as somebody else may need what it made."

OutcomeStatus = Literal["done", "rolled-back", "failed", "interrupted", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """A step began, waits, or ended.

    `seconds` is how long it took so far, `error` why it failed, `waits_for` what it waits for while
    it runs; `steps` is how many its stack goes through. One that could not be begun, as the run was
    told to stop before it, has failed at once.
    """

    unit: int
    step: int
    server: str
    app: str
    action: str
    subject: str
    phase: Phase
    status: Literal["running", "done", "failed"]
    seconds: float = 0.0
    error: str = ""
    waits_for: str = ""
    steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one unit ended; `note` says what could not be made sure of though all went well."""

    unit: int
    status: OutcomeStatus
    error: str = ""
    note: str = ""


def say_nothing(_: Progressed) -> None:
    """Let progress pass unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One unit's part of a run, each step journalled before and after.

    Parameters
    ----------
    number, unit
        Which unit of the plan.
    journal, run
        Where to write it down, under which id.
    open_context
        Gives what the steps work on, anew for each way through them.
    on_progress, on_made
        As `Runner` has them.
    """

    number: int
    unit: Unit
    journal: Journal
    run: str
    open_context: Callable[[], StepContext]
    on_progress: Callable[[Progressed], None]
    on_made: Callable[[Unit, Mapping[str, Secret]], None]

    def _opened(self) -> StepContext:
        ctx = self.open_context()
        ctx.reported = lambda action: self.journal.reported(self.run, self.number, action)
        ctx.intended = lambda action: self.journal.intended(self.run, self.number, action)
        ctx.switched = self._switched
        ctx.needed_later = lambda what: needed_later(self.journal, self.run, self.unit, what)
        return ctx

    def _switched(self) -> frozenset[str]:
        begun, steps = self._begun(), self.unit.steps
        watched = [one for step in steps if isinstance(step, ConvergeBack) for one in step.watched]
        # Whoever else took a service there, say a deploy, is not undone with this run.
        waiting = {
            step.service
            for n, step in enumerate(steps)
            if isinstance(step, SwitchService) and n not in begun
        }
        return frozenset(one.service for one in watched) - waiting

    def onward(self) -> Outcome:
        """Resume where the unit stopped, in the direction it was going."""
        begun = self._begun()
        undoing = self.journal.was_undone(self.run, self.number)
        phase, steps = (
            ("undo", begun) if undoing else ("do", frozenset(range(len(self.unit.steps))))
        )
        left = {n for n in steps if not self._is_done(n, phase)}
        # Only taking or releasing the lock overwrites nothing.
        overwrites = bool(begun and left - {0, len(self.unit.steps) - 1})
        ctx = self._opened()
        if overwrites and (conflict := self._lock_again(ctx, self._overtaken)):
            return Outcome(unit=self.number, status="failed", error=conflict)
        return self._undo(ctx) if undoing else self._do(ctx)

    def forward(self) -> Outcome:
        """Take every step, and undo what was done when one fails."""
        return self._do(self._opened())

    def backward(self) -> Outcome:
        """Undo every step that was begun, in reverse, unless the world moved on."""
        ctx = self._opened()
        # A unit that never got beyond asking for the lock has nothing to undo under it.
        to_undo = {n for n in self._begun() if not self._is_done(n, "undo")} - {0}
        if to_undo and (conflict := self._lock_again(ctx, self._undo_conflict)):
            return Outcome(unit=self.number, status="failed", error=conflict)
        return self._undo(ctx)

    def undo_conflict(self) -> str:
        """Return what makes undoing impossible, before anything is undone; nothing if it is not."""
        try:
            return self._undo_conflict(self._opened())
        except OpskitError as error:
            return redact(str(error))

    def _do(self, ctx: StepContext) -> Outcome:
        notes: list[str] = []
        try:
            for step_number, step in enumerate(self.unit.steps):
                try:
                    notes.append(self._step(ctx, step_number, step, "do"))
                except (InterruptedStepError, JournalError):
                    raise
                except OpskitError as error:
                    if not isinstance(step, ReleaseLock):
                        raise
                    # All is done and proved: that is not taken back for this.
                    notes.append(self._still_locked(error))
                if isinstance(step, TakeLock) and self._begun() == frozenset({step_number}):
                    self._check_precondition(ctx)
        except (InterruptedStepError, JournalError) as error:
            return self._ended("interrupted", redact(str(error)), *notes)
        except LockLostError as error:
            return self._ended("failed", f"{redact(str(error))} {_STOPPED}", *notes)
        except OpskitError as error:
            undone = self._undo_own(ctx)
            text = redact(str(error))
            if undone.error:
                text += f" Undoing it failed too: {undone.error}"
            return self._ended(undone.status, text, *notes, undone.note)
        self.on_made(self.unit, ctx.values)
        return self._ended("done", "", *notes)

    def _undo_own(self, ctx: StepContext) -> Outcome:
        """Undo what this run did, as long as the stack is still its own and can go back."""
        try:
            # Where only taking the lock was begun, that is what failed.
            if self._begun() != frozenset({0}):
                ctx.ask_lock()
            # Others may have come in between where an earlier process began it.
            if ctx.retry and (conflict := self._undo_conflict(ctx)):
                return self._ended("failed", self._let_go(ctx, conflict))
        except LockLostError as error:
            return self._ended("failed", f"{redact(str(error))} {_STOPPED}")
        except OpskitError as error:
            return self._ended("failed", redact(str(error)))
        return self._undo(ctx)

    def _undo(self, ctx: StepContext) -> Outcome:
        begun = self._begun()
        lost, notes = list[str](), list[str]()
        try:
            for step_number, step in reversed(list(enumerate(self.unit.steps))):
                if step_number not in begun:
                    continue
                try:
                    notes.append(self._step(ctx, step_number, step, "undo"))
                except CannotUndoError as error:
                    lost.append(redact(str(error)))
                except (InterruptedStepError, JournalError):
                    raise
                except OpskitError as error:
                    if not isinstance(step, TakeLock):
                        raise
                    notes.append(self._still_locked(error))
        except (InterruptedStepError, JournalError) as error:
            return self._ended("interrupted", redact(str(error)), *notes)
        except OpskitError as error:
            lost.append(redact(str(error)))
        return self._ended("failed" if lost else "rolled-back", " ".join(lost), *notes)

    def _ended(self, status: OutcomeStatus, error: str, *notes: str) -> Outcome:
        return Outcome(unit=self.number, status=status, error=error, note=joined(notes))

    def _undo_conflict(self, ctx: StepContext) -> str:
        begun = self._begun()
        steps = (step for n, step in enumerate(self.unit.steps) if n in begun)
        gone = [
            step.subject()
            for n, step in enumerate(self.unit.steps)
            if step.is_irreversible() and n in begun and self._is_done(n, "do")
        ]
        if gone:
            return f"{', '.join(gone)} cannot be brought back."
        conflict = self._overtaken(ctx)
        return conflict or next((why for step in steps if (why := step.undo_conflict(ctx))), "")

    def _lock_again(self, ctx: StepContext, conflict_of: Callable[[StepContext], str]) -> str:
        """Lock the stack again to go on, or return why it is not the run's any more."""
        lock = self.unit.steps[0]
        try:
            if isinstance(lock, TakeLock):
                lock.do(ctx)
        except OpskitError as error:
            return redact(str(error))
        try:
            conflict = conflict_of(ctx)
        except OpskitError as error:
            conflict = redact(str(error))
        return self._let_go(ctx, conflict) if conflict else ""

    def _let_go(self, ctx: StepContext, conflict: str) -> str:
        """Release the lock of a stack that is left as it is, and return why it is."""
        lock = self.unit.steps[0]
        try:
            if isinstance(lock, TakeLock):
                lock.undo(ctx)
        except OpskitError as error:
            return f"{conflict} And {self._still_locked(error)}"
        return conflict

    def _still_locked(self, error: OpskitError) -> str:
        """Say that only the lock is left, and how to be rid of it."""
        how = breaking(self.unit.server, self.unit.stack)
        why = redact(str(error))
        return f"its lock could not be released, and may keep others away: {how} ({why})"

    def _overtaken(self, ctx: StepContext) -> str:
        begun = self._begun()
        # What stands last says most: an .env names the version, services only follow.
        steps = (step for n, step in reversed(list(enumerate(self.unit.steps))) if n in begun)
        why = next((why for step in steps if (why := step.overtaken(ctx))), "")
        return f"{why} {_REMEDY} {ctx.run}" if why else ""

    def _check_precondition(self, ctx: StepContext) -> None:
        """Refuse what another operator changed before this run had the stack to itself."""
        if changed := ctx.patiently(lambda: what_changed(self.unit, ctx.engine)):
            raise StalePlanError(
                f"the plan no longer fits: {'; '.join(changed)}. Read the servers "
                "again and plan again."
            )

    def _begun(self) -> frozenset[int]:
        return self.journal.begun(self.run, self.number)

    def _is_done(self, step: int, phase: Phase) -> bool:
        return self.journal.is_done(self.run, self.number, step, phase)

    def _step(self, ctx: StepContext, step_number: int, step: Step, phase: Phase) -> str:
        """Take or undo a step, unless that is done, and return what it noted."""
        if self._is_done(step_number, phase):
            return ""
        shown = Progressed(
            unit=self.number,
            step=step_number,
            server=self.unit.server,
            app=self.unit.app,
            action=str(step.__struct_config__.tag),
            subject=step.subject(),
            phase=phase,
            status="running",
            steps=len(self.unit.steps),
        )
        ctx.begun_before = step_number in self._begun()
        try:
            if phase == "do":
                ctx.check_stop()
            if not isinstance(step, TakeLock | ReleaseLock):
                ctx.keep_lock()
            self.journal.intent(
                self.run,
                self.number,
                step_number,
                phase,
                action=shown.action,
                server=self.unit.server,
                app=self.unit.app,
                stack=self.unit.stack,
                subject=shown.subject,
                detail={
                    "by": ctx.identity or ctx.actor,
                    **(step.intent(ctx) if phase == "do" else {}),
                },
            )
        except OpskitError as error:
            # Else nobody would be told that the stack is not worked on any more.
            told = f"not begun: {redact(str(error))}"
            self.on_progress(replace(shown, status="failed", error=told))
            raise
        # A step that waits for the way back does nothing on the way there; nobody need see it.
        tell = self.on_progress if phase == "undo" or step.calls() else say_nothing
        tell(shown)
        started = time.monotonic()

        def waiting(what: str) -> None:
            short = redact(what).removeprefix(f"{self.unit.stack}_")
            tell(replace(shown, seconds=time.monotonic() - started, waits_for=short))

        ctx.waits_for = waiting

        def ended(status: Literal["done", "failed"], detail: Detail, error: str = "") -> None:
            self.journal.outcome(
                self.run, self.number, step_number, phase, status=status, detail=detail, error=error
            )
            seconds = time.monotonic() - started
            tell(replace(shown, status=status, seconds=seconds, error=error))

        try:
            if phase == "do":
                detail = step.do(ctx)
            else:
                ctx.outcome = self.journal.result_of(self.run, self.number, step_number)
                detail = step.undo(ctx)
        except OpskitError as error:
            ended("failed", {}, redact(str(error)))
            raise
        except Exception as error:
            # A fault of a program must not leave a stack half changed: it is undone like any
            # other failure.
            text = _unexpected(error, shown.action)
            ended("failed", {}, text)
            raise StepError(text) from error
        ended("done", detail)
        return str(detail.get("note") or "")


def _unexpected(error: Exception, action: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    return redact(
        f"{action} met a fault in opskit or a library ({type(error).__name__} in {where}: "
        f"{error}). Please report it."
    )
