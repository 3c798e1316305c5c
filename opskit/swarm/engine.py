"""One engine: typed reads by list endpoints, and the few writes opskit makes."""

# The docker SDK's types leave some of its replies unknown.
# pyright: reportUnknownVariableType=false, reportUnknownLambdaType=false

from __future__ import annotations

import base64
import copy
import hashlib
import io
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote

import msgspec

from opskit.errors import NotFoundError, RefusedError, UnreachableError
from opskit.swarm import lists, model
from opskit.swarm.context import Context
from opskit.swarm.frames import is_framed, read_frames
from opskit.swarm.lists import Listing, SpecBytes, decoded, filtered, with_digest
from opskit.swarm.lookout import Lookout
from opskit.swarm.stream import Deadline, Stream
from opskit.swarm.transport import TRANSPORT, Transport

if TYPE_CHECKING:
    from opskit.swarm.client import EngineClient

_T = TypeVar("_T")

RawSpec = dict[str, Any]
"""A spec as the engine wrote it, with fields opskit knows nothing of; posted back whole."""


_EXEC_PAUSE_S = 0.05
_KEPT_BYTES = 65_536
"""How much of what a program says is kept."""
_SHOWN_BYTES = 500
"""How much is shown of what an engine says when it starts none."""


class _Made(msgspec.Struct):
    id: str = msgspec.field(name="ID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended; what it said is left out where this is shown."""

    code: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawService:
    """A service to be changed: as typed, and its whole spec as stored.

    `previous` is the spec before, with its digest; empty when there is none. Specs may hold values.
    """

    service: model.Service
    spec: RawSpec = field(repr=False)
    previous: RawSpec | None = field(default=None, repr=False)
    previous_digest: str = ""


class Engine:
    """An engine behind a Docker context.

    Parameters
    ----------
    context
        Where it is.
    seconds
        Deadline of each call, unless `deadline` is given.
    deadline
        One deadline for all calls together.
    transport
        The connections to use; by default those of this process.
    """

    def __init__(
        self,
        context: Context,
        *,
        seconds: float = 15.0,
        deadline: Deadline | None = None,
        transport: Transport = TRANSPORT,
    ) -> None:
        self.context = context
        self._seconds, self._deadline, self._transport = seconds, deadline, transport
        self._fence: Callable[[], None] = lambda: None

    @property
    def server(self) -> str:
        """The server's name."""
        return self.context.server

    def fenced(self, fence: Callable[[], None]) -> Engine:
        """Return this engine for somebody who may lose the right to write.

        `fence` is called directly before each write, and what it raises keeps that from being
        sent.
        """
        mine = copy.copy(self)
        mine._fence = fence
        return mine

    def lookout(self) -> Lookout:
        """Return a lookout over this engine's services, for all who wait for them."""
        return Lookout(self.context, seconds=self._seconds, transport=self._transport)

    def info(self) -> model.Info:
        """Read the engine's account of itself; answers on workers and outside a swarm too."""
        return self._list(lists.INFO)

    def nodes(self) -> tuple[model.Node, ...]:
        """Read all nodes of the swarm."""
        return self._list(lists.NODES)

    def services(self) -> tuple[model.Service, ...]:
        """Read all services with their task counts."""
        return self._list(lists.SERVICES)

    def tasks(self, service: str = "") -> tuple[model.Task, ...]:
        """Read all tasks, past ones included; or those of one service."""
        return self._list(lists.TASKS, filtered(service=_one(service)))

    def secrets(self, name: str = "") -> tuple[model.StoredObject, ...]:
        """Read all secrets; or the one with exactly this name."""
        found = self._list(lists.SECRETS, filtered(name=_one(name)))
        # The engine's filter matches prefixes.
        return tuple(s for s in found if s.spec.name == name) if name else found

    def configs(self, name: str = "") -> tuple[model.StoredObject, ...]:
        """Read all configs without their data; or the one with exactly this name."""
        found = self._list(lists.CONFIGS, filtered(name=_one(name)))
        return tuple(c for c in found if c.spec.name == name) if name else found

    def config(self, config_id: str) -> model.StoredObject:
        """Read one config by its id.

        Raises
        ------
        NotFoundError
            It was removed; one of the same name has another id.
        """
        body = self._read(f"/configs/{quote(config_id, safe='')}")
        return decoded(body, model.StoredObject, self.server)

    def networks(self) -> tuple[model.Network, ...]:
        """Read the networks this node knows."""
        return self._list(lists.NETWORKS)

    def volumes(self) -> tuple[model.Volume, ...]:
        """Read the volumes of this node."""
        return self._list(lists.VOLUMES)

    def containers(self, service: str = "") -> tuple[model.Container, ...]:
        """Read the running containers of Swarm's, or of one service (by id), on the node asked."""
        label = f"{model.SERVICE_LABEL}={service}" if service else model.SERVICE_LABEL
        path = "/containers/json" + filtered(label=[label])
        return decoded(self._read(path), tuple[model.Container, ...], self.server)

    def health(self, container: str) -> model.Health | None:
        """Read how the healthcheck of a container on the node that was asked stands."""
        body = self._read(f"/containers/{quote(container, safe='')}/json")
        return decoded(body, model.ContainerDetail, self.server).state.health

    def has_file(self, container: str, path: str) -> bool:
        """Return whether a container on the node that was asked has a file there.

        It is looked for in the container's own file system and its volumes. Of what is mounted
        over a path, the engine tells no more than that there is a place for it.
        """
        place = f"/containers/{quote(container, safe='')}/archive?path={quote(path, safe='')}"
        try:
            self._call(lambda client: client.ask("HEAD", place), is_read=True)
        except NotFoundError:
            return False
        return True

    def digest_at_registry(self, image: str, login: Mapping[str, Any]) -> str:
        """Ask the registry of an image, through the engine, for the digest of its tag.

        Raises
        ------
        EngineError
            The registry cannot be reached, has no such image, or wants other credentials.
        """
        found: dict[str, dict[str, str]] = self._call(
            lambda client: client.inspect_distribution(image, dict(login)), is_read=True
        )
        return found["Descriptor"]["digest"]

    def raw_service(self, service: str) -> RawService:
        """Read one service to change it: as stored, without the engine's defaults."""
        body = self._read(f"/services/{quote(service, safe='')}")
        typed = decoded(body, model.Service, self.server)
        stored = decoded(body, SpecBytes, self.server)
        before = bytes(stored.previous_spec).removeprefix(b"null")
        return RawService(
            service=with_digest(typed, stored, self.server),
            spec=decoded(bytes(stored.spec), RawSpec, self.server),
            previous=decoded(before, RawSpec, self.server) if before else None,
            previous_digest=hashlib.sha256(before).hexdigest() if before else "",
        )

    def create_secret(
        self,
        name: str,
        data: bytes,
        labels: Mapping[str, str],
        *,
        templating: model.Driver | None = None,
    ) -> str:
        """Create a secret and give its id; `templating` renders it for each task.

        Raises
        ------
        AlreadyExistsError
            The name is taken; nothing is ever overwritten.
        """
        coded = base64.b64encode(data).decode("ascii")
        spec: RawSpec = {"Name": name, "Labels": dict(labels), "Data": coded}
        if templating is not None:
            # Not through the SDK's own method, which knows nothing of it.
            spec["Templating"] = templating
        body = msgspec.json.encode(spec)
        made = self._write(lambda client: client.ask("POST", "/secrets/create", body))
        return decoded(made, _Made, self.server).id

    def label_secret(self, secret: model.StoredObject, labels: Mapping[str, str]) -> None:
        """Replace a secret's labels, the one part of it that can change."""
        spec = {"Name": secret.spec.name, "Labels": dict(labels)}
        index = secret.version.index
        self._post(f"/secrets/{secret.id}/update?version={index}", spec)

    def remove_secret(self, secret_id: str) -> None:
        """Remove a secret; the engine refuses while a service's current spec names it."""
        self._write(lambda client: client.remove_secret(secret_id))

    def create_config(self, name: str, data: bytes, labels: Mapping[str, str]) -> str:
        """Create a config and give its id; atomic across all managers."""
        made = self._write(lambda client: client.create_config(name, data, dict(labels)))
        return made["ID"]

    def label_config(
        self, config: model.StoredObject, data: bytes, labels: Mapping[str, str]
    ) -> None:
        """Replace a config's labels; its data must be sent unchanged."""
        coded = base64.b64encode(data).decode("ascii")
        spec = {"Name": config.spec.name, "Labels": dict(labels), "Data": coded}
        self._post(f"/configs/{config.id}/update?version={config.version.index}", spec)

    def remove_config(self, config_id: str) -> None:
        """Remove a config."""
        self._write(lambda client: client.remove_config(config_id))

    def update_service(self, service_id: str, index: int, spec: RawSpec) -> None:
        """Replace a service's whole spec, if its version index is still `index`.

        Raises
        ------
        StaleIndexError
            The service changed since it was read.
        """
        # Not through the SDK's own method, which puts defaults in place of what it does not know.
        self._post(f"/services/{quote(service_id, safe='')}/update?version={index}", spec)

    def service_logs(self, service: str, *, tail: int, since: str = "") -> list[tuple[int, bytes]]:
        """Read what a service's tasks wrote: pieces with the number of their stream.

        Each line stands behind its time.
        """
        more = f"&since={since}" if since else ""
        return self._logs(f"/services/{quote(service, safe='')}", f"tail={tail}{more}")

    def task_logs(self, task: str, *, tail: int) -> list[tuple[int, bytes]]:
        """Read what one task wrote, also after its end; see `service_logs`."""
        return self._logs(f"/tasks/{quote(task, safe='')}", f"tail={tail}")

    def remove_service(self, service_id: str) -> None:
        """Remove a service; its tasks end afterwards."""
        self._write(lambda client: client.remove_service(service_id))

    def remove_network(self, network_id: str) -> None:
        """Remove a network; the engine refuses while something is attached."""
        self._write(lambda client: client.remove_network(network_id))

    def execute(self, container: str, argv: Sequence[str], stdin: bytes = b"") -> Ended:
        """Run a program in a container of the node that was asked, and wait for its end.

        Parameters
        ----------
        container
            The container's id.
        argv
            The program and its arguments; never a secret's value.
        stdin
            Its input. Over TLS the program is not told where it ends.

        Raises
        ------
        UnreachableError
            The connection broke off or the time was up; the program may have done its work.
        EngineError
            There is no such container, or it cannot run the program.
        """
        deadline = self._time()
        made = self._write(
            lambda client: client.exec_create(container, list(argv), stdin=True), deadline
        )
        ident = made["Id"]

        def start(client: EngineClient) -> tuple[bytes, bytes]:
            stream = cast("Stream", client.exec_start(ident, socket=True))
            return _converse(stream, stdin, server=self.server)

        stdout, stderr = self._write(start, deadline)
        while True:
            state = self._call(lambda client: client.exec_inspect(ident), is_read=True)
            if not state["Running"] and state["ExitCode"] is not None:
                return Ended(code=state["ExitCode"], stdout=stdout, stderr=stderr)
            # The output ends a moment before the engine has noted the exit status.
            time.sleep(min(_EXEC_PAUSE_S, deadline.remaining("waiting for the program's end")))

    def _list(self, listing: Listing[_T], query: str = "") -> _T:
        return listing.read(self._read(listing.path + query), self.server)

    def _read(self, path: str) -> bytes:
        return self._call(lambda client: client.ask("GET", path), is_read=True)

    def _logs(self, path: str, query: str) -> list[tuple[int, bytes]]:
        body = self._read(f"{path}/logs?stdout=1&stderr=1&timestamps=1&{query}")
        # All of it in one buffer: a line that lay across the end of one would come in two pieces.
        size = max(len(body), 1)
        reader: io.BufferedReader = io.BufferedReader(io.BytesIO(body), size)  # type: ignore[arg-type]
        return list(read_frames(reader)) if is_framed(reader) else [(1, body)]

    def _post(self, path: str, spec: Mapping[str, Any]) -> None:
        body = msgspec.json.encode(spec)
        self._write(lambda client: client.ask("POST", path, body))

    def _write(self, do: Callable[[EngineClient], _T], deadline: Deadline | None = None) -> _T:
        self._fence()
        return self._call(do, deadline, is_read=False)

    def _call(
        self, do: Callable[[EngineClient], _T], deadline: Deadline | None = None, *, is_read: bool
    ) -> _T:
        return self._transport.call(self.context, do, deadline or self._time(), is_read=is_read)

    def _time(self) -> Deadline:
        return self._deadline or Deadline(self._seconds, self.server)


def _one(value: str) -> list[str]:
    return [value] if value else []


def _converse(stream: Stream, stdin: bytes, *, server: str) -> tuple[bytes, bytes]:
    """Give a started program its input, and read what it says to the end.

    The end of the input is told where a connection can end one way only. TLS cannot, so a
    program must know from its input when it has all of it.

    Returns
    -------
    tuple[bytes, bytes]
        The beginnings of its output and of its error output.

    Raises
    ------
    UnreachableError
        The connection broke off or the time was up; whether the program ended is unknown.
    RefusedError
        The engine said why the program cannot be started.
    """
    # It speaks HTTP no more.
    stream.close()
    try:
        stream.sendall(stdin)
        if not isinstance(stream.sock, ssl.SSLSocket):
            stream.end_of_input()
    except UnreachableError as error:
        # A program that ends without reading its input is told by its exit status.
        if not isinstance(error.__cause__, (BrokenPipeError, ConnectionResetError)):
            raise
    if not is_framed(stream.reader):
        # The engine puts its complaint on the bare connection, without a frame.
        text = " ".join(_beginning(stream.reader).decode(errors="replace").split())
        raise RefusedError(
            f"the program in the container could not be started ({text}).",
            server=server,
        )
    said = {False: bytearray(), True: bytearray()}
    for number, piece in read_frames(stream.reader):
        kept = said[number == 1]
        kept += piece[: _KEPT_BYTES - len(kept)]
    return bytes(said[True]), bytes(said[False])


def _beginning(reader: io.BufferedReader) -> bytes:
    """Read a complaint that came without a frame, as far as it is worth showing."""
    said = bytearray()
    for _, piece in read_frames(reader):
        said += piece
        if len(said) > _SHOWN_BYTES:
            return bytes(said[:_SHOWN_BYTES]) + "…".encode()
    return bytes(said)
