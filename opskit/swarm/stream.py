"""A connected byte stream to one engine whose every read and write obeys a deadline.

The deadline is one point in time by which the whole exchange must be over, whatever hangs in it.
"""

from __future__ import annotations

import io
import select
import socket
import subprocess
import time
from collections.abc import Callable
from typing import IO, Protocol

from opskit.errors import RefusedError, UnreachableError


class Deadline:
    """A deadline for one server.

    Parameters
    ----------
    seconds
        From now; monotonic, so that a clock change does not matter.
    server
        Named in the error when the time is up.
    """

    __slots__ = ("_at", "seconds", "server")

    def __init__(self, seconds: float, server: str = "") -> None:
        self.seconds, self.server = seconds, server
        self._at = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Return whether the time is up."""
        return time.monotonic() >= self._at

    def remaining(self, doing: str = "waiting for an answer") -> float:
        """Return the seconds left, at most; the value suits ``socket.settimeout``.

        Raises
        ------
        UnreachableError
            The time is up while `doing`.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise self.passed(doing)
        return left

    def passed(self, doing: str) -> UnreachableError:
        """Make the error for a deadline that passed while `doing`."""
        return UnreachableError(
            f"no answer within {self.seconds:g} s ({doing}).", server=self.server
        )


_LAST_WORDS_S = 10.0
"""An ssh client that closed its side is about to end; what it said decides on another try."""
_BUFFER_BYTES = 65_536


class _Buffer(Protocol):
    """What ``readinto`` fills (``collections.abc.Buffer`` arrives with Python 3.12)."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


class Stream:
    """A socket with a movable deadline.

    It can stand for the socket of ``http.client`` and urllib3: they read one reply after the
    other from the one `reader`, so that nothing is lost of replies that came together.

    Parameters
    ----------
    sock
        Connected; owned by the stream from here on.
    deadline
        The first deadline; set `deadline` anew before each exchange.
    process, stderr
        The ssh client behind the socket, when there is one, and its messages.
    explain
        Turns those messages into a sentence for the operator, and the next step.

    Attributes
    ----------
    is_over
        Whether no further exchange may be made: the other side said so, or something broke.
    allowance
        Bytes that the other side may still send; ``None`` when what it sends is not kept.
    """

    def __init__(
        self,
        sock: socket.socket,
        deadline: Deadline,
        *,
        process: subprocess.Popen[bytes] | None = None,
        stderr: IO[bytes] | None = None,
        explain: Callable[[str], tuple[str, str]] = lambda said: (said, ""),
    ) -> None:
        self.sock, self.deadline, self.is_over = sock, deadline, False
        self.allowance: int | None = None
        self.reader: io.BufferedReader = _Reader(_Raw(self), _BUFFER_BYTES)
        self._process, self._stderr, self._explain = process, stderr, explain

    def sendall(self, data: bytes) -> None:
        """Send everything before the deadline.

        Raises
        ------
        UnreachableError
            The connection broke off, or the time was up.
        """
        try:
            self.sock.settimeout(self.deadline.remaining("sending"))
            self.sock.sendall(data)
        except OSError as error:
            raise self.lost(error) from error

    def makefile(self, *_: object) -> io.BufferedReader:
        """Return the reader, as ``http.client`` asks for it before each reply."""
        return self.reader

    def settimeout(self, _: float | None) -> None:
        """Ignore what urllib3 thinks of time: the deadline decides."""

    def close(self) -> None:
        """Note that an exchange was the last, which is when ``http.client`` closes a socket.

        What the ssh client said can still be read; see `end`.
        """
        self.is_over = True

    def end_of_input(self) -> None:
        """Tell the other side that nothing more will be sent."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self.lost(error) from error

    def is_quiet(self) -> bool:
        """Return whether an idle stream is still open: nothing to read, not even its end."""
        return not self.has_more(0.0) and not self._has_buffered()

    def has_more(self, seconds: float) -> bool:
        """Wait for more to read, or its end, behind what was read; return whether it is there."""
        # poll, since select fails on descriptors beyond 1,023.
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def comes_before(self, bell: int, seconds: float) -> bool:
        """Wait for more to read, or its end; false when the bell rings or the time is up."""
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        poller.register(bell, select.POLLIN)
        ready = {descriptor for descriptor, _ in poller.poll(seconds * 1000)}
        return bool(ready) and bell not in ready

    def _has_buffered(self) -> bool:
        """Return whether bytes are left behind the last reply."""
        # With no time left, the reader gives what it has and cannot ask for more.
        self.deadline = Deadline(0.0, self.deadline.server)
        try:
            return bool(self.reader.peek(1))
        except UnreachableError:
            return False

    def lost(self, error: Exception) -> UnreachableError:
        """Return the error for a broken exchange, with what the ssh client said if it spoke."""
        self.is_over = True
        if isinstance(error, UnreachableError):
            return error
        if isinstance(error, TimeoutError):
            return self.deadline.passed("waiting for an answer")
        said = self._last_words()
        what, remedy = f"the connection was lost ({error or 'closed'}).", ""
        if said:
            what, remedy = self._explain(said)
        return UnreachableError(what, server=self.deadline.server, remedy=remedy)

    def flooded(self) -> RefusedError:
        """Return the error for a reply that is larger than any engine's, and hear no more of it."""
        self.is_over = True
        return RefusedError(
            "its reply is larger than opskit takes. Is a Docker Engine at the host of its Docker "
            "context? If so, raise reply_limit in opskit's settings.",
            server=self.deadline.server,
        )

    def _last_words(self) -> str:
        if self._process is None or self._stderr is None:
            return ""
        try:
            self._process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            return ""
        self._stderr.seek(0)
        return self._stderr.read(65536).decode(errors="replace").strip()

    def end(self) -> None:
        """Close the socket and end the ssh client behind it."""
        self.is_over = True
        self.sock.close()
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(2)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._process = None
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None


class _Raw(io.RawIOBase):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: _Buffer, /) -> int:
        stream = self._stream
        try:
            stream.sock.settimeout(stream.deadline.remaining("reading"))
            count = stream.sock.recv_into(buffer)
        except OSError as error:
            raise stream.lost(error) from error
        if stream.allowance is not None:
            stream.allowance -= count
            if stream.allowance < 0:
                raise stream.flooded()
        return count


class _Reader(io.BufferedReader):
    def close(self) -> None:
        """Stay open: ``http.client`` closes what it has read one reply from."""

    def flush(self) -> None:
        """Do nothing, also when what is read from is collected before a reply that broke off."""
