"""Connections to engines: opened by address, kept warm, at most four per server."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from opskit.errors import EngineError, RefusedError, UnreachableError
from opskit.swarm.connect import connect
from opskit.swarm.connection import Connection, Patience, Reply, SilentError
from opskit.swarm.context import Context
from opskit.swarm.masters import SshMasters, Way
from opskit.swarm.ssh import log_in, open_ssh, pause_before_retry, was_dropped
from opskit.swarm.stream import Deadline, Stream

if TYPE_CHECKING:
    from opskit.swarm.client import EngineClient

_T = TypeVar("_T")

_CONNECTIONS_PER_SERVER = 4
_DROPPED_TRIES = 4
_PATIENCE = 1 / 4
"""What part of the time that is left a connection that was kept may take to its first word, and
then, should there be none, to prove that it is only the engine that is slow."""
_STALE_AFTER_S = 5.0
"""A connection idle for longer is tried with ``_ping`` before a write is entrusted to it."""


class _Pool:
    def __init__(self) -> None:
        self.idle: list[Connection] = []
        self.closed = False
        self.lock = threading.Lock()
        self.opening = threading.Lock()
        self.places = threading.BoundedSemaphore(_CONNECTIONS_PER_SERVER)


class Transport:
    """Every connection of this process, by server address.

    Safe for many threads; after a fork the child starts with none.

    Parameters
    ----------
    reply_limit, ssh_keep
        See `opskit.settings.Settings`, which say them by default.

    Attributes
    ----------
    one_at_a_time
        Engines behind something that answers no second request before the first is answered.
    """

    def __init__(self, *, reply_limit: int | None = None, ssh_keep: int | None = None) -> None:
        self.one_at_a_time: set[Context] = set()
        self._reply_limit, self._ssh_keep = reply_limit, ssh_keep
        self._pools: dict[Context, _Pool] = {}
        self._lock = threading.Lock()
        self._masters = SshMasters(self._ssh_keep)

    def call(
        self,
        context: Context,
        do: Callable[[EngineClient], _T],
        deadline: Deadline,
        *,
        is_read: bool,
    ) -> _T:
        """Make an exchange through the docker SDK, over a kept or new connection.

        A read that finds its kept connection dead is sent once more over a new one. A write
        is never sent twice.

        Raises
        ------
        UnreachableError
            No answer; of a write, nothing is known.
        EngineError
            The engine refused.
        """
        fresh = True
        try:
            with self.connection(context, deadline, for_write=not is_read) as (connection, fresh):
                return connection.call(do, deadline)
        except UnreachableError:
            if not is_read or fresh:
                raise
            deadline.remaining()
        with self.connection(context, deadline, fresh=True) as (connection, _):
            return connection.call(do, deadline)

    def request(
        self,
        context: Context,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        deadline: Deadline,
    ) -> Reply:
        """Make one bare exchange, whatever the status of its reply; see `call`."""
        reply = self.call(
            context,
            lambda client: client.bare(method, path, body),
            deadline,
            is_read=method in ("GET", "HEAD"),
        )
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Reply(status=reply.status_code, headers=headers, body=reply.content)

    @contextmanager
    def connection(
        self,
        context: Context,
        deadline: Deadline,
        *,
        for_write: bool = False,
        fresh: bool = False,
        flight: Sequence[str] = (),
    ) -> Generator[tuple[Connection, bool]]:
        """Lend a connection to one engine, and tell whether it is a new one.

        It goes back to the pool, unless it broke, the block raises anything but an engine's
        refusal, or the pool was closed meanwhile.

        Parameters
        ----------
        context
            The engine.
        deadline
            When a connection must be there.
        for_write
            Whether a kept connection must have proved itself lately.
        fresh
            Whether it must be a new one.
        flight
            What a new one asks together with its greeting; see `Connection.greet`.
        """
        pool = self._pool(context)
        if not pool.places.acquire(timeout=deadline.remaining("waiting for a free connection")):
            raise deadline.passed("waiting for a free connection")
        try:
            kept = None if fresh else self._idle(pool, for_write=for_write, deadline=deadline)
            connection = kept or self._open(context, pool, deadline, flight)
            try:
                yield connection, kept is None
            except EngineError:
                _give_back(pool, connection)
                raise
            except BaseException:
                connection.close()
                raise
            _give_back(pool, connection)
        finally:
            pool.places.release()

    def dial(self, context: Context, deadline: Deadline) -> Connection:
        """Open a connection that the caller keeps to itself, and closes."""
        return self._open(context, self._pool(context), deadline, ())

    def log_in(self, context: Context, deadline: Deadline) -> None:
        """Log in anew to the server behind an ``ssh://`` context; later connections share that.

        Raises
        ------
        MissingToolError
            No ``ssh`` program here.
        UnreachableError
            It cannot be logged in to, or not in time; says why.
        """
        # One of before proves nothing of the keys of today.
        with self._masters.way(context, deadline) as way:
            if way.master:
                way.retire()

        def attempt() -> None:
            with self._masters.way(context, deadline) as way:
                log_in(context, deadline, way)

        _past_shedding(attempt, deadline)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
            self.one_at_a_time.clear()
        for pool in pools:
            _empty(pool)
        self._masters.close()

    def forget(self) -> None:
        """Start with no connections, without closing those inherited from a parent process."""
        self._pools = {}
        self._lock = threading.Lock()
        self._masters = SshMasters(self._ssh_keep)

    def _pool(self, context: Context) -> _Pool:
        with self._lock:
            return self._pools.setdefault(context, _Pool())

    def _idle(self, pool: _Pool, *, for_write: bool, deadline: Deadline) -> Connection | None:
        while True:
            with pool.lock:
                if not pool.idle:
                    return None
                connection = pool.idle.pop()
            try:
                usable = connection.is_usable() and (
                    not for_write or _answers(connection, deadline)
                )
            except BaseException:
                connection.close()
                raise
            if usable:
                return connection
            connection.close()

    def _open(
        self, context: Context, pool: _Pool, deadline: Deadline, flight: Sequence[str]
    ) -> Connection:
        if context.address.scheme != "ssh":
            return self._greeted(lambda: connect(context, deadline), deadline, flight)
        # One at a time, so that the first becomes the master and the others share it.
        if not pool.opening.acquire(timeout=deadline.remaining("waiting for ssh")):
            raise deadline.passed("waiting for ssh")
        try:
            # Whatever fails here failed before any write of ours was sent.
            return _past_shedding(lambda: self._over_ssh(context, deadline, flight), deadline)
        finally:
            pool.opening.release()

    def _over_ssh(self, context: Context, deadline: Deadline, flight: Sequence[str]) -> Connection:
        while True:
            with self._masters.way(context, deadline) as way:
                patience = way.master and Patience(
                    until=_part(deadline), is_vain=lambda: not _responds(context, deadline, way)
                )
                try:
                    return self._greeted(
                        lambda: open_ssh(context, deadline, way), deadline, flight, patience
                    )
                except SilentError:
                    way.retire()

    def _greeted(
        self,
        dial: Callable[[], Stream],
        deadline: Deadline,
        flight: Sequence[str],
        patience: Patience | None = None,
    ) -> Connection:
        connection = Connection(dial(), self._reply_limit)
        try:
            connection.greet(deadline, flight, patience)
            if connection.stream.is_over and not connection.has_landed:
                # It was closed behind the greeting, which holds for the next one too.
                connection.close()
                connection = connection.resumed(dial())
        except BaseException:
            connection.close()
            raise
        return connection


def _responds(context: Context, deadline: Deadline, way: Way) -> bool:
    """Return whether a server answers over a connection that was kept."""
    try:
        log_in(context, _part(deadline), way)
    except UnreachableError:
        return False
    return True


def _part(deadline: Deadline) -> Deadline:
    return Deadline(deadline.remaining() * _PATIENCE, deadline.server)


def _past_shedding(do: Callable[[], _T], deadline: Deadline) -> _T:
    """Do something over ssh, anew as long as sshd sheds connections."""
    for _ in range(_DROPPED_TRIES - 1):
        try:
            return do()
        except UnreachableError as error:
            if not was_dropped(error):
                raise
            pause_before_retry(deadline)
    return do()


def _give_back(pool: _Pool, connection: Connection) -> None:
    with pool.lock:
        is_back = not pool.closed and not connection.stream.is_over
        if is_back:
            pool.idle.append(connection)
    if not is_back:
        connection.close()


def _empty(pool: _Pool) -> None:
    with pool.lock:
        pool.closed = True
        idle, pool.idle = pool.idle, []
    for connection in idle:
        connection.close()


def _answers(connection: Connection, deadline: Deadline) -> bool:
    if time.monotonic() - connection.used_at < _STALE_AFTER_S:
        return True
    probe = Deadline(min(_STALE_AFTER_S, deadline.remaining()), deadline.server)
    try:
        connection.greet(probe)
    except (UnreachableError, RefusedError):
        return False
    return not connection.stream.is_over


TRANSPORT = Transport()
"""The connections of this process; a fork starts afresh."""

atexit.register(TRANSPORT.close)
os.register_at_fork(after_in_child=TRANSPORT.forget)
