"""A line between opskit and an engine that a test can cut, and on which it hears what is asked."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import LIMIT

_ASKED = re.compile(rb"GET /v[\d.]+(/\w+)")


class Line:
    """Carries connections to a unix socket, both ways.

    Attributes
    ----------
    host
        Where it begins.
    asked
        The paths that were asked for.
    """

    def __init__(self, path: Path, to: str) -> None:
        self.host, self.asked = f"unix://{path}", list[str]()
        self._to = to.removeprefix("unix://")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: dict[socket.socket, bool] = {}
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    @property
    def connections(self) -> int:
        """How many are open."""
        return sum(self._open.values()) // 2

    def cut(self) -> None:
        """Break every connection; new ones go through."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Let nothing through any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(LIMIT)

    def _begin(self, *target: object) -> None:
        self._threads.append(threading.Thread(target=target[0], args=target[1:], daemon=True))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here = self._listener.accept()[0]
                there = socket.socket(socket.AF_UNIX)
                try:
                    there.connect(self._to)
                except OSError:
                    here.close()
                    continue
                self._open |= {here: True, there: True}
                self._begin(self._carry, here, there)
                self._begin(self._carry, there, here)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self.asked += [found.decode() for found in _ASKED.findall(data)]
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open[source] = False
        source.close()


@contextmanager
def line(path: Path, to: str) -> Iterator[Line]:
    """Lay a line to an engine."""
    laid = Line(path, to)
    try:
        yield laid
    finally:
        laid.end()
