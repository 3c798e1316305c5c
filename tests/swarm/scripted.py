"""Small servers on a unix socket that answer as a test tells them, well or badly."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.waiting import LIMIT

INFO = {
    "Name": "scripted",
    "Swarm": {"LocalNodeState": "active", "ControlAvailable": True, "NodeID": "n"},
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, without the API version."""

    method: str
    path: str
    version: str
    body: bytes

    @property
    def answer(self) -> Any:
        """What a small swarm with one secret answers."""
        one = {"ID": "s1", "CreatedAt": "2026-11-01T00:00:00Z", "Spec": {"Name": "token_v1"}}
        return {"/info": INFO, "/secrets": [one], "/volumes": {"Volumes": []}}.get(self.path, [])


class Conversation:
    """One connection, from the server's side."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock, self.number = sock, number
        self.asked: list[Request] = []
        self._read = sock.makefile("rb")

    def __iter__(self) -> Iterator[Request]:
        while request := self.next():
            yield request

    def next(self) -> Request | None:
        """Read the next request; none when the other side has ended it."""
        line = self._read.readline().decode()
        if not line:
            return None
        method, target, _ = line.split()
        length = 0
        while (header := self._read.readline()).strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        version, path = re.fullmatch(r"(/v[\d.]+)?(/[^?]*).*", target).groups()  # type: ignore[union-attr]
        self.asked.append(Request(method, path, version or "", self._read.read(length)))
        return self.asked[-1]

    def leave_the_rest(self) -> None:
        """Take no byte before it is needed, so that ending it with requests unread resets it."""
        self._read = self.sock.makefile("rb", 1)

    def has_more(self) -> bool:
        """Tell whether more is there already: before a reply, whether it came with the request."""
        self.sock.setblocking(False)
        try:
            return bool(self._read.peek(1))
        except OSError:
            return False
        finally:
            self.sock.setblocking(True)

    def drop_what_came(self) -> None:
        """Forget what came behind the last request."""
        while self.has_more():
            self._read.read1(65_536)

    def reply(
        self, body: Any, status: int = 200, *, chunked: bool = False, close: bool = False
    ) -> None:
        """Send one reply."""
        self.sock.sendall(encoded(body, status, chunked=chunked, close=close))

    def end(self) -> None:
        """End it without a word."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self._read.close()
        self.sock.close()


def encoded(body: Any, status: int = 200, *, chunked: bool = False, close: bool = False) -> bytes:
    """Return a reply's bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Said\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n"
    if close:
        head += "Connection: close\r\n"
    if not chunked:
        return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
    pieces = [content[at : at + 7] for at in range(0, len(content), 7)]
    framed = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + framed + b"0\r\n\r\n"


Talk = Callable[[Conversation], None]


@dataclass(slots=True)
class Served:
    """A server, and what it was asked on each connection."""

    host: str
    conversations: list[Conversation] = field(default_factory=list)

    @property
    def asked(self) -> list[list[str]]:
        """The paths, by connection; greetings left out."""
        return [
            [request.path for request in one.asked if request.path != "/_ping"]
            for one in self.conversations
        ]

    def sent(self, method: str) -> int:
        """Count the requests of one method."""
        return sum(r.method == method for one in self.conversations for r in one.asked)


@contextmanager
def serving(path: Path, talk: Talk) -> Iterator[Served]:
    """Serve each connection in a thread of its own by what `talk` does with it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    served = Served(f"unix://{path}")
    threads: list[threading.Thread] = []

    def run(one: Conversation) -> None:
        with contextlib.suppress(OSError, ValueError):
            talk(one)
        one.end()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                one = Conversation(listener.accept()[0], len(served.conversations))
                served.conversations.append(one)
                threads.append(threading.Thread(target=run, args=[one], daemon=True))
                threads[-1].start()

    threads.append(threading.Thread(target=accept, daemon=True))
    threads[0].start()
    try:
        yield served
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in served.conversations:
            with contextlib.suppress(OSError):
                one.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(LIMIT)
