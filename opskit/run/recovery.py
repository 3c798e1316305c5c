"""Runs that were there before: resumed, rolled back, or left as they stand."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

from opskit.arguments import check_text
from opskit.errors import InputError
from opskit.journal.claimed import person_or_user
from opskit.journal.records import RunRecord
from opskit.journal.runs import Journal, open_journal
from opskit.kinds.statuses import STATUSES, Ended
from opskit.plan.data import load_plan
from opskit.run.apply import Runner
from opskit.run.options import RunOptions, checked, takes_run_options
from opskit.run.run import Run, ended, store_of, with_sentences
from opskit.run.shown import left_of, shown_to
from opskit.run.ways import RollbackData, rollback_of, ways_of
from opskit.steps import lock
from opskit.steps.lock import Lock
from opskit.swarm.context import find_context
from opskit.swarm.engine import Engine
from opskit.views.frame import View

_RUN = "Give the id of a run, or its beginning: see fleet.journal()."


@takes_run_options
def resume(run: str = "", **options: Unpack[RunOptions]) -> Run:
    """Carry on a run that stopped; the last unfinished one when none is named.

    Parameters
    ----------
    run
        Its id, or the beginning of it.
    **options
        See `opskit.RunOptions`.

    Raises
    ------
    InputError
        There is no such run, or none that stopped.
    """
    return _recover(run, Runner.resume, options)


@takes_run_options
def roll_back(run: str = "", **options: Unpack[RunOptions]) -> Run:
    """Undo a run, finished or not; the last unfinished one when none is named.

    Parameters
    ----------
    run
        Its id, or the beginning of it.
    **options
        See `opskit.RunOptions`.

    Raises
    ------
    InputError
        There is no such run, or none that stopped.
    """
    return _recover(run, Runner.roll_back, options)


def give_up(run: str, identity: str = "") -> None:
    """Count a run that stopped as ended, and leave everything as it stands.

    Raises
    ------
    InputError
        The run is not one that stopped.
    LockHeldError
        A live process works on it.
    """
    check_text("run", run, _RUN)
    with open_journal() as journal:
        record = journal.run(run)
        # One that runs is held by whoever works on it, which says more.
        if record.status != "running" and not STATUSES[record.status].stopped:
            raise InputError(
                f"run {record.run} is {record.status}: there is nothing to give up.",
                remedy="See: opskit journal",
            )
        journal.reopen(record.run, host=socket.gethostname(), pid=os.getpid())
        journal.note(record.run, "given up", person_or_user(identity))
        journal.finish(record.run, "given-up")


def break_lock(server: str, stack: str) -> Lock:
    """Remove the lock of a stack, whoever holds it, and return what it said.

    Right only when the run that took it is dead. No folder of abra's is needed.

    Parameters
    ----------
    server, stack
        Which, as ``fleet.locks()`` names them.

    Raises
    ------
    InputError
        The stack is not locked, or no Docker context leads to the server.

    Examples
    --------
    >>> for left in fleet.locks().query("expired").records():
    ...     print(fleet.break_lock(left.server, left.stack).holder())
    """
    remedy = "Name one, as it stands in fleet.locks()."
    check_text("server", server, remedy)
    check_text("stack", stack, remedy)
    broken = lock.break_lock(Engine(find_context(server)), stack)
    if broken is None:
        raise InputError(f"{stack} on {server} is not locked.", remedy="See: opskit locks")
    return broken


def _recover(run: str, act: Callable[[Runner], Ended], options: RunOptions) -> Run:
    how = checked(options)
    check_text("run", run, _RUN, empty=True)
    undo = act is Runner.roll_back
    with open_journal() as journal:
        record = _found(journal, run, undo=undo)
        data = load_plan(record.plan)
        left = left_of(journal, record.run, data, undo=undo)
        title = f"{data.kind}, {'undone' if undo else 'resumed'}"
        with shown_to(how["on_progress"], title, left) as how["on_progress"]:
            runner = Runner(
                data=data,
                journal=journal,
                run=record.run,
                store=store_of(data),
                **how,
            )
            return ended(runner, act(runner))


def _found(journal: Journal, run: str, *, undo: bool) -> RunRecord:
    """Return a run, the last unfinished one when none is named."""
    record = journal.run(run) if run else journal.last_unfinished()
    if record is not None:
        return record
    last, way = journal.last_done() if undo else "", ""
    if last and "rollback" in ways_of(journal, journal.run(last)):
        way = f"To undo the last one that is done: opskit rollback {last}"
    raise InputError("there is no unfinished run.", remedy=way or "See them all: opskit journal")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Rollback:
    """What undoing a run would do, and nothing is undone yet: show it, then `apply` it.

    Examples
    --------
    >>> run = fleet.plan_rotate("matrix.mutual.example", "macaroon").apply()
    >>> back = fleet.plan_rollback(run.id)
    >>> back.changes[["secret", "from", "to"]].to_numpy().tolist()
    [['macaroon', 'v3', 'v2']]
    >>> back.apply().status
    'rolled-back'
    """

    data: RollbackData

    def __repr__(self) -> str:
        return f"<Rollback of run {self.data.record.run}: {self.data.plan.kind}>"

    @property
    def digest(self) -> str:
        """What tells it from any other rollback."""
        return self.data.digest

    @property
    def changes(self) -> View:
        """What becomes of each secret: from what is now, to what was."""
        return self.data.changes

    @property
    def calls(self) -> View:
        """What is undone, in order."""
        return self.data.calls

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return with_sentences(self.changes, self.data.consequences)

    @takes_run_options
    def apply(self, **options: Unpack[RunOptions]) -> Run:
        """Undo it.

        Parameters
        ----------
        **options
            See `opskit.RunOptions`.

        Raises
        ------
        StepError
            It cannot be undone, as the world moved on; nothing was changed.
        """
        return roll_back(self.data.record.run, **options)


def plan_rollback(run: str = "") -> Rollback:
    """Return what undoing a run would do; the last unfinished one when none is named.

    Raises
    ------
    InputError
        There is no such run, or nothing of it can be undone.
    """
    check_text("run", run, _RUN, empty=True)
    with open_journal() as journal:
        return Rollback(data=rollback_of(journal, _found(journal, run, undo=True)))
