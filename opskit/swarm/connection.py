"""One HTTP/1.1 connection to one engine, used by one thread at a time."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from opskit.errors import RefusedError, UnreachableError
from opskit.settings import read_settings
from opskit.swarm import refusal
from opskit.swarm.stream import Deadline, Stream

if TYPE_CHECKING:
    from opskit.swarm.client import EngineClient

_T = TypeVar("_T")

OLDEST_API = (1, 41)
"""Engine 20.10; older ones cannot count a service's tasks in the list reply."""
NEWEST_API = (1, 52)
"""The newest API whose replies opskit knows; newer engines still answer it."""

_REFUSAL_BYTES = 65_536
"""What is read of a refusal: far more than an engine's is."""
_PATIENCE = 1 / 2
"""What part of the time that is left a second reply may take before it is taken for not coming."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An engine's reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Flight:
    """Requests sent down one connection at once: how far their replies came.

    Parameters
    ----------
    replies
        Those that came, in the order of the requests.
    error
        What broke the connection, if it broke.
    is_refused
        Whether the other side seems to take one request at a time only.
    """

    replies: list[Reply]
    error: UnreachableError | None = None
    is_refused: bool = False


class SilentError(UnreachableError):
    """Nothing came, and `Patience` was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for a first byte.

    Parameters
    ----------
    until
        At least until then.
    is_vain
        Whether to wait no longer, asked when nothing has come by then.
    """

    until: Deadline
    is_vain: Callable[[], bool]


class Connection:
    """A kept connection to one engine.

    Parameters
    ----------
    stream
        What it goes over.
    reply_limit
        MiB that the engine may answer with at once; by default what the settings say.

    Attributes
    ----------
    api
        The API version that is spoken on it. An engine that is upgraded restarts and so ends its
        connections: a version settled here holds as long as the connection does.
    """

    def __init__(self, stream: Stream, reply_limit: int | None = None) -> None:
        self.stream = stream
        self.api = ""
        self._landed: Flight | None = None
        self.used_at = time.monotonic()
        self._pipelines = False
        self._client: EngineClient | None = None
        self._mib = read_settings().reply_limit if reply_limit is None else reply_limit
        self._reply_limit = self._mib * 1024**2

    def greet(
        self, deadline: Deadline, flight: Sequence[str] = (), patience: Patience | None = None
    ) -> None:
        """Ping, and settle the API version of this connection.

        Parameters
        ----------
        deadline
            When it must be over.
        flight
            What to ask in the same breath. It goes out before the version is known, so without
            one, which every engine answers in its newest; replies that are refused for that, or
            are newer than opskit knows, are dropped.
        patience
            For the first byte, where it may be over sooner.

        Raises
        ------
        UnreachableError
            No answer. A `SilentError` when `patience` is over.
        RefusedError
            An answer that is no engine's, or an engine too old.
        """
        found = self._send(["/_ping", *flight], deadline, patience)
        if found.error is not None and not found.replies:
            raise found.error
        pong, *replies = found.replies
        offered = _api(pong, deadline.server)
        self.api = ".".join(str(part) for part in min(offered, NEWEST_API))
        if offered <= NEWEST_API and not any(400 <= reply.status < 500 for reply in replies):
            self._landed = Flight(replies, found.error, found.is_refused) if flight else None

    def resumed(self, stream: Stream) -> Connection:
        """Return a connection that goes on, over another stream, where this one ended."""
        other = Connection(stream, self._mib)
        other.api, other._landed = self.api, self._landed
        return other

    @property
    def has_landed(self) -> bool:
        """Whether something came of the flight that went out with the greeting."""
        landed = self._landed
        return landed is not None and bool(landed.replies or landed.error)

    def take_landed(self) -> Flight | None:
        """Return what came of the flight that went out with the greeting, the first time only."""
        landed, self._landed = self._landed, None
        return landed

    def ask(self, paths: Sequence[str], deadline: Deadline) -> Flight:
        """Send GETs for all paths at once, and read their replies."""
        return self._send([f"/v{self.api}{path}" for path in paths], deadline)

    def follow(self, path: str, deadline: Deadline, bell: int) -> http.client.HTTPResponse:
        """Send a GET whose reply goes on and on, and return that with only its head read.

        Parameters
        ----------
        path
            What to get, without the API version.
        deadline
            When its head must be there.
        bell
            A descriptor: when it can be read, nobody waits for the head any longer. Some proxies
            hold it back until there is more.

        Raises
        ------
        UnreachableError
            The connection broke off, the time was up, or the bell rang.
        EngineError
            The engine, or what stands before it, refuses.
        """
        stream = self.stream
        stream.deadline, stream.allowance = deadline, self._reply_limit
        try:
            stream.sendall(_get(f"/v{self.api}{path}"))
            if not stream.comes_before(bell, deadline.remaining()):
                deadline.remaining()
                raise UnreachableError("nobody waits for it any longer.", server=deadline.server)
            reply = http.client.HTTPResponse(stream, method="GET")  # type: ignore[arg-type]
            reply.begin()
            if reply.status >= http.client.BAD_REQUEST:
                said = reply.read(_REFUSAL_BYTES)
                raise refusal.refusal(reply.status, said, server=deadline.server)
        except (http.client.HTTPException, ValueError) as error:
            # The last is http.client's word for a chunk's size below nothing.
            raise stream.lost(error) from error
        except (MemoryError, OverflowError):
            raise stream.flooded() from None
        stream.allowance = None
        return reply

    def call(self, do: Callable[[EngineClient], _T], deadline: Deadline) -> _T:
        """Make exchanges through the docker SDK.

        Raises
        ------
        UnreachableError
            An exchange broke off; of a write, nothing is known.
        EngineError
            The engine refused.
        """
        from opskit.swarm.client import EngineClient, translated

        self.stream.deadline = deadline
        with translated(self.stream):
            if self._client is None:
                self._client = EngineClient(self.stream, self.api, self._reply_limit)
            result = do(self._client)
        self.used_at = time.monotonic()
        return result

    def is_usable(self) -> bool:
        """Return whether the connection is still open and between exchanges."""
        return not self.stream.is_over and self.stream.is_quiet()

    def close(self) -> None:
        """Close the connection and what stands behind it."""
        self.stream.end()

    def _send(
        self, paths: Sequence[str], deadline: Deadline, patience: Patience | None = None
    ) -> Flight:
        # Requests are small: all of them fit into any socket's buffer, so that the other side
        # can never wait for its replies to be read before it has read the last request.
        stream, found = self.stream, Flight([])
        stream.deadline, stream.allowance = deadline, self._reply_limit
        try:
            stream.sendall(b"".join(map(_get, paths)))
            if patience is not None and self._is_silent(patience):
                raise SilentError("nothing came.", server=deadline.server)
            while len(found.replies) < len(paths) and not stream.is_over:
                if len(found.replies) == 1 and not self._pipelines and not self._goes_on(deadline):
                    found.is_refused = True
                    break
                reply = http.client.HTTPResponse(stream, method="GET")  # type: ignore[arg-type]
                reply.begin()
                if (reply.length or 0) > self._reply_limit:
                    raise stream.flooded()
                if reply.will_close:
                    stream.close()
                    # Its body is not read: requests left unread may reset the connection in it.
                    if found.replies and reply.status == http.client.BAD_REQUEST:
                        found.is_refused = True
                        break
                body = reply.read()
                self._pipelines = self._pipelines or bool(found.replies)
                found.replies.append(Reply(status=reply.status, headers=_lower(reply), body=body))
        except (http.client.HTTPException, UnreachableError, ValueError) as error:
            # The last is http.client's word for a chunk's size below nothing.
            found.error = stream.lost(error)
        except (MemoryError, OverflowError):
            # A chunk is read at once, however large it is said to be.
            raise stream.flooded() from None
        self.used_at = time.monotonic()
        return found

    def _is_silent(self, patience: Patience) -> bool:
        has_more = self.stream.has_more
        # It may come while the other end is tried.
        return not has_more(patience.until.remaining()) and patience.is_vain() and not has_more(0.0)

    def _goes_on(self, deadline: Deadline) -> bool:
        """Wait for the first byte of a second reply, which some proxies never send."""
        stream = self.stream
        stream.deadline = patience = Deadline(deadline.remaining() * _PATIENCE, deadline.server)
        try:
            stream.reader.peek(1)
        except UnreachableError:
            if deadline.is_over() or not patience.is_over():
                raise
            stream.close()
            return False
        finally:
            stream.deadline = deadline
        return True


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: docker\r\n\r\n".encode("ascii")


def _lower(reply: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.getheaders()}


def _api(pong: Reply, server: str) -> tuple[int, int]:
    """Read the newest API version an engine offers out of its answer to a ping."""
    if pong.status != http.client.OK:
        said = pong.body[:200].decode(errors="replace").strip()
        raise RefusedError(
            f"the API refused opskit (HTTP {pong.status}: {said}).",
            server=server,
            status=pong.status,
        )
    try:
        major, minor = pong.headers["api-version"].split(".")
        offered = int(major), int(minor)
    except (KeyError, ValueError):
        raise RefusedError(
            "what answers there is no Docker Engine. Check the host of its Docker context.",
            server=server,
            status=pong.status,
        ) from None
    if offered < OLDEST_API:
        raise RefusedError(
            f"its Docker Engine is too old (API {major}.{minor}). Upgrade it to 20.10 or newer.",
            server=server,
            status=pong.status,
        )
    return offered
