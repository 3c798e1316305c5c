"""Read everything one server says, by list endpoints, within one deadline."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from opskit.errors import NotManagerError, OpskitError, RefusedError
from opskit.swarm import model, refusal
from opskit.swarm.context import Context, find_context
from opskit.swarm.deadline import Deadline
from opskit.swarm.engine import Engine

_T = TypeVar("_T")


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one server said, or why it said nothing.

    `manager` is true when the swarm's objects could be read. `error` is one plain sentence,
    empty when all is well. `unread` names lists that failed though the others did not.
    """

    server: str
    taken_at: datetime
    host: str = ""
    reachable: bool = False
    manager: bool = False
    error: str = ""
    info: model.Info = model.Info()
    nodes: tuple[model.Node, ...] = ()
    services: tuple[model.Service, ...] = ()
    tasks: tuple[model.Task, ...] = ()
    secrets: tuple[model.StoredObject, ...] = ()
    configs: tuple[model.StoredObject, ...] = ()
    networks: tuple[model.Network, ...] = ()
    volumes: tuple[model.Volume, ...] = ()
    unread: dict[str, str] = msgspec.field(default_factory=dict[str, str])


def observe_server(server: str, seconds: float = 15.0) -> Observation:
    """Read one server by its Docker context; never raises for what concerns this server only.

    Parameters
    ----------
    server
        The server's name, as abra has it.
    seconds
        Deadline for everything together: name lookup, connection, ssh and all replies.
    """
    try:
        context = find_context(server)
    except OpskitError as error:
        return Observation(server=server, taken_at=datetime.now(UTC), error=str(error))
    return observe(context, seconds)


def observe(context: Context, seconds: float = 15.0) -> Observation:
    """Read the server behind a context; see `observe_server`."""
    now = datetime.now(UTC)
    engine = Engine(context, deadline=Deadline(seconds, context.server))
    try:
        info = engine.info()
    except OpskitError as error:
        return Observation(
            server=context.server, host=context.host, taken_at=now, error=_sentence(error, context)
        )
    seen = Observation(
        server=context.server, host=context.host, taken_at=now, reachable=True, info=info
    )
    if not info.swarm.control_available:
        return msgspec.structs.replace(seen, error=_why_not_manager(info.swarm))
    unread: dict[str, str] = {}

    def read(name: str, call: Callable[[], tuple[_T, ...]]) -> tuple[_T, ...]:
        try:
            return call()
        except RefusedError as error:
            unread[name] = _sentence(error, context)
            return ()

    try:
        return msgspec.structs.replace(
            seen,
            manager=True,
            nodes=read("nodes", engine.nodes),
            services=read("services", engine.services),
            tasks=read("tasks", engine.tasks),
            secrets=read("secrets", engine.secrets),
            configs=read("configs", engine.configs),
            networks=read("networks", engine.networks),
            volumes=read("volumes", engine.volumes),
            unread=unread,
        )
    except NotManagerError as error:
        return msgspec.structs.replace(seen, error=_sentence(error, context))
    except OpskitError as error:
        return msgspec.structs.replace(seen, reachable=False, error=_sentence(error, context))


def _why_not_manager(swarm: model.SwarmInfo) -> str:
    match swarm.local_node_state:
        case "locked":
            return refusal.LOCKED
        case "error" if "certificate" in swarm.error:
            return refusal.EXPIRED
        case "error" | "pending":
            return f"its swarm is in state {swarm.local_node_state} ({swarm.error or 'starting'})."
        case "active":
            return refusal.WORKER
        case _:
            return refusal.NO_SWARM


def _sentence(error: OpskitError, context: Context) -> str:
    return str(error).removeprefix(f"{context.server}: ")
