"""Connections to engines: opened by address, kept warm, at most four per server."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from opskit.errors import RefusedError, UnreachableError
from opskit.swarm.channel import Channel, Response
from opskit.swarm.connect import connect
from opskit.swarm.context import Context
from opskit.swarm.deadline import Deadline
from opskit.swarm.ssh import SshMasters, open_ssh, pause_before_retry, was_dropped

_CHANNELS_PER_SERVER = 4
_DROPPED_TRIES = 4
_STALE_AFTER_S = 5.0
"""A channel idle for longer is tried with ``_ping`` before a write is entrusted to it."""


class _Pool:
    def __init__(self) -> None:
        self.idle: list[Channel] = []
        self.closed = False
        self.lock = threading.Lock()
        self.opening = threading.Lock()
        self.places = threading.BoundedSemaphore(_CHANNELS_PER_SERVER)


class Transport:
    """Every connection of this process, by server address.

    Safe for many threads; after a fork the child starts with none.
    """

    def __init__(self) -> None:
        self._pools: dict[Context, _Pool] = {}
        self._lock = threading.Lock()
        self._masters = SshMasters()

    def request(
        self,
        context: Context,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        deadline: Deadline,
    ) -> Response:
        """Make one exchange over a kept or new connection.

        A read that finds its kept connection dead is sent once more over a new one. A write
        is never sent twice.
        """
        is_read = method in ("GET", "HEAD")
        with self.channel(context, deadline, for_write=not is_read) as (channel, fresh):
            try:
                return channel.request(method, path, body, deadline)
            except UnreachableError:
                if not is_read or fresh:
                    raise
                deadline.remaining()
        with self.channel(context, deadline, fresh=True) as (channel, _):
            return channel.request(method, path, body, deadline)

    @contextmanager
    def channel(
        self,
        context: Context,
        deadline: Deadline,
        *,
        for_write: bool = False,
        fresh: bool = False,
    ) -> Generator[tuple[Channel, bool]]:
        """Lend a connection to one engine, and tell whether it is a new one.

        It goes back to the pool, unless the block raises or the pool was closed meanwhile.
        """
        pool = self._pool(context)
        if not pool.places.acquire(timeout=deadline.remaining("waiting for a free connection")):
            raise deadline.passed("waiting for a free connection")
        try:
            kept = None if fresh else self._kept(pool, for_write=for_write, deadline=deadline)
            channel = kept or self._open(context, pool, deadline)
            try:
                yield channel, kept is None
            except BaseException:
                channel.close()
                raise
            with pool.lock:
                is_back = not pool.closed
                if is_back:
                    pool.idle.append(channel)
            if not is_back:
                channel.close()
        finally:
            pool.places.release()

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for pool in pools:
            _empty(pool)
        self._masters.close()

    def drop(self, context: Context) -> None:
        """Close the connections to one server, its ssh connection included."""
        with self._lock:
            pool = self._pools.pop(context, None)
        if pool is not None:
            _empty(pool)
        if context.scheme == "ssh":
            self._masters.stop(context)

    def forget(self) -> None:
        """Start with no connections, without closing those inherited from a parent process."""
        self._pools = {}
        self._lock = threading.Lock()
        self._masters = SshMasters()

    def _pool(self, context: Context) -> _Pool:
        with self._lock:
            return self._pools.setdefault(context, _Pool())

    def _kept(self, pool: _Pool, *, for_write: bool, deadline: Deadline) -> Channel | None:
        while True:
            with pool.lock:
                if not pool.idle:
                    return None
                channel = pool.idle.pop()
            try:
                usable = channel.is_usable() and (not for_write or _answers(channel, deadline))
            except BaseException:
                channel.close()
                raise
            if usable:
                return channel
            channel.close()

    def _open(self, context: Context, pool: _Pool, deadline: Deadline) -> Channel:
        if context.scheme != "ssh":
            return _greeted(Channel(connect(context, deadline)), deadline)
        # One at a time, so that the first becomes the master and the others share it.
        if not pool.opening.acquire(timeout=deadline.remaining("waiting for ssh")):
            raise deadline.passed("waiting for ssh")
        try:
            for tries_left in reversed(range(_DROPPED_TRIES)):
                try:
                    # Whatever fails here failed before any request of ours was sent.
                    return _greeted(Channel(open_ssh(context, deadline, self._masters)), deadline)
                except UnreachableError as error:
                    if not tries_left or not was_dropped(error):
                        if _is_deadline(deadline):
                            self._masters.stop(context)
                        raise
                    pause_before_retry(deadline)
            raise AssertionError("the loop returns or raises")
        finally:
            pool.opening.release()


def _empty(pool: _Pool) -> None:
    with pool.lock:
        pool.closed = True
        idle, pool.idle = pool.idle, []
    for channel in idle:
        channel.close()


def _greeted(channel: Channel, deadline: Deadline) -> Channel:
    try:
        channel.greet(deadline)
    except BaseException:
        channel.close()
        raise
    return channel


def _is_deadline(deadline: Deadline) -> bool:
    try:
        deadline.remaining()
    except UnreachableError:
        return True
    return False


def _answers(channel: Channel, deadline: Deadline) -> bool:
    if time.monotonic() - channel.used_at < _STALE_AFTER_S:
        return True
    probe = Deadline(min(_STALE_AFTER_S, deadline.remaining()), deadline.server)
    try:
        channel.greet(probe)
    except (UnreachableError, RefusedError):
        return False
    return True


TRANSPORT = Transport()
"""The connections of this process; a fork starts afresh."""

atexit.register(TRANSPORT.close)
os.register_at_fork(after_in_child=TRANSPORT.forget)
