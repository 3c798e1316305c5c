"""``docker.APIClient`` over opskit's own streams.

The SDK has no deadline for a whole exchange, follows the current Docker context, and starts a
process for each request to an ``ssh://`` address: so the stream below it is opskit's, mounted
here and nowhere else. Import this module late: it brings requests along.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import docker
from docker.errors import APIError, DockerException
from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from opskit.errors import InputError, RefusedError
from opskit.swarm.context import docker_config_dir
from opskit.swarm.refusal import refusal
from opskit.swarm.stream import Stream

_BASE_URL = "http://docker:80"
"""Names nobody: whatever it says, requests go down the stream."""


class EngineClient(docker.APIClient):
    """The docker SDK's client on one stream, for one thread at a time.

    Parameters
    ----------
    stream
        Connected to the engine; its deadline bounds whatever the client does.
    api
        The version of the API to speak, as negotiated.
    reply_limit
        Bytes that a reply may have which is kept whole.

    Raises
    ------
    InputError
        The docker client's own configuration cannot be used.
    """

    def __init__(self, stream: Stream, api: str, reply_limit: int) -> None:
        try:
            super().__init__(base_url=_BASE_URL, version=api, timeout=None)  # type: ignore[arg-type]
        except (DockerException, AttributeError, TypeError, ValueError):
            # It reads the registry logins, whose text must not be shown.
            raise InputError(
                "the docker client's configuration is damaged.",
                path=docker_config_dir() / "config.json",
                remedy="Mend it, or move it away and log in again: docker login.",
            ) from None
        # Neither proxies nor a netrc of the environment concern an engine that is connected.
        self.trust_env = False
        self.adapters.clear()
        self.mount(_BASE_URL, _StreamAdapter(stream, reply_limit))
        self._stream = stream

    def bare(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Make one exchange that the SDK has no method for, or whose reply it would reshape."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        url = f"{self.base_url}/v{self.api_version}{path}"
        return self.request(method, url, data=body, headers=headers)

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Make one bare exchange, and return the reply's body unless the engine refuses."""
        reply = self.bare(method, path, body)
        self._raise_for_status(reply)  # pyright: ignore[reportAttributeAccessIssue]
        return reply.content

    def _get_raw_response_socket(self, response: Response) -> Stream:
        """Return what an exec goes on with when it leaves HTTP.

        The SDK would take the socket, and lose what is read of the stream already.
        """
        self._raise_for_status(response)  # pyright: ignore[reportAttributeAccessIssue]
        return self._stream


@contextmanager
def translated(stream: Stream) -> Generator[None]:
    """Turn what the SDK raises into opskit's errors.

    Raises
    ------
    EngineError
        The engine refused.
    UnreachableError
        The exchange broke off.
    """
    try:
        yield
    except APIError as error:
        reply, server = error.response, stream.deadline.server
        assert reply is not None, "the SDK makes it of a reply"
        failure = refusal(reply.status_code, reply.content, server=server)
    except RequestException as error:
        failure = stream.lost(_root(error))
    else:
        return
    # Not as its cause: that holds the request, and so perhaps a secret's value.
    raise failure


def _root(error: BaseException) -> Exception:
    """Return what went wrong beneath the layers of requests and urllib3."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    return error if isinstance(error, Exception) else Exception(str(error))


class _StreamAdapter(HTTPAdapter):
    """The seam: whatever a session sends goes down one stream."""

    def __init__(self, stream: Stream, reply_limit: int) -> None:
        super().__init__()
        self._stream, self._pool, self._reply_limit = stream, _Pool(stream), reply_limit

    def send(self, request: PreparedRequest, stream: bool = False, **options: Any) -> Response:  # type: ignore[override]
        # What is streamed, such as logs, is not kept whole.
        self._stream.allowance = None if stream else self._reply_limit
        reply = super().send(request, stream=stream, **options)
        if reply.is_redirect:
            self._stream.close()
            raise RefusedError(
                f"what answers there sends opskit elsewhere (HTTP {reply.status_code}). "
                "Check the host of its Docker context.",
                server=self._stream.deadline.server,
                status=reply.status_code,
            )
        return reply

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        return self._pool

    def request_url(self, request: PreparedRequest, *_: Any, **__: Any) -> str:
        return request.path_url


class _Pool(HTTPConnectionPool):
    def __init__(self, stream: Stream) -> None:
        super().__init__("docker")
        self._stream = stream

    def _new_conn(self) -> HTTPConnection:  # type: ignore[override]
        return _Lent(self._stream)


class _Lent(HTTPConnection):
    def __init__(self, stream: Stream) -> None:
        super().__init__("docker")
        self._stream = stream

    def connect(self) -> None:
        self.sock = self._stream  # type: ignore[assignment]

    @property
    def is_connected(self) -> bool:
        return not self._stream.is_over
