"""A run that holds a stack's lock: asked whether it still does before it writes, and after.

Whoever was suspended, or cut off, may have lost the lock meanwhile: to a colleague who broke it,
or to one who took it once it had run out. Such a run finds another object under the lock's name,
or none, and stops. It never makes the lock anew as if it had renewed it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event

from opskit.errors import (
    InputError,
    LockHeldError,
    LockLostError,
    MissingToolError,
    OpskitError,
)
from opskit.kinds.statuses import KnownStatus
from opskit.steps import lock
from opskit.steps.base import TRANSIENT, Detail, Step, StepContext
from opskit.swarm.engine import Engine

_ASK_S = 1.0
"""How often one who waits asks whether the lock is still the run's."""
_PATIENCE_S = 60.0
_PAUSE_S = 0.5
_RENEW_S = lock.LIFETIME.total_seconds() / 3


@dataclass(slots=True, kw_only=True)
class Hold:
    """One run's hold on the lock of one stack.

    Parameters
    ----------
    engine
        The stack's server; not fenced, as these are the lock's own reads and writes.
    stack
        Which stack.
    run, owner, host, identity, status_of
        As `lock.take` has them.
    """

    engine: Engine
    stack: str
    run: str
    owner: str
    host: str
    identity: str = ""
    status_of: Callable[[str], KnownStatus] = lambda _: ""
    _id: str = field(default="", init=False)
    _index: int = field(default=0, init=False)
    _asked: float = field(default=0.0, init=False)
    _renewed: float = field(default=0.0, init=False)

    def take(self) -> None:
        """Take the lock, or go on with it when the run has it from before a crash.

        Raises
        ------
        LockHeldError
            Another run holds it.
        """
        self._id = lock.take(
            self.engine,
            self.stack,
            run=self.run,
            owner=self.owner,
            host=self.host,
            identity=self.identity,
            status_of=self.status_of,
        )
        self._index = 0
        self._asked = self._renewed = time.time()

    def ask(self) -> None:
        """Make sure that the lock is still the run's, and renew it when it is time to.

        Raises
        ------
        LockLostError
            It is not; says whose it is.
        """
        found = self._id and lock.seen(self.engine, self._id, run=self.run, index=self._index)
        if not found:
            raise self.lost()
        self._index, self._asked = found.version.index, time.time()
        if _is_past(self._renewed, _RENEW_S):
            # Whatever becomes of it, the next look finds the version that it has then.
            self._index = 0
            if not lock.renew(self.engine, found):
                raise self.lost()
            self._renewed = time.time()

    def keep(self) -> None:
        """Ask now and then, while the run waits; who does not answer is asked again later."""
        if _is_past(self._asked, _ASK_S):
            try:
                self.ask()
            except TRANSIENT:
                return

    def release(self) -> bool:
        """Release the lock if it is the run's."""
        released = lock.release(self.engine, self.stack, run=self.run)
        # Not before: one that could not be released is still the run's.
        self._id = ""
        return released

    def lost(self) -> LockLostError:
        """Return the error that says whose the lock is now."""
        return lock.lost(self.engine, self.stack)

    @contextmanager
    def anew(self, ctx: StepContext) -> Generator[None]:
        """Hold a lock that was lost once more, to put right what was written meanwhile.

        Parameters
        ----------
        ctx
            Waits while whoever holds it is at work, and for a server that does not answer.

        Raises
        ------
        LockHeldError
            They do not end within a minute.
        """
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                ctx.patiently(self.take)
            except LockHeldError:
                if time.monotonic() >= until:
                    raise
            else:
                break
            ctx.wait(_PAUSE_S)
        try:
            yield
        finally:
            ctx.patiently(self.release)


@contextmanager
def put_right_if_lost(ctx: StepContext, put_right: Callable[[StepContext], str]) -> Generator[None]:
    """Ask for the lock once more where a program failed or was stopped, as it may have done a part.

    Parameters
    ----------
    ctx
        Where.
    put_right
        Puts right what was done without the lock, even in a run that is told to stop, and says so.

    Raises
    ------
    LockLostError
        The lock was lost meanwhile; ends with what `put_right` says.
    """
    try:
        try:
            yield
        except (InputError, MissingToolError):
            # Found before the program was begun.
            raise
        except OpskitError:
            ctx.ask_lock()
            raise
    except LockLostError as error:
        raise LockLostError(f"{error} {put_right(replace(ctx, stop=Event()))}") from error


def _is_past(moment: float, seconds: float) -> bool:
    # Not by the monotonic clock, which stands still while a laptop sleeps; the lock runs out.
    # This one may be set back.
    return abs(time.time() - moment) > seconds


class TakeLock(Step, frozen=True, kw_only=True, tag="take-lock"):
    """Keep every other operator's opskit away from the stack."""

    stack: str

    def subject(self) -> str:
        """Name the stack."""
        return self.stack

    def calls(self) -> list[str]:
        """Show the create call."""
        return [f"POST /configs/create Name={lock.lock_name(self.stack)}"]

    def do(self, ctx: StepContext) -> Detail:
        """Take the lock, or go on with it when this run has it from before a crash."""
        hold = ctx.hold()
        try:
            hold.take()
        except TRANSIENT:
            # Taking twice is harmless: the run that holds it may take it again.
            ctx.patiently(hold.take)
        return {}

    def undo(self, ctx: StepContext) -> Detail:
        """Release it."""
        return {"released": ctx.patiently(ctx.hold().release)}


class ReleaseLock(Step, frozen=True, kw_only=True, tag="release-lock"):
    """Let others work on the stack again."""

    stack: str

    def subject(self) -> str:
        """Name the stack."""
        return self.stack

    def calls(self) -> list[str]:
        """Show the delete call."""
        return [f"DELETE /configs/{lock.lock_name(self.stack)}"]

    def do(self, ctx: StepContext) -> Detail:
        """Release the lock, or find it released."""
        hold = ctx.hold()
        released = ctx.patiently(hold.release)
        if released or ctx.retry:
            return {"released": released}
        # Every write was made, and looked at again, while it was the run's own.
        try:
            whose = str(ctx.patiently(hold.lost))
        except OpskitError:
            # No failure to release: it may be a colleague's, whom breaking it would harm.
            whose = "the lock was no longer this run's; whose it is was not seen."
        return {"released": False, "note": f"once all was done, {whose}"}

    def undo(self, ctx: StepContext) -> Detail:
        """Do nothing: whoever undoes the run takes the lock first."""
        return {}
