"""Carrying a plan out: step by step, journalled before and after, undone on failure."""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Literal

import msgspec

from opskit.errors import JournalError, OpskitError, StalePlanError, StepError
from opskit.operations import again, lock
from opskit.operations.journal import Journal
from opskit.operations.plan import PlanData, Unit
from opskit.operations.precheck import what_changed
from opskit.operations.steps import (
    CannotUndoError,
    Deploy,
    InterruptedStepError,
    ReleaseLock,
    Site,
    Step,
    SwitchService,
    TakeLock,
)
from opskit.operations.steps.base import TRANSIENT, Detail
from opskit.secrets.passstore import PassStore
from opskit.secrets.redact import redact
from opskit.secrets.value import Secret
from opskit.swarm.context import find_context
from opskit.swarm.engine import Engine

Phase = Literal["do", "undo"]
_RENEW_LOCK_S = lock.LIFETIME.total_seconds() / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """A step began or ended; `seconds` is how long it took, `error` why it failed."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one unit ended."""

    unit: int
    status: Literal["done", "rolled-back", "failed", "interrupted", "skipped"]
    error: str = ""


def _say_nothing(_: Progressed) -> None:
    """Let progress pass unseen."""


@dataclass(slots=True, kw_only=True)
class Runner:
    """Carries out one run of one plan.

    Parameters
    ----------
    data, journal, run
        What to do, where to write it down, under which id.
    values
        Values the operator gave, by swarm name.
    identity
        The claimed person, as the journal and the lock will show it.
    max_parallel
        Stacks worked on at once.
    keep_going
        Go on with other stacks after one failed.
    seconds
        Deadline of one call to an engine.
    on_progress
        Told of every step as it begins and ends, from worker threads.
    on_made
        Given a finished unit's new values by swarm name, from worker threads.
    outcomes
        How each unit ended, once it is over.
    """

    data: PlanData
    journal: Journal
    run: str
    values: Mapping[str, Secret] = field(default_factory=dict[str, Secret])
    identity: str = ""
    store: PassStore | None = None
    max_parallel: int = 8
    keep_going: bool = False
    seconds: float = 30.0
    on_progress: Callable[[Progressed], None] = _say_nothing
    on_made: Callable[[Unit, Mapping[str, Secret]], None] = lambda _unit, _values: None
    stop: threading.Event = field(default_factory=threading.Event)
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    again: bool = field(default=False, init=False)

    def start(self) -> str:
        """Check that the world is as the plan saw it, open the run, and carry it out.

        Raises
        ------
        StalePlanError
            The world moved; nothing was changed.
        JournalError
            The journal cannot be written; nothing was changed.
        """
        changed = [line for unit in self.data.units for line in self._stale(unit)]
        if changed:
            raise StalePlanError(
                "the plan no longer fits and nothing was changed: "
                f"{'; '.join(changed[:5])}. Plan again."
            )
        self.journal.begin(
            run=self.run,
            kind=self.data.kind,
            plan_digest=self.data.digest,
            plan=msgspec.json.encode(self.data),
            actor=getpass.getuser(),
            host=socket.gethostname(),
            pid=os.getpid(),
            identity=self.identity,
            tool_version=package_version("opskit"),
        )
        return self._finish(self._each_unit(self._forward))

    def resume(self) -> str:
        """Carry on where the run stopped, and give its status.

        A unit that had begun to be undone is undone to the end: going forward again from the
        middle of a way back would leave it neither here nor there. One that a later change went
        past meanwhile is left alone: either way would take that change back.
        """
        self._reopen()
        return self._finish(self._each_unit(self._onward))

    def roll_back(self) -> str:
        """Undo everything the run did, in reverse, and give its status.

        Raises
        ------
        StepError
            No stack can go back, because the world moved on; nothing was changed.
        """
        begun = [n for n in range(len(self.data.units)) if self.journal.begun(self.run, n)]
        stuck = {n: why for n in begun if (why := self._hindrance(n, self.data.units[n]))}
        if stuck and len(stuck) == len(begun):
            raise StepError(
                f"run {self.run} cannot be undone, and nothing was changed: "
                f"{'; '.join(stuck.values())}"
            )
        was = self.journal.run(self.run).status
        self._reopen()
        outcomes = [Outcome(unit=n, status="failed", error=why) for n, why in stuck.items()]
        outcomes += self._each_unit(self._backward, leave=frozenset(stuck))
        if was == "done" and not any(self.journal.was_undone(self.run, n) for n in begun):
            # Refused before anything was undone, by a lock perhaps: it is done as it was.
            self.journal.finish(self.run, was)
            raise StepError(
                f"run {self.run} was not undone, and nothing was changed: "
                f"{'; '.join(outcome.error for outcome in outcomes)}"
            )
        return self._finish(outcomes)

    def _reopen(self) -> None:
        self.again = True
        self.journal.reopen(
            self.run,
            actor=getpass.getuser(),
            host=socket.gethostname(),
            pid=os.getpid(),
            identity=self.identity,
        )

    # -- all units ------------------------------------------------------------------------

    def _each_unit(
        self, work: Callable[[int, Unit], Outcome], *, leave: frozenset[int] = frozenset()
    ) -> list[Outcome]:
        waiting = [(n, unit) for n, unit in enumerate(self.data.units) if n not in leave]
        running: dict[Future[Outcome], int] = {}
        outcomes: dict[int, Outcome] = {}
        stopped = False
        with ThreadPoolExecutor(self.max_parallel, "opskit-apply") as threads:
            try:
                while waiting or running:
                    while waiting and len(running) < self.max_parallel and not stopped:
                        number, unit = waiting.pop(0)
                        running[threads.submit(work, number, unit)] = number
                    if not running:
                        break
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        outcome = outcomes[running[future]] = future.result()
                        del running[future]
                        failed = outcome.status not in ("done", "rolled-back")
                        undone = work != self._backward and outcome.status == "rolled-back"
                        stopped = stopped or ((failed or undone) and not self.keep_going)
            except KeyboardInterrupt:
                self.stop.set()
                outcomes |= {number: future.result() for future, number in running.items()}
        return [
            outcomes.get(n) or Outcome(unit=n, status="skipped")
            for n in range(len(self.data.units))
            if n not in leave
        ]

    def _finish(self, outcomes: list[Outcome]) -> str:
        self.outcomes = sorted(outcomes, key=lambda outcome: outcome.unit)
        kinds = {outcome.status for outcome in outcomes}
        # Told to stop, a run may have ended what it worked on and left out what it had not begun.
        if "interrupted" in kinds or (self.stop.is_set() and "skipped" in kinds):
            status = "interrupted"
        elif "failed" in kinds:
            status = "failed"
        elif "rolled-back" in kinds:
            status = "rolled-back" if "done" not in kinds else "partly-rolled-back"
        else:
            status = "done"
        try:
            self.journal.finish(self.run, status)
        except JournalError as error:
            raise JournalError(
                f"{error} Then finish run {self.run}, which is {status}: opskit resume {self.run}; "
                f"or undo it: opskit rollback {self.run}."
            ) from error
        return status

    # -- one unit -------------------------------------------------------------------------

    def _onward(self, number: int, unit: Unit) -> Outcome:
        begun = self.journal.begun(self.run, number)
        undoing = self.journal.was_undone(self.run, number)
        phase, steps = ("undo", begun) if undoing else ("do", frozenset(range(len(unit.steps))))
        left = {n for n in steps if not self.journal.is_done(self.run, number, n, phase)}
        # Only taking or releasing the lock overwrites nothing.
        if begun and left - {0, len(unit.steps) - 1}:
            why = again.take_up(self._site(unit), unit, begun)
            if why:
                return Outcome(unit=number, status="failed", error=why)
        return self._backward(number, unit) if undoing else self._forward(number, unit)

    def _forward(self, number: int, unit: Unit) -> Outcome:
        site = self._site(unit)
        try:
            for step_number, step in enumerate(unit.steps):
                site.check_stop()
                if not isinstance(step, TakeLock | ReleaseLock):
                    site.keep_lock()
                self._step(site, number, step_number, unit, step, "do")
        except (InterruptedStepError, JournalError) as error:
            return Outcome(unit=number, status="interrupted", error=redact(str(error)))
        except OpskitError as error:
            undone = self._backward(number, unit)
            text = redact(str(error))
            if undone.error:
                text += f" Undoing it failed too: {undone.error}"
            return Outcome(unit=number, status=undone.status, error=text)
        self.on_made(unit, site.values)
        return Outcome(unit=number, status="done")

    def _backward(self, number: int, unit: Unit) -> Outcome:
        site = self._site(unit)
        begun = self.journal.begun(self.run, number)
        if all(self.journal.is_done(self.run, number, step, "undo") for step in begun):
            return Outcome(unit=number, status="rolled-back")
        lock_step = unit.steps[0]
        lost: list[str] = []
        try:
            # A unit that never got beyond asking for the lock has nothing to undo under it.
            if isinstance(lock_step, TakeLock) and begun != frozenset({0}):
                lock_step.do(site)
            for step_number, step in reversed(list(enumerate(unit.steps))):
                if step_number not in begun:
                    continue
                try:
                    self._step(site, number, step_number, unit, step, "undo")
                except CannotUndoError as error:
                    lost.append(redact(str(error)))
        except (InterruptedStepError, JournalError) as error:
            return Outcome(unit=number, status="interrupted", error=redact(str(error)))
        except OpskitError as error:
            return Outcome(unit=number, status="failed", error=redact(str(error)))
        if lost:
            return Outcome(unit=number, status="failed", error=" ".join(lost))
        return Outcome(unit=number, status="rolled-back")

    def _hindrance(self, number: int, unit: Unit) -> str:
        return again.hindrance(self._site(unit), unit, self.journal.begun(self.run, number))

    def _step(
        self, site: Site, number: int, step_number: int, unit: Unit, step: Step, phase: Phase
    ) -> None:
        if self.journal.is_done(self.run, number, step_number, phase):
            return
        shown = Progressed(
            unit=number,
            step=step_number,
            server=unit.server,
            app=unit.app,
            action=str(step.__struct_config__.tag),
            subject=step.subject(),
            phase=phase,
            status="running",
        )
        self.journal.intent(
            self.run,
            number,
            step_number,
            phase,
            action=shown.action,
            server=unit.server,
            app=unit.app,
            stack=unit.stack,
            subject=shown.subject,
            detail={},
        )
        # A step that waits for the way back does nothing on the way there; nobody need see it.
        tell = self.on_progress if phase == "undo" or step.calls() else _say_nothing
        tell(shown)
        started = time.monotonic()

        def ended(status: Literal["done", "failed"], detail: Detail, error: str = "") -> None:
            self.journal.outcome(
                self.run, number, step_number, phase, status=status, detail=detail, error=error
            )
            seconds = time.monotonic() - started
            tell(replace(shown, status=status, seconds=seconds, error=error))

        try:
            if phase == "do":
                detail = step.do(site)
            else:
                site.came_of_it = self.journal.came_of(self.run, number, step_number)
                detail = step.undo(site)
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

    def _site(self, unit: Unit) -> Site:
        engine = Engine(find_context(unit.server), seconds=self.seconds)
        site = Site(
            engine=engine,
            run=self.run,
            actor=getpass.getuser(),
            host=socket.gethostname(),
            identity=self.identity,
            values=dict(self.values),
            store=self.store,
            stop=self.stop,
            again=self.again,
            switches=any(isinstance(step, SwitchService | Deploy) for step in unit.steps),
        )
        lock_step = unit.steps[0]
        # Not the monotonic clock, which stands still while a laptop sleeps; the lock runs out.
        renewed = time.time()

        def keep_lock() -> None:
            nonlocal renewed
            if isinstance(lock_step, TakeLock) and time.time() - renewed > _RENEW_LOCK_S:
                renewed = time.time()
                try:
                    lock_step.do(site)
                except TRANSIENT:
                    return

        site.keep_lock = keep_lock
        return site

    def _stale(self, unit: Unit) -> list[str]:
        return what_changed(unit, Engine(find_context(unit.server), seconds=self.seconds))


def _unexpected(error: Exception, action: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    return redact(
        f"{action} met a fault in opskit or a library ({type(error).__name__} in {where}: "
        f"{error}). Please report it."
    )
