"""One engine: typed reads by list endpoints, and the few writes opskit makes."""

from __future__ import annotations

import base64
import hashlib
import http.client
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from opskit.decoding import ready
from opskit.errors import RefusedError
from opskit.swarm import model
from opskit.swarm.context import Context
from opskit.swarm.deadline import Deadline
from opskit.swarm.exec import Ended, ExecRequest, ExecState, converse
from opskit.swarm.refusal import refusal
from opskit.swarm.transport import TRANSPORT, Transport

_T = TypeVar("_T")

RawSpec = dict[str, Any]
"""A spec as the engine wrote it, with fields opskit knows nothing of; posted back whole."""


_EXEC_PAUSE_S = 0.05


class _Created(msgspec.Struct):
    id: str = msgspec.field(name="ID")


class _Prepared(msgspec.Struct, rename="pascal"):
    id: str


class _SpecBytes(msgspec.Struct, rename="pascal"):
    spec: msgspec.Raw
    previous_spec: msgspec.Raw = msgspec.Raw()


class _TaskBytes(msgspec.Struct, rename="pascal"):
    id: str = msgspec.field(name="ID")
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawService:
    """A service to be changed: as typed, and its whole spec as stored.

    `previous` is the spec before, with its digest; empty when there is none.
    """

    service: model.Service
    spec: RawSpec
    previous: RawSpec | None = None
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

    @property
    def server(self) -> str:
        """The server's name."""
        return self.context.server

    def info(self) -> model.Info:
        """Read the engine's account of itself; answers on workers and outside a swarm too."""
        return self._get("/info", model.Info)

    def nodes(self) -> tuple[model.Node, ...]:
        """Read all nodes of the swarm."""
        return self._get("/nodes", tuple[model.Node, ...])

    def services(self) -> tuple[model.Service, ...]:
        """Read all services with their task counts."""
        body = self._send("GET", "/services?status=true")
        services = _decoded(body, tuple[model.Service, ...], self.server)
        specs = _decoded(body, tuple[_SpecBytes, ...], self.server)
        return tuple(_digested(*pair) for pair in zip(services, specs, strict=True))

    def tasks(self, service: str = "") -> tuple[model.Task, ...]:
        """Read all tasks, past ones included; or those of one service."""
        return self._get("/tasks" + _filters("service", service), tuple[model.Task, ...])

    def secrets(self, name: str = "") -> tuple[model.StoredObject, ...]:
        """Read all secrets; or the one with exactly this name."""
        found = self._get("/secrets" + _filters("name", name), tuple[model.StoredObject, ...])
        # The engine's filter matches prefixes.
        return tuple(s for s in found if s.spec.name == name) if name else found

    def configs(self, name: str = "") -> tuple[model.StoredObject, ...]:
        """Read all configs without their data; or the one with exactly this name."""
        found = self._get("/configs" + _filters("name", name), tuple[model.StoredObject, ...])
        return tuple(c for c in found if c.spec.name == name) if name else found

    def networks(self) -> tuple[model.Network, ...]:
        """Read the networks this node knows."""
        return self._get("/networks", tuple[model.Network, ...])

    def volumes(self) -> tuple[model.Volume, ...]:
        """Read the volumes of this node."""
        return self._get("/volumes", model.Volumes).volumes or ()

    def containers(self, service: str) -> tuple[model.Container, ...]:
        """Read the running containers of one service (by id) on the node that was asked."""
        path = "/containers/json" + _filters("label", f"{model.SERVICE_LABEL}={service}")
        return self._get(path, tuple[model.Container, ...])

    def raw_service(self, service: str) -> RawService:
        """Read one service to change it: as stored, without the engine's defaults."""
        body = self._send("GET", f"/services/{quote(service, safe='')}")
        typed = _decoded(body, model.Service, self.server)
        stored = _decoded(body, _SpecBytes, self.server)
        before = bytes(stored.previous_spec).removeprefix(b"null")
        return RawService(
            service=_digested(typed, stored),
            spec=_decoded(bytes(stored.spec), RawSpec, self.server),
            previous=_decoded(before, RawSpec, self.server) if before else None,
            previous_digest=hashlib.sha256(before).hexdigest() if before else "",
        )

    def task_specs(self, service: str) -> dict[str, RawSpec]:
        """Read the whole spec of each task of a service, by task id."""
        found = self._get("/tasks" + _filters("service", service), tuple[_TaskBytes, ...])
        return {task.id: task.spec for task in found}

    def create_secret(self, name: str, data: bytes, labels: Mapping[str, str]) -> str:
        """Create a secret and give its id.

        Raises
        ------
        AlreadyExistsError
            The name is taken; nothing is ever overwritten.
        """
        return self._create("/secrets/create", name, data, labels)

    def label_secret(self, secret: model.StoredObject, labels: Mapping[str, str]) -> None:
        """Replace a secret's labels, the one part of it that can change."""
        spec = {"Name": secret.spec.name, "Labels": dict(labels)}
        index = secret.version.index
        self._send("POST", f"/secrets/{secret.id}/update?version={index}", spec)

    def remove_secret(self, secret_id: str) -> None:
        """Remove a secret; the engine refuses while a service's current spec names it."""
        self._send("DELETE", f"/secrets/{quote(secret_id, safe='')}")

    def create_config(self, name: str, data: bytes, labels: Mapping[str, str]) -> str:
        """Create a config and give its id; atomic across all managers."""
        return self._create("/configs/create", name, data, labels)

    def label_config(
        self, config: model.StoredObject, data: bytes, labels: Mapping[str, str]
    ) -> None:
        """Replace a config's labels; its data must be sent unchanged."""
        spec = _spec(config.spec.name, data, labels)
        self._send("POST", f"/configs/{config.id}/update?version={config.version.index}", spec)

    def remove_config(self, config_id: str) -> None:
        """Remove a config."""
        self._send("DELETE", f"/configs/{quote(config_id, safe='')}")

    def update_service(self, service_id: str, index: int, spec: RawSpec) -> None:
        """Replace a service's whole spec, if its version index is still `index`.

        Raises
        ------
        StaleIndexError
            The service changed since it was read.
        """
        self._send("POST", f"/services/{quote(service_id, safe='')}/update?version={index}", spec)

    def service_logs(self, service: str, *, tail: int, since: str = "") -> bytes:
        """Read what a service's tasks wrote, in frames, each line behind its time."""
        query = f"stdout=1&stderr=1&timestamps=1&tail={tail}" + (f"&since={since}" if since else "")
        return self._send("GET", f"/services/{quote(service, safe='')}/logs?{query}")

    def remove_service(self, service_id: str) -> None:
        """Remove a service; its tasks end afterwards."""
        self._send("DELETE", f"/services/{quote(service_id, safe='')}")

    def remove_network(self, network_id: str) -> None:
        """Remove a network; the engine refuses while something is attached."""
        self._send("DELETE", f"/networks/{quote(network_id, safe='')}")

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
        deadline = self._deadline or Deadline(self._seconds, self.server)
        path = f"/containers/{quote(container, safe='')}/exec"
        body = self._send("POST", path, ExecRequest(cmd=argv))
        ident = quote(_decoded(body, _Prepared, self.server).id, safe="")
        with self._transport.channel(self.context, deadline, for_write=True) as (channel, _):
            reply, stream = channel.upgrade(
                f"/exec/{ident}/start", b'{"Detach":false,"Tty":false}', deadline
            )
            if reply.status >= http.client.BAD_REQUEST:
                raise refusal(reply.status, reply.body, server=self.server)
            stdout, stderr = converse(stream, stdin, server=self.server)
            # It speaks HTTP no more.
            channel.close()
        while True:
            state = self._get(f"/exec/{ident}/json", ExecState)
            if not state.running and state.exit_code is not None:
                return Ended(code=state.exit_code, stdout=stdout, stderr=stderr)
            # The output ends a moment before the engine has noted the exit status.
            time.sleep(min(_EXEC_PAUSE_S, deadline.remaining("waiting for the program's end")))

    def _create(self, path: str, name: str, data: bytes, labels: Mapping[str, str]) -> str:
        body = self._send("POST", path, _spec(name, data, labels))
        return _decoded(body, _Created, self.server).id

    def _get(self, path: str, kind: type[_T]) -> _T:
        return _decoded(self._send("GET", path), kind, self.server)

    def _send(self, method: str, path: str, body: object = None) -> bytes:
        deadline = self._deadline or Deadline(self._seconds, self.server)
        content = None if body is None else msgspec.json.encode(body)
        reply = self._transport.request(self.context, method, path, body=content, deadline=deadline)
        if reply.status >= http.client.BAD_REQUEST:
            raise refusal(reply.status, reply.body, server=self.server)
        return reply.body


def _digested(service: model.Service, stored: _SpecBytes) -> model.Service:
    digest = hashlib.sha256(stored.spec).hexdigest()
    return msgspec.structs.replace(service, spec_digest=digest)


def _spec(name: str, data: bytes, labels: Mapping[str, str]) -> dict[str, object]:
    return {"Name": name, "Labels": dict(labels), "Data": base64.b64encode(data).decode("ascii")}


def _filters(key: str, value: str) -> str:
    if not value:
        return ""
    return "?filters=" + quote(msgspec.json.encode({key: [value]}).decode())


def _decoded(body: bytes, kind: type[_T], server: str) -> _T:
    try:
        return msgspec.json.decode(body, type=ready(kind))
    except msgspec.MsgspecError as error:
        raise RefusedError(
            f"its reply is not what a Docker Engine sends ({error}). "
            "Is a proxy in between? Check the host of its Docker context.",
            server=server,
        ) from error
