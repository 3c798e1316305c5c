"""What a step is, and the ctx it works on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from opskit.errors import (
    LockLostError,
    NotManagerError,
    OpskitError,
    StepError,
    UnreachableError,
)
from opskit.secrets.passstore import PassStore
from opskit.secrets.value import Secret
from opskit.steps.parts import Part
from opskit.swarm.engine import Engine

if TYPE_CHECKING:
    from opskit.swarm.lookout import Lookout

_T = TypeVar("_T")

_SETTLE_PAUSE_S = 0.5

TRANSIENT = (UnreachableError, NotManagerError)
"""What a lost connection and an engine that is just starting say: waiting may mend it."""

Detail = Mapping[str, str | int | float | bool | None]
"""What a step reports to the journal: plain facts, never a value."""


def joined(notes: Iterable[str]) -> str:
    """Return one note of several, which says nothing twice."""
    return "; ".join(dict.fromkeys(filter(None, notes)))


class InterruptedStepError(OpskitError):
    """The run was told to stop between two steps or while waiting."""


class CannotUndoError(OpskitError):
    """The step has no way back."""


class Held(Protocol):
    """A run's hold on the lock of a stack, as `opskit.steps.holding.Hold` describes it."""

    def take(self) -> None:
        """Take the lock, or go on with it."""
        ...

    def release(self) -> bool:
        """Release the lock if it is the run's."""
        ...

    def lost(self) -> LockLostError:
        """Return the error that says whose the lock is now."""
        ...

    def anew(self, ctx: StepContext) -> AbstractContextManager[None]:
        """Hold a lock that was lost once more."""
        ...


@dataclass(slots=True, kw_only=True)
class StepContext:
    """Everything a step of one stack needs from outside.

    Parameters
    ----------
    engine
        The stack's server.
    run, actor, host, identity
        The run's id, the operating system user, this machine, and the claimed person.
    values
        New values by swarm name, in memory only; filled as they are made.
    store
        The password store, when the plan uses one.
    settle
        Seconds to find out what became of a write whose answer was lost.
    stop
        Set when the run is to end at the next opportunity.
    retry
        Whether an earlier process worked on the run before.
    begun_before
        Whether it may have taken this very step.
    switched
        Gives the services that the unit has begun to take to another version, and takes back when
        it is undone.
    outcome
        What doing the step that is being undone had reported.
    reported
        Gives what doing the unit's last step of an action had reported, by that action; nothing
        unless it is done.
    intended
        Gives what it was about to do, by the same; ``None`` when it was never begun.
    needed_later
        Gives the later runs whose way back needs a secret of this name, or a service of this id.
    waits_for
        Told what the step waits for, whenever that is something else.
    lookout
        What the run's stacks of this server are watched by while it waits; one of its own if none.
    lock
        The run's hold on the stack's lock, when the plan takes it.
    keep_lock, ask_lock
        Raise when the lock is no longer the run's: asked now and then while the run waits, and
        directly before and after each write.
    """

    engine: Engine
    run: str
    actor: str
    host: str
    identity: str = ""
    values: dict[str, Secret] = field(default_factory=dict[str, Secret])
    store: PassStore | None = None
    settle: float = 60.0
    stop: Event = field(default_factory=Event)
    lookout: Lookout | None = None
    lock: Held | None = None
    keep_lock: Callable[[], None] = lambda: None
    ask_lock: Callable[[], None] = lambda: None
    retry: bool = False
    begun_before: bool = False
    switched: Callable[[], frozenset[str]] = frozenset
    outcome: Detail = field(default_factory=dict[str, str | int | float | bool | None])
    reported: Callable[[str], Detail] = lambda _: {}
    intended: Callable[[str], Detail | None] = lambda _: {}
    needed_later: Callable[[str], list[str]] = lambda _: []
    waits_for: Callable[[str], None] = lambda _: None

    def check_stop(self) -> None:
        """Raise when the run was told to stop."""
        if self.stop.is_set():
            raise InterruptedStepError("the run was interrupted.")

    def wait(self, seconds: float) -> None:
        """Pause, and raise when the run was told to stop meanwhile."""
        if self.stop.wait(seconds):
            self.check_stop()

    def password_store(self) -> PassStore:
        """Return the password store, which keeps the lock however long it takes."""
        if self.store is None:
            raise StepError("this run uses the password store, and none was given.")
        return self.store.attended(self.keep_lock, fence=self.ask_lock)

    def hold(self) -> Held:
        """Return the run's hold on the stack's lock."""
        if self.lock is None:
            raise StepError("this run takes no lock, and its plan has a step that does.")
        return self.lock

    def patiently(self, read: Callable[[], _T]) -> _T:
        """Read once the server answers as a manager again, within `settle` seconds.

        Only for reads: it is how a step learns what became of a write whose answer was lost.
        """
        until = time.monotonic() + self.settle
        while True:
            try:
                return read()
            except TRANSIENT:
                if time.monotonic() >= until:
                    raise
                self.wait(_SETTLE_PAUSE_S)


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="action"):
    """One change, as data; `do` and `undo` may run again after a crash and then finish it."""

    def subject(self) -> str:
        """Name what the step is about."""
        raise NotImplementedError

    def calls(self) -> list[str]:
        """List what `do` will send or write, for ``--dry-run``."""
        raise NotImplementedError

    def intent(self, ctx: StepContext) -> Detail:
        """Return what is written down before `do`, for whoever comes after a crash."""
        return {}

    def do(self, ctx: StepContext) -> Detail:
        """Make the change, or find it made."""
        raise NotImplementedError

    def undo(self, ctx: StepContext) -> Detail:
        """Take the change back, or find it taken back."""
        raise NotImplementedError

    def warning(self) -> str:
        """Return what is gone or down once this is done; a word is typed first then."""
        return ""

    def impact(self) -> str:
        """Return what else it touches that no change of the plan can name beforehand."""
        return ""

    def parts(self) -> tuple[Part, ...]:
        """Return what it changes of each service, and which lines of the ``.env``."""
        return ()

    def lasting(self) -> str:
        """Return what stays changed though this is undone, as what a new version migrated."""
        return ""

    def reading(self) -> tuple[str, ...]:
        """Return what somebody else wrote about it, to be read before; each may have lines."""
        return ()

    def is_irreversible(self) -> bool:
        """Return whether `undo` cannot bring back what `do` took away."""
        return False

    def needs_to_undo(self) -> tuple[str, ...]:
        """Return names of secrets and ids of services without which `undo` is impossible."""
        return ()

    def removes_services(self) -> tuple[str, ...]:
        """Name the services that `do` takes away."""
        return ()

    def touches_pass(self) -> bool:
        """Return whether an entry of the password store is written or removed."""
        return False

    def longest_wait(self) -> float:
        """Return the seconds that `do` waits for services at most."""
        return 0.0

    def undo_conflict(self, ctx: StepContext) -> str:
        """Return why `undo` would end neither here nor there; nothing when it would not.

        Asked of every step before the first is undone, as an older run may be rolled back after
        newer ones.
        """
        return ""

    def overtaken(self, ctx: StepContext) -> str:
        """Return which later change went past this step; going on would take that one back.

        Asked before a run that stopped goes on in either direction.
        """
        return ""
