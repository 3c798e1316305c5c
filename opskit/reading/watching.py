"""A snapshot that stays fresh: one thread for each server listens to its engine and looks again.

Events only say when to look; what is there is read. So whatever becomes of an event, a row is
wrong for no longer than one period, after which everything is read anyhow.
"""

from __future__ import annotations

import contextlib
import math
import random
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from opskit.abra.files import as_problem
from opskit.abra.layout import marks
from opskit.abra.model import Declared
from opskit.arguments import check_function, check_number
from opskit.errors import InputError, OpskitError, RefusedError
from opskit.facts.facts import Facts, said
from opskit.snapshot import Snapshot
from opskit.swarm.context import find_context
from opskit.swarm.observe import READERS, Observation, observe_server
from opskit.swarm.stream import Deadline
from opskit.swarm.watch import EventStream, is_moving

_GATHER_S = 0.05
"""How long to wait after an event for those that come with it."""
_AFTERWARDS_S = (0.4, 1.2)
"""When to look again after an event: an engine tells of a container before Swarm knows of it."""
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
"""Between two tries to listen to a server that cannot be reached."""
_FILES_S, _FILES_SHARE = 2.0, 200
"""How often to look whether a file has changed, and what multiple of what that takes to wait."""


class Schedule:
    """When a server is to be read next.

    Parameters
    ----------
    period
        Seconds after which it is read though nothing seems to have happened.
    now
        The time of a monotonic clock.

    Attributes
    ----------
    due
        When to read it.
    """

    def __init__(self, period: float, now: float) -> None:
        self.due, self._period = now, period
        self._rested = now
        self._ahead = list(_AFTERWARDS_S)
        self._moving = _AFTERWARDS_S[-1]

    def happened(self, now: float) -> None:
        """Note that something happened."""
        self.due = min(self.due, max(now + _GATHER_S, self._rested))
        self._ahead, self._moving = list(_AFTERWARDS_S), _AFTERWARDS_S[-1]

    def looked(self, now: float, took: float, *, moving: bool) -> None:
        """Note that it was read: how long that took, and whether more is on its way."""
        # However much happens, reading is never most of what is done.
        self._rested = now + max(4 * _GATHER_S, 2 * took)
        # Not all servers at once, and none later than was promised.
        wait = self._period * random.uniform(0.8, 1.0)  # noqa: S311
        if self._ahead:
            wait = min(wait, self._ahead.pop(0))
        elif moving:
            self._moving *= 2
            wait = min(wait, self._moving)
        self.due = now + wait


class Live:
    """A snapshot kept fresh by what the engines tell; made by `Fleet.watch`.

    Iterating over it gives a snapshot after each change, until it is closed. What is read anew
    replaces `snapshot`: one that somebody holds stays as it is.

    Parameters
    ----------
    snapshot
        What to begin with.
    root
        abra's folder.
    declared
        Reads what its files declare.
    period
        Seconds after which each server and all files are read though nothing seems to have
        happened.
    deadline
        Seconds for each server, whatever hangs.

    Examples
    --------
    >>> with fleet.watch() as live:
    ...     print(len(live.snapshot.secrets.select("state == 'missing'")))
    2
    """

    def __init__(
        self,
        snapshot: Snapshot,
        root: Path,
        declared: Callable[[], Declared],
        *,
        period: float,
        deadline: float,
    ) -> None:
        self._snapshot, self._root, self._declared = snapshot, root, declared
        self._period, self._deadline = period, deadline
        self._files, self._seen = snapshot.facts.declared, dict(snapshot.facts.seen)
        self._changed = threading.Condition()
        self._count, self._is_closed = 0, False
        self._callbacks: dict[object, Callable[[Snapshot], object]] = {}
        self._places = threading.BoundedSemaphore(READERS)
        # Whoever waits hears when its other end is closed.
        self._bell, self._rope = socket.socketpair()
        self._threads: dict[str, threading.Thread] = {}
        self._begin("files", self._attend_files)
        self._watch_declared()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Live{', closed,' if self._is_closed else ''} {self.snapshot!r}>"

    @property
    def snapshot(self) -> Snapshot:
        """What is known now; after `close`, what was known last."""
        return self._snapshot

    def __iter__(self) -> Iterator[Snapshot]:
        """Yield a snapshot after each change from now on; several at once are one."""
        return self.changes()

    def changes(self, timeout: float | None = None) -> Iterator[Snapshot]:
        """Return the snapshots after each change from now on, until this is closed.

        Parameters
        ----------
        timeout
            Seconds without any change after which it ends, too.

        Examples
        --------
        >>> with fleet.watch() as live:
        ...     for snap in live.changes(timeout=0.1):
        ...         print(snap.services.select("running < desired"))
        """
        if timeout is not None:
            check_number("timeout", timeout, above=0)
        return self._changes(self._count, timeout)

    def _changes(self, count: int, timeout: float | None) -> Iterator[Snapshot]:
        while True:
            with self._changed:
                told = self._changed.wait_for(partial(self._goes_on_from, count), timeout)
                if self._is_closed or not told:
                    return
                count, snapshot = self._count, self._snapshot
            yield snapshot

    def _goes_on_from(self, count: int) -> bool:
        return self._is_closed or self._count > count

    def subscribe(self, callback: Callable[[Snapshot], object]) -> Callable[[], None]:
        """Call a function with the snapshot after each change.

        It is called in a thread of its own, one change after the other. What it raises is shown
        as a thread's error, and the next change is told all the same.

        Returns
        -------
        Callable
            Call it to be told no more.

        Examples
        --------
        >>> with fleet.watch() as live:
        ...     stop = live.subscribe(lambda snap: print(snap.services))
        ...     stop()
        """
        check_function("callback", callback)
        with self._changed:
            self._begin("changes", self._tell, self._count)
            # One function may be told twice: each ends for itself.
            self._callbacks[subscription := object()] = callback

        def stop() -> None:
            with self._changed:
                self._callbacks.pop(subscription, None)

        return stop

    def close(self) -> None:
        """Stop watching; returns when every thread of it but the caller's has ended.

        With the threads end the connections that they listen over; those that servers are read
        over are kept for the next who reads them. A server that is being connected to or read is
        waited for, for its deadline at most.
        """
        with self._changed:
            if not self._is_closed:
                self._is_closed = True
                self._rope.close()
                self._changed.notify_all()
            threads = list(self._threads.values())
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()
        self._bell.close()

    # -- threads ------------------------------------------------------------------------------

    def _begin(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        """Start a thread, unless there is one of this name, or this is closed."""
        if self._is_closed or (name in self._threads and self._threads[name].is_alive()):
            return
        self._threads[name] = threading.Thread(
            target=target, args=arguments, name=f"opskit-watch {name}", daemon=True
        )
        self._threads[name].start()

    def _watch_declared(self) -> None:
        """Begin to watch the servers that are new; a thread of one that is gone ends by itself."""
        for server in self._files.servers:
            self._begin(f"server {server.name}", self._attend, server.name)

    def _sleep(self, seconds: float) -> bool:
        """Wait; false when this was closed meanwhile."""
        poller = select.poll()
        poller.register(self._bell, select.POLLIN)
        return not poller.poll(seconds * 1000)

    def _attend(self, server: str) -> None:
        """Watch one server for as long as it is declared."""
        pause = _SHORTEST_PAUSE_S
        while not self._is_over(server):
            begun, longest = math.inf, _LONGEST_PAUSE_S
            with _reported():
                try:
                    deadline = Deadline(self._deadline, server)
                    with EventStream(find_context(server), deadline, self._bell.fileno()) as stream:
                        begun = time.monotonic()
                        self._listen(server, stream)
                except Exception as error:
                    if isinstance(error, RefusedError):
                        longest = self._period
                    self._look(server)
                    if not isinstance(error, OpskitError):
                        raise
            if time.monotonic() - begun > _LONGEST_PAUSE_S:
                # It told what happened for a while: this is the first break of its kind.
                pause = _SHORTEST_PAUSE_S
            self._sleep(min(pause, longest, self._period))
            pause *= 2

    def _listen(self, server: str, stream: EventStream) -> None:
        """Read a server whenever it is due, until it cannot be reached."""
        schedule = Schedule(self._period, time.monotonic())
        while not self._is_over(server):
            left = schedule.due - time.monotonic()
            if left > 0:
                if stream.wait(left):
                    schedule.happened(time.monotonic())
                continue
            began = time.monotonic()
            seen = self._look(server)
            if seen is None or not seen.reachable:
                return
            now = time.monotonic()
            schedule.looked(now, now - began, moving=is_moving(seen))

    def _is_over(self, server: str) -> bool:
        return self._is_closed or all(one.name != server for one in self._files.servers)

    def _look(self, server: str) -> Observation | None:
        """Read a server and take in what it says; nothing when this was closed meanwhile."""
        with self._places:
            if self._is_closed:
                return None
            seen = observe_server(server, self._deadline)
        with self._changed:
            before = self._seen.get(server)
            self._seen[server] = seen
            self._renew(is_news=before is None or said(before) != said(seen))
        return seen

    def _attend_files(self) -> None:
        """Read the files when one has changed, and after each period."""
        # Whatever changed since the first snapshot began is found at the first look.
        known, read_at, pause = None, time.monotonic(), min(_FILES_S, self._period)
        while self._sleep(pause):
            with _reported():
                began = time.monotonic()
                found = marks(self._root)
                # Of many files, looking at them all is no longer cheap.
                share = _FILES_SHARE * (time.monotonic() - began)
                pause = min(max(_FILES_S, share), self._period)
                if found != known or began - read_at >= self._period:
                    known, read_at = found, began
                    self._read_files()

    def _read_files(self) -> None:
        before, problem = self._files, ()
        try:
            files = self._declared()
        except InputError as error:
            # What was declared last holds on, with this beside it.
            files, problem = before, (as_problem(error, self._root),)
        with self._changed:
            self._files = files
            files = msgspec.structs.replace(files, problems=(*files.problems, *problem))
            is_news = files != self._snapshot.facts.declared
            if is_news:
                self._renew(declared=files, is_news=True)
            self._watch_declared()

    def _renew(self, *, is_news: bool, declared: Declared | None = None) -> None:
        declared = declared or self._snapshot.facts.declared
        observed = tuple(self._seen[one.name] for one in declared.servers if one.name in self._seen)
        facts = Facts(taken_at=datetime.now(UTC), declared=declared, observed=observed)
        self._snapshot = Snapshot(facts, since=self._snapshot)
        if is_news:
            self._count += 1
            self._changed.notify_all()

    def _tell(self, count: int) -> None:
        for snapshot in self._changes(count, None):
            for callback in list(self._callbacks.values()):
                with _reported():
                    callback(snapshot)


@contextlib.contextmanager
def _reported() -> Generator[None]:
    """Show what is raised as a thread's error, and let the thread go on."""
    try:
        yield
    except Exception:  # noqa: BLE001 (whatever it is, a thread that ends would end in silence)
        kind, error, trace = sys.exc_info()
        threading.excepthook(
            threading.ExceptHookArgs((kind, error, trace, threading.current_thread()))
        )
