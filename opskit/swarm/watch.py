"""What an engine tells as it happens: its ``/events``, over a connection of its own.

An event says that another look is worth while, and nothing more is taken from it: so one that is
lost, told twice or told late can leave nothing wrong behind but for a while.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from typing import Self

import msgspec

from opskit.decoding import decode_json
from opskit.swarm import model
from opskit.swarm.context import Context
from opskit.swarm.lists import filtered
from opskit.swarm.observe import Observation
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT, Transport

# What is left out happens all the time and changes no list: a healthcheck alone is three events.
_ACTIONS = ("create", "update", "remove", "destroy", "start", "die", "health_status")
_KINDS = ("service", "node", "secret", "config", "network", "volume", "container")

_REST_OF_IT_S = 15.0
"""How long the rest of what has begun to arrive may take."""
_BYTES = 65_536
_LONGEST = 1024**2
"""Bytes of one event: more than an engine's labels make it."""

_ON_ITS_WAY = frozenset({"new", "allocated", "pending", "assigned", "accepted", "preparing",
                         "ready", "starting"})  # fmt: skip
_ROLLING = frozenset({"updating", "rollback_started"})


class _Actor(msgspec.Struct, rename="pascal"):
    attributes: dict[str, str] | None = None


class _Event(msgspec.Struct, rename="pascal"):
    type: str = ""
    actor: _Actor = msgspec.field(default_factory=_Actor)


def is_moving(seen: Observation) -> bool:
    """Return whether tasks or rollouts are on their way, of which no event need tell.

    Swarm tells of services and not of tasks, and an engine only of containers of its own node.
    """
    return any(
        (task.status.state in _ON_ITS_WAY and task.desired_state not in ("shutdown", "remove"))
        or (task.status.state == "running" and task.desired_state in ("shutdown", "remove"))
        for task in seen.tasks
    ) or any(one.update_status and one.update_status.state in _ROLLING for one in seen.services)


class EventStream:
    """The events of one engine from now on, for one thread.

    Parameters
    ----------
    context
        The engine.
    deadline
        When it must have begun.
    bell
        A descriptor: when it can be read, nobody waits any longer.
    transport
        Opens the connection.
    kinds
        What to be told of; by default all that is in any list.

    Raises
    ------
    UnreachableError
        No answer.
    EngineError
        The engine, or what stands before it, refuses to tell.
    """

    def __init__(
        self,
        context: Context,
        deadline: Deadline,
        bell: int,
        transport: Transport = TRANSPORT,
        kinds: Sequence[str] = _KINDS,
    ) -> None:
        self._bell, self._lines = bell, _Lines()
        path = f"/events{filtered(type=kinds, event=_ACTIONS)}"
        self._connection = transport.dial(context, deadline)
        self._stream = self._connection.stream
        try:
            reply = self._connection.follow(path, deadline, bell)
            self._lines.is_chunked = bool(reply.chunked)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more of it."""
        self._connection.close()

    def wait(self, seconds: float) -> bool:
        """Wait until something happens that another look would show.

        Returns
        -------
        bool
            Whether something did; else the time is up, or the bell rings.

        Raises
        ------
        UnreachableError
            The stream ended or broke: what happens from here on is not told.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._arrives(left):
            if self._take():
                return True
        return False

    def _arrives(self, seconds: float) -> bool:
        """Wait for bytes; nothing has arrived when the bell rings."""
        return not self._stream.is_quiet() or self._stream.comes_before(self._bell, seconds)

    def _take(self) -> bool:
        """Read what has arrived, and tell whether any of it matters."""
        stream, matters = self._stream, False
        stream.deadline = Deadline(_REST_OF_IT_S, stream.deadline.server)
        while True:
            data = stream.reader.read1(_BYTES)
            try:
                matters = any(map(_matters, self._lines.of(data))) or matters
            except EOFError as error:
                raise stream.lost(error) from None
            if self._lines.rest > _LONGEST:
                raise stream.flooded()
            # TLS holds back what poll cannot see.
            if not (isinstance(stream.sock, ssl.SSLSocket) and stream.sock.pending()):
                return matters


def _matters(line: bytes) -> bool:
    try:
        event = decode_json(line, _Event)
    except msgspec.MsgspecError:
        # Something happened, whatever it was.
        return True
    # Containers that somebody starts without Swarm are in no list.
    return event.type != "container" or model.TASK_LABEL in (event.actor.attributes or {})


class _Lines:
    """Puts lines together again, out of the chunks that HTTP sends them in."""

    def __init__(self) -> None:
        self.is_chunked = False
        self._coded, self._plain, self._left = b"", b"", 0

    @property
    def rest(self) -> int:
        """How many bytes wait for the end of their line."""
        return len(self._coded) + len(self._plain)

    def of(self, data: bytes) -> list[bytes]:
        """Return the lines that end with this data.

        Raises
        ------
        EOFError
            There are no more.
        """
        if not data:
            raise EOFError("the engine ended it")
        self._plain += self._content(data) if self.is_chunked else data
        *lines, self._plain = self._plain.split(b"\n")
        return [line for line in lines if line]

    def _content(self, data: bytes) -> bytes:
        self._coded += data
        content = bytearray()
        while self._coded:
            if self._left:
                piece = self._coded[: self._left]
                content += piece
                self._left -= len(piece)
                self._coded = self._coded[len(piece) :]
                continue
            size, is_whole, rest = self._coded.partition(b"\r\n")
            if not is_whole:
                break
            self._coded = rest
            # An empty line ends the chunk before.
            if size:
                self._left = _size(size)
        return bytes(content)


def _size(text: bytes) -> int:
    try:
        size = int(text.partition(b";")[0], 16)
    except ValueError:
        raise EOFError("what it sent is damaged") from None
    if size <= 0:
        raise EOFError("the engine ended it")
    return size
