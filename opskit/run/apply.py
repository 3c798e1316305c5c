"""Carrying a plan out: all its stacks at once, from the run's beginning to its end."""

from __future__ import annotations

import getpass
import os
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import version as package_version

import msgspec

from opskit.errors import InputError, JournalError, StalePlanError, StepError
from opskit.journal.runs import Journal
from opskit.kinds.statuses import STATUSES, Ended, KnownStatus
from opskit.plan.data import PlanData, Unit
from opskit.run.precheck import what_changed
from opskit.run.work import Outcome, Progressed, Work, say_nothing
from opskit.secrets.passstore import PassStore
from opskit.secrets.value import Secret
from opskit.steps import StepContext, TakeLock
from opskit.steps.holding import Hold
from opskit.swarm.context import Context, find_context
from opskit.swarm.engine import Engine
from opskit.swarm.lookout import Lookout

Of = tuple[str, str, str]
"""Whose a value is: a server, a stack there, and its name in the steps of that stack's unit."""
Values = Mapping[Of, Secret]
"""Values that an operator gave. Stacks of several servers may have the same name."""


@dataclass(slots=True, kw_only=True)
class Runner:
    """Carries out one run of one plan.

    Parameters
    ----------
    data, journal, run
        What to do, where to write it down, under which id.
    values
        Values the operator gave, by server, stack and name.
    identity, max_parallel, keep_going, on_progress
        See `RunOptions`.
    seconds
        Deadline of one call to an engine.
    on_made
        Given a finished unit's new values by swarm name, from worker threads.
    outcomes
        How each unit ended, once it is over.
    """

    data: PlanData
    journal: Journal
    run: str
    values: Values = field(default_factory=dict[Of, Secret])
    identity: str = ""
    store: PassStore | None = None
    max_parallel: int = 8
    keep_going: bool = False
    seconds: float = 30.0
    on_progress: Callable[[Progressed], None] = say_nothing
    on_made: Callable[[Unit, Mapping[str, Secret]], None] = lambda _unit, _values: None
    stop: threading.Event = field(default_factory=threading.Event)
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    retry: bool = field(default=False, init=False)
    _lookouts: dict[Context, Lookout] = field(default_factory=dict[Context, Lookout], init=False)

    def start(self) -> Ended:
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
                f"{'; '.join(changed[:5])}. Read the servers "
                "again and plan again."
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
        return self._finish(self._each_unit(Work.forward))

    def resume(self) -> Ended:
        """Carry on where the run stopped, and give its status.

        A unit that had begun to be undone is undone to the end: going forward again from the
        middle of a way back would leave it neither here nor there. One that a later change went
        past meanwhile is left alone: either way would take that change back. Once a
        stack has gone back, none is begun anew: that failure stopped the work on others.
        """
        units = range(len(self.data.units))
        went_back = any(self.journal.was_undone(self.run, n) for n in units)
        stays = [n for n in units if went_back and not self.journal.begun(self.run, n)]
        leave = frozenset(() if self.keep_going else stays)
        self._reopen()
        skipped = [Outcome(unit=n, status="skipped") for n in leave]
        return self._finish(skipped + self._each_unit(Work.onward, leave=leave))

    def roll_back(self) -> Ended:
        """Undo everything the run did, in reverse, and give its status.

        Raises
        ------
        StepError
            No stack can go back, because the world moved on; nothing was changed.
        """
        begun = [n for n in range(len(self.data.units)) if self.journal.begun(self.run, n)]
        stuck = {n: why for n in begun if (why := self._work(n).undo_conflict())}
        if stuck and len(stuck) == len(begun):
            raise StepError(
                f"run {self.run} cannot be undone, and nothing was changed: "
                f"{'; '.join(stuck.values())}"
            )
        was = self.journal.run(self.run).status
        self._reopen()
        outcomes = [Outcome(unit=n, status="failed", error=why) for n, why in stuck.items()]
        outcomes += self._each_unit(Work.backward, leave=frozenset(stuck))
        if was == "done" and not any(self.journal.was_undone(self.run, n) for n in begun):
            # Refused before anything was undone, by a lock perhaps: it is done as it was.
            self.journal.finish(self.run, was)
            raise StepError(
                f"run {self.run} was not undone, and nothing was changed: "
                f"{'; '.join(filter(None, (one.error for one in outcomes)))}"
            )
        return self._finish(outcomes)

    def _reopen(self) -> None:
        self.retry = True
        self.journal.reopen(self.run, host=socket.gethostname(), pid=os.getpid())

    # -- all units ------------------------------------------------------------------------

    def _each_unit(
        self, way: Callable[[Work], Outcome], *, leave: frozenset[int] = frozenset()
    ) -> list[Outcome]:
        waiting = [n for n in range(len(self.data.units)) if n not in leave]
        running: set[Future[Outcome]] = set()
        outcomes: dict[int, Outcome] = {}
        stopped = False
        several, ready = min(self.max_parallel, len(waiting)) or 1, threading.Event()

        def work(number: int) -> Outcome:
            outcomes[number] = way(self._work(number))
            return outcomes[number]

        with ThreadPoolExecutor(several, "opskit-apply") as threads:
            try:
                # All before any work: a thread that Ctrl-C finds being started is one that
                # nobody waits for, as the pool does not know it yet.
                for _ in range(several):
                    threads.submit(ready.wait)
                ready.set()
                while waiting or running:
                    while waiting and len(running) < self.max_parallel and not stopped:
                        running.add(threads.submit(work, waiting.pop(0)))
                    if not running:
                        break
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    for outcome in (future.result() for future in ended):
                        failed = outcome.status not in ("done", "rolled-back")
                        undone = way != Work.backward and outcome.status == "rolled-back"
                        stopped = stopped or ((failed or undone) and not self.keep_going)
            except KeyboardInterrupt:
                # What is begun notes how it ends, wherever this came in between.
                self.stop.set()
                ready.set()
                for future in running:
                    future.result()
        return [
            outcomes.get(n) or Outcome(unit=n, status="skipped")
            for n in range(len(self.data.units))
            if n not in leave
        ]

    def _finish(self, outcomes: list[Outcome]) -> Ended:
        self.outcomes = sorted(outcomes, key=lambda outcome: outcome.unit)
        kinds = {outcome.status for outcome in outcomes}
        # Told to stop, a run may have ended what it worked on and left out what it had not begun.
        status: Ended
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
                f"{error} That run {self.run} is {status} could not be written. "
                f"{STATUSES['crashed'].commands(self.run)}"
            ) from error
        return status

    # -- one unit -------------------------------------------------------------------------

    def _work(self, number: int) -> Work:
        unit = self.data.units[number]
        return Work(
            number=number,
            unit=unit,
            journal=self.journal,
            run=self.run,
            open_context=lambda: self._context(unit),
            on_progress=self.on_progress,
            on_made=self.on_made,
        )

    def _context(self, unit: Unit) -> StepContext:
        engine = Engine(find_context(unit.server), seconds=self.seconds)
        ctx = StepContext(
            engine=engine,
            run=self.run,
            actor=getpass.getuser(),
            host=socket.gethostname(),
            identity=self.identity,
            values={
                name: value
                for (server, stack, name), value in self.values.items()
                if (server, stack) == (unit.server, unit.stack)
            },
            store=self.store,
            stop=self.stop,
            lookout=self._lookouts.setdefault(engine.context, engine.lookout()),
            retry=self.retry,
        )
        lock_step = unit.steps[0]
        if isinstance(lock_step, TakeLock):
            hold = Hold(
                engine=engine,
                stack=lock_step.stack,
                run=self.run,
                owner=ctx.actor,
                host=ctx.host,
                identity=self.identity,
                status_of=self._status_of,
            )
            ctx.lock, ctx.keep_lock = hold, hold.keep
            ctx.ask_lock = lambda: ctx.patiently(hold.ask)
            ctx.engine = engine.fenced(ctx.ask_lock)
        return ctx

    def _status_of(self, run: str) -> KnownStatus:
        try:
            return self.journal.run(run).status
        except InputError:
            return ""

    def _stale(self, unit: Unit) -> list[str]:
        return what_changed(unit, Engine(find_context(unit.server), seconds=self.seconds))
