"""How services of one server get on, looked at once for all of a run who wait for them.

Of those who wait, one reads for all, and nobody is given a look that is older than he asked for.
The engine's events only say when the next look is worth while. Swarm tells of services, an engine
of the containers of its own node, and nobody of tasks: so looks go on without events too, ever
more slowly up to a limit; and where no events are heard, as quickly as if there were none.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from opskit.errors import NotFoundError, OpskitError
from opskit.swarm import lists, model
from opskit.swarm.context import Context
from opskit.swarm.lists import decoded, filtered
from opskit.swarm.reader import read_at_once
from opskit.swarm.refusal import refusal
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT, Transport
from opskit.swarm.watch import EventStream

_T = TypeVar("_T", model.Service, model.Task)

_QUICK_S, _SLOW_S, _SLOWER = 0.25, 1.0, 1.5
"""Between two looks: at first, at most while events are heard, and how it grows."""
_KNOWN_S = 0.1
"""How long after a container started Swarm mostly knows of it (measured on 20.10)."""
_ATTEND_S = 0.25
"""How often one who waits sees to what else is his."""
_BEGIN_S = 10.0
"""How long an engine may take to begin to tell."""
_SILENCE_S = 600.0
_NAMED = 64
"""How many services a request may name, as proxies limit addresses; else all are read."""
_TELLING = ("service", "node", "container")


@dataclass(frozen=True, slots=True)
class Seen(Generic[_T]):
    """A service or a task: as typed, and its whole spec, which may hold values."""

    typed: _T
    spec: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What there was of some services, read between two moments of the monotonic clock.

    Parameters
    ----------
    begun, ended
        The moments.
    services
        Those that are there, by id.
    tasks
        Their tasks, past ones included, by the service's id.
    nodes
        All nodes of the swarm.
    """

    begun: float
    ended: float
    services: Mapping[str, Seen[model.Service]]
    tasks: Mapping[str, Sequence[Seen[model.Task]]]
    nodes: Sequence[model.Node]


class Lookout:
    """Looks at services of one server for all who wait for them; safe for many threads.

    Parameters
    ----------
    context
        The server.
    seconds
        Deadline of each look.
    transport
        The connections to use.

    Examples
    --------
    >>> from opskit.swarm.context import find_context
    >>> from opskit.swarm.engine import Engine
    >>> lookout = Engine(find_context("coop.example")).lookout()
    >>> with lookout.attended([]):
    ...     now = lookout.look([], after=0.0, by=0.0, attend=lambda: None)
    ...     later = lookout.look([], after=now.begun, by=now.ended + 5.0, attend=lambda: None)
    >>> now.ended <= later.begun
    True
    """

    def __init__(
        self, context: Context, *, seconds: float, transport: Transport = TRANSPORT
    ) -> None:
        self._context, self._seconds, self._transport = context, seconds, transport
        self._changed = threading.Condition()
        self._attending, self._awaited = 0, Counter[str]()
        self._last: _Round | None = None
        self._is_reading = False
        self._pause, self._due, self._rested, self._heard = _QUICK_S, 0.0, 0.0, 0.0
        self._ear: _Ear | None = None

    @contextmanager
    def attended(self, services: Collection[str]) -> Generator[None]:
        """Look at these services too, as long as the block lasts.

        When the last such block ends, the engine is not listened to any more.
        """
        with self._changed:
            self._attending += 1
            self._awaited.update(services)
        try:
            yield
        finally:
            with self._changed:
                self._attending -= 1
                self._awaited -= Counter(services)
                ear = None if self._attending else self._ear
                self._ear = self._ear if self._attending else None
            if ear is not None:
                ear.close()

    def look(
        self,
        services: Collection[str],
        *,
        after: float,
        by: float,
        attend: Callable[[], None],
    ) -> Look:
        """Wait for the next look at attended services.

        Parameters
        ----------
        services
            Their ids.
        after
            When it may begin at the earliest: what changed before, it shows.
        by
            When it is to begin at the latest.
        attend
            Called now and then meanwhile; what it raises ends the waiting.

        Raises
        ------
        OpskitError
            The server could not be read.
        """
        wanted = frozenset(services)
        while True:
            asked = None
            with self._changed:
                last = self._last
                if last is not None and last.begun > after and wanted <= last.asked:
                    break
                left = min(self._due, by) - time.monotonic()
                if left <= 0 and not self._is_reading:
                    self._is_reading, asked = True, frozenset(self._awaited)
                else:
                    self._rest(_ATTEND_S if self._is_reading else min(left, _ATTEND_S))
            if asked is None:
                attend()
            else:
                self._read(asked)
        if isinstance(last.outcome, OpskitError):
            raise last.outcome
        return last.outcome

    def _rest(self, seconds: float) -> None:
        """Wait until something happens, the lock being held; the engine is listened to for it."""
        if self._ear is None:
            # Without descriptors or threads left, looks go on all the same.
            with contextlib.suppress(OSError, RuntimeError):
                self._ear = _Ear(self._context, self._transport, self._happened)
        self._changed.wait(seconds)

    def _happened(self) -> None:
        now = time.monotonic()
        with self._changed:
            self._pause, self._heard = _QUICK_S, now
            due = max(now + _KNOWN_S, self._rested)
            if due < self._due:
                self._due = due
                self._changed.notify_all()

    def _read(self, asked: frozenset[str]) -> None:
        """Look, for all who wait, and say when to look again."""
        begun, outcome = time.monotonic(), None
        try:
            outcome = self._seen(asked, begun)
        except OpskitError as error:
            outcome = error
        finally:
            ended = time.monotonic()
            with self._changed:
                self._is_reading = False
                if outcome is not None:
                    self._last = _Round(begun, asked, outcome)
                # However much happens, looking is not most of what is done.
                took = min(ended - begun, _SLOW_S)
                self._rested = ended + max(_QUICK_S, took)
                if self._ear is None or not self._ear.hears:
                    self._pause = _QUICK_S
                self._due = ended + max(self._pause, took)
                self._pause = min(self._pause * _SLOWER, _SLOW_S)
                if self._heard > begun:
                    self._due = self._rested
                self._changed.notify_all()

    def _seen(self, asked: frozenset[str], begun: float) -> Look:
        deadline = Deadline(self._seconds, self._context.server)
        named = sorted(asked) if len(asked) <= _NAMED else []
        try:
            found = self._lists(deadline, filtered(id=named), filtered(service=named))
        except NotFoundError:
            # Tasks of a service that is gone cannot be asked for by it.
            found = self._lists(deadline, "", "")
        services, tasks, nodes = found
        server = self._context.server
        typed = decoded(services, tuple[model.Service, ...], server)
        specs = decoded(services, tuple[_Whole, ...], server)
        by_service: dict[str, list[Seen[model.Task]]] = {}
        for task, whole in zip(
            decoded(tasks, tuple[model.Task, ...], server),
            decoded(tasks, tuple[_Whole, ...], server),
            strict=True,
        ):
            by_service.setdefault(task.service_id, []).append(Seen(task, whole.spec))
        for some in by_service.values():
            some.sort(key=lambda one: one.typed.id)
        return Look(
            begun=begun,
            ended=time.monotonic(),
            services={
                one.id: Seen(one, whole.spec) for one, whole in zip(typed, specs, strict=True)
            },
            tasks=by_service,
            nodes=lists.NODES.read(nodes, server),
        )

    def _lists(self, deadline: Deadline, services: str, tasks: str) -> list[bytes]:
        """Read services, tasks and nodes, in this order, as tasks follow their service's spec."""
        paths = [f"/services{services}", lists.TASKS.path + tasks, lists.NODES.path]
        replies, failure = read_at_once(self._transport, self._context, paths, deadline)
        for reply in replies:
            if reply.status >= 400:
                raise refusal(reply.status, reply.body, server=self._context.server)
        if failure is not None:
            raise failure
        return [reply.body for reply in replies]


class _Round(NamedTuple):
    begun: float
    asked: frozenset[str]
    outcome: Look | OpskitError


class _Whole(msgspec.Struct, rename="pascal"):
    spec: dict[str, Any]


class _Ear:
    """Listens to an engine in a thread of its own, until it is closed or nothing can be heard.

    Attributes
    ----------
    hears
        Whether it listens now.
    """

    def __init__(
        self, context: Context, transport: Transport, happened: Callable[[], None]
    ) -> None:
        self.hears, self._is_closed = False, False
        self._bell, self._rope = socket.socketpair()
        self._thread = threading.Thread(
            target=self._listen,
            args=(context, transport, happened),
            name=f"opskit-lookout {context.server}",
            daemon=True,
        )
        try:
            self._thread.start()
        except RuntimeError:
            self._rope.close()
            self._bell.close()
            raise

    def close(self) -> None:
        """Listen no more; returns when the thread has ended."""
        self._is_closed = True
        self._rope.close()
        self._thread.join()
        self._bell.close()

    def _listen(self, context: Context, transport: Transport, happened: Callable[[], None]) -> None:
        deadline, bell = Deadline(_BEGIN_S, context.server), self._bell.fileno()
        # Whoever waits looks without it, and tells why nothing can be read.
        with (
            contextlib.suppress(OpskitError),
            EventStream(context, deadline, bell, transport, kinds=_TELLING) as stream,
        ):
            self.hears = True
            try:
                while not self._is_closed:
                    if stream.wait(_SILENCE_S):
                        happened()
            finally:
                self.hears = False
                # From now on nobody says when to look.
                happened()
