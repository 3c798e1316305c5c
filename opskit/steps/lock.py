"""One operator at a time per stack: a lock in the swarm itself.

Swarm's Raft log creates a name only once, so a config object is a lock that every operator of
the swarm sees, from whatever machine. What holds a stack is that object, not its name: one that
was removed and made anew is another lock, and a run that held the first holds nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from shlex import quote
from typing import Annotated

from opskit.errors import (
    AlreadyExistsError,
    LockHeldError,
    LockLostError,
    NotFoundError,
    OpskitError,
    StaleIndexError,
)
from opskit.kinds.statuses import STATUSES, KnownStatus
from opskit.swarm import model
from opskit.swarm.context import find_context
from opskit.swarm.engine import Engine
from opskit.swarm.observe import READERS
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About

PREFIX = "opskit_lock_"
LIFETIME = timedelta(minutes=15)
_DATA = b"held by opskit"
_EXPIRES = "opskit.expires-at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Who works on a stack."""

    server: str
    stack: str
    run: str
    owner: str
    host: str
    identity: str
    taken_at: datetime
    expires_at: datetime

    @property
    def is_expired(self) -> bool:
        """Whether its holder has stopped renewing it."""
        return datetime.now(UTC) >= self.expires_at

    def holder(self) -> str:
        """Name the holder in a sentence."""
        person = (
            f"{self.identity} ({self.owner}@{self.host})"
            if self.identity
            else (f"{self.owner}@{self.host}")
        )
        return f"{person} with run {self.run} since {self.taken_at:%Y-%m-%d %H:%M} UTC"


class LocksRow(Row, frozen=True, kw_only=True):
    """A row of the list of locks: who works on a stack."""

    server: Annotated[str, Column("The server, as abra names it.")]
    stack: Annotated[str, Column("The stack that is worked on.")]
    identity: Annotated[str | None, Column("The person that was claimed.")]
    owner: Annotated[str, Column("The operating system's user and the machine: user@host.")]
    run: Annotated[str, Column("The run that holds the lock.")]
    taken_at: Annotated[datetime, Column("When it was taken.")]
    expires_at: Annotated[datetime, Column("From when on others may take it.")]
    expired: Annotated[bool, Column("Whether that is now.")]


def lock_name(stack: str) -> str:
    """Return the config's name; a stack too long for it is named by a digest."""
    name = PREFIX + stack
    if len(name) <= model.NAME_LIMIT:
        return name
    return PREFIX + hashlib.sha256(stack.encode()).hexdigest()[:40]


def take(
    engine: Engine,
    stack: str,
    *,
    run: str,
    owner: str,
    host: str,
    identity: str = "",
    status_of: Callable[[str], KnownStatus] = lambda _: "",
) -> str:
    """Take the lock of a stack, or go on with it when this run has it already; return its id.

    `status_of` gives how a run stands in the asking operator's own journal, nothing for another
    operator's.

    One that ran out is made anew, under an id that its holder does not know: so that one, coming
    back late, can neither renew nor release it.

    Raises
    ------
    LockHeldError
        Another run holds it; the text says whose, since when and until when.
    """
    labels = _labels(stack, run=run, owner=owner, host=host, identity=identity)
    try:
        return engine.create_config(lock_name(stack), _DATA, labels)
    except AlreadyExistsError:
        held = _config(engine, stack)
        if held is None:
            # Released between the two calls; one more try decides.
            try:
                return engine.create_config(lock_name(stack), _DATA, labels)
            except AlreadyExistsError:
                raise _just_taken(engine, stack) from None
        lock = _read(engine.server, held)
        # By the engine's own clock, which wrote when the lock was renewed: the clocks of two
        # operators may be far apart.
        now = engine.info().system_time or datetime.now(UTC)
        if lock.run != run and now < lock.expires_at:
            raise LockHeldError(_held(lock, status_of(lock.run))) from None
        if lock.run == run:
            labels["opskit.taken-at"] = lock.taken_at.isoformat(timespec="seconds")
        try:
            # With its version index: of two who ask at once, or one who asks and its holder who
            # renews it, the later one fails.
            engine.label_config(held, _DATA, labels)
            if lock.run == run:
                return held.id
            _remove(engine, held.id)
            return engine.create_config(lock_name(stack), _DATA, labels)
        except (StaleIndexError, NotFoundError, AlreadyExistsError):
            raise _just_taken(engine, stack) from None


def seen(engine: Engine, ident: str, *, run: str, index: int) -> model.StoredObject | None:
    """Read the lock with this id, if it is still the one that a run holds.

    `index` is the version at which the run saw it last, 0 when it has not since it wrote it.
    """
    try:
        found = engine.config(ident)
    except NotFoundError:
        return None
    is_same = index in (0, found.version.index)
    return found if is_same and _read(engine.server, found).run == run else None


def renew(engine: Engine, held: model.StoredObject) -> bool:
    """Hold a lock for a lifetime from now on, and return whether it still was as it was seen."""
    expires = (datetime.now(UTC) + LIFETIME).isoformat(timespec="seconds")
    try:
        engine.label_config(held, _DATA, {**(held.spec.labels or {}), _EXPIRES: expires})
    except (StaleIndexError, NotFoundError):
        return False
    return True


def lost(engine: Engine, stack: str) -> LockLostError:
    """Return the error of a run whose lock is no longer its own; it says whose it is."""
    held = _config(engine, stack)
    whose = (
        f"it is locked by {_read(engine.server, held).holder()}" if held else "nobody holds it now"
    )
    return LockLostError(
        f"the lock of {stack} on {engine.server} is no longer this run's: it was broken or ran "
        f"out, and {whose}."
    )


def release(engine: Engine, stack: str, *, run: str) -> bool:
    """Release the lock if this run holds it."""
    held = _config(engine, stack)
    if held is None or _read(engine.server, held).run != run:
        return False
    return _remove(engine, held.id)


def break_lock(engine: Engine, stack: str) -> Lock | None:
    """Remove a lock whoever holds it, and give what it said."""
    held = _config(engine, stack)
    if held is None or not _remove(engine, held.id):
        return None
    return _read(engine.server, held)


def locks_among(server: str, configs: Iterable[model.StoredObject]) -> list[Lock]:
    """Find the locks among a server's configs."""
    return [_read(server, c) for c in configs if c.spec.name.startswith(PREFIX)]


def locks_view(servers: Sequence[str], *, seconds: float) -> View:
    """Read who works on which stack of these servers, each within so many seconds."""

    def read(server: str) -> list[Lock] | OpskitError:
        try:
            return locks_among(server, Engine(find_context(server), seconds=seconds).configs())
        except OpskitError as error:
            return error

    rows, missing = list[LocksRow](), dict[str, str]()
    with ThreadPoolExecutor(min(READERS, len(servers)) or 1, "opskit-locks") as threads:
        for server, found in zip(servers, threads.map(read, servers), strict=True):
            if isinstance(found, OpskitError):
                missing[server] = str(found).removeprefix(f"{server}: ")
                continue
            rows += [
                LocksRow(
                    server=lock.server,
                    stack=lock.stack,
                    identity=lock.identity or None,
                    owner=f"{lock.owner}@{lock.host}",
                    run=lock.run,
                    taken_at=lock.taken_at,
                    expires_at=lock.expires_at,
                    expired=lock.is_expired,
                )
                for lock in found
            ]
    about = About(
        noun="locks",
        goes=("owner", "taken_at", "server", "expired"),
        servers=len(servers),
        missing=missing,
    )
    return View.from_rows(LocksRow, rows, about)


def _just_taken(engine: Engine, stack: str) -> LockHeldError:
    return LockHeldError(
        f"{stack} on {engine.server} was locked by someone else this moment. See: opskit locks"
    )


def _remove(engine: Engine, ident: str) -> bool:
    try:
        engine.remove_config(ident)
    except NotFoundError:
        return False
    return True


def _config(engine: Engine, stack: str) -> model.StoredObject | None:
    return next(iter(engine.configs(lock_name(stack))), None)


def _held(lock: Lock, status: KnownStatus) -> str:
    """Return who holds a lock, and what to do; breaking it is the last resort."""
    held = (
        f"{lock.stack} on {lock.server} is locked by {lock.holder()}, "
        f"until {lock.expires_at:%H:%M} UTC unless renewed."
    )
    if status == "":
        return f"{held} Wait, or if that run is dead: {breaking(lock.server, lock.stack)}"
    if status == "running":
        return f"{held} That run is your own and still at work. Wait for it."
    if STATUSES[status].stopped:
        return f"{held} That run is your own and {status}. {STATUSES[status].commands(lock.run)}"
    return f"{held} That run is your own and {status}, so: {breaking(lock.server, lock.stack)}"


def breaking(server: str, stack: str) -> str:
    """Return the command that removes a lock whoever holds it."""
    return f"opskit break-lock {quote(server)} {quote(stack)}"


def _labels(stack: str, *, run: str, owner: str, host: str, identity: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "opskit.lock": stack,
        "opskit.run": run,
        "opskit.owner": owner,
        "opskit.host": host,
        "opskit.identity": identity,
        "opskit.taken-at": now.isoformat(timespec="seconds"),
        _EXPIRES: (now + LIFETIME).isoformat(timespec="seconds"),
    }


def _read(server: str, config: model.StoredObject) -> Lock:
    labels = config.spec.labels or {}
    taken_at = _time(labels.get("opskit.taken-at"), config.created_at)
    said = _time(labels.get(_EXPIRES), taken_at + LIFETIME)
    return Lock(
        server=server,
        stack=labels.get("opskit.lock") or config.spec.name.removeprefix(PREFIX),
        run=labels.get("opskit.run", ""),
        owner=labels.get("opskit.owner", "unknown"),
        host=labels.get("opskit.host", "unknown"),
        identity=labels.get("opskit.identity", ""),
        taken_at=taken_at,
        expires_at=config.updated_at + LIFETIME if config.updated_at else said,
    )


def _time(text: str | None, fallback: datetime) -> datetime:
    try:
        return datetime.fromisoformat(text) if text else fallback
    except ValueError:
        return fallback
