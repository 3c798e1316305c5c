"""One HTTP/1.1 connection to one engine."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass

from opskit.errors import RefusedError, UnreachableError
from opskit.swarm.deadline import Deadline
from opskit.swarm.stream import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An engine's reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes


OLDEST_API = (1, 41)
"""Engine 20.10; older ones cannot count a service's tasks in the list reply."""
NEWEST_API = (1, 52)
"""The newest API whose replies opskit knows; newer engines still answer it."""


class Channel:
    """One HTTP/1.1 keep-alive connection to one engine; used by one thread at a time."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.api = ""
        self.used_at = time.monotonic()
        self._http = http.client.HTTPConnection("docker")
        self._http.auto_open = 0
        self._http.sock = _Lent(stream)

    def greet(self, deadline: Deadline) -> None:
        """Ping, and settle the API version of this connection.

        An engine that is upgraded restarts and so ends its connections: a version settled
        here holds as long as the connection does.

        Raises
        ------
        UnreachableError
            No answer.
        RefusedError
            An answer that is no engine's, or an engine too old.
        """
        server = deadline.server
        reply = self.exchange("GET", "/_ping", None, deadline)
        if reply.status != http.client.OK:
            said = reply.body[:200].decode(errors="replace").strip()
            raise RefusedError(
                f"the API refused opskit (HTTP {reply.status}: {said}).",
                server=server,
                status=reply.status,
            )
        try:
            major, minor = reply.headers["api-version"].split(".")
            offered = int(major), int(minor)
        except (KeyError, ValueError):
            raise RefusedError(
                "what answers there is no Docker Engine. Check the host of its Docker context.",
                server=server,
                status=reply.status,
            ) from None
        if offered < OLDEST_API:
            raise RefusedError(
                f"its Docker Engine is too old (API {major}.{minor}). "
                "Upgrade it to 20.10 or newer.",
                server=server,
                status=reply.status,
            )
        self.api = ".".join(str(part) for part in min(offered, NEWEST_API))

    def request(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> Response:
        """Make one exchange in the settled API version (see `exchange`)."""
        return self.exchange(method, f"/v{self.api}{path}", body, deadline)

    def exchange(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> Response:
        """Make one exchange.

        Raises
        ------
        UnreachableError
            The exchange broke off; of a write, nothing is known.
        """
        self.stream.deadline = deadline
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            self._http.request(method, path, body=body, headers=headers)
            reply = self._http.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException, UnreachableError) as error:
            raise self.stream.lost(error) from error
        self.used_at = time.monotonic()
        return Response(status=reply.status, headers=_lower(reply), body=content)

    def upgrade(self, path: str, body: bytes, deadline: Deadline) -> tuple[Response, Stream]:
        """Post, and on status 101 or 200 give the raw stream that follows the headers."""
        self.stream.deadline = deadline
        headers = {
            "Content-Type": "application/json",
            "Connection": "Upgrade",
            "Upgrade": "tcp",
        }
        try:
            self._http.request("POST", f"/v{self.api}{path}", body=body, headers=headers)
            # Unbuffered, so that no byte of the raw stream is swallowed with the headers.
            reply = http.client.HTTPResponse(_Lent(self.stream, 1), method="POST")  # type: ignore[arg-type]
            reply.begin()
            content = b"" if reply.status in (101, 200) else reply.read()
        except (OSError, http.client.HTTPException, UnreachableError) as error:
            raise self.stream.lost(error) from error
        return Response(status=reply.status, headers=_lower(reply), body=content), self.stream

    def is_usable(self) -> bool:
        """Tell whether the connection is still open and between exchanges."""
        return self._http.sock is not None and self.stream.is_quiet()

    def close(self) -> None:
        """Close the connection and what stands behind it."""
        self._http.close()
        self.stream.close()


class _Lent:
    """A stream as the socket of ``http.client``, which may close it whenever it sees fit.

    Kept open underneath, so that what the ssh client said can still be read.
    """

    def __init__(self, stream: Stream, buffering: int = 65536) -> None:
        self._stream, self._buffering = stream, buffering

    def sendall(self, data: bytes) -> None:
        self._stream.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return self._stream.reader(self._buffering)

    def close(self) -> None:
        """Leave the stream to the channel."""


def _lower(reply: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.getheaders()}
