"""Read everything one server says, by list endpoints, within one deadline."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec

from opskit.errors import NotManagerError, OpskitError, RefusedError
from opskit.swarm import lists, model, refusal
from opskit.swarm.connection import Reply
from opskit.swarm.context import Context, find_context
from opskit.swarm.lists import Listing
from opskit.swarm.reader import read_at_once
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT, Transport

_T = TypeVar("_T")

READERS = 32
"""Servers read at once by default; each waits for the network most of the time."""

_LISTS: dict[str, Listing[Any]] = {
    "nodes": lists.NODES,
    "services": lists.SERVICES,
    "tasks": lists.TASKS,
    "secrets": lists.SECRETS,
    "configs": lists.CONFIGS,
    "networks": lists.NETWORKS,
    "volumes": lists.VOLUMES,
}
_PATHS = [lists.INFO.path, *(listing.path for listing in _LISTS.values())]


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one server said, or why it said nothing.

    `manager` is true when the swarm's objects could be read. `error` is one plain sentence, empty
    when all is well; where opskit knows what mends it, that is its end, and `remedy`. `unread`
    names lists that failed though the others did not.
    """

    server: str
    taken_at: Annotated[datetime, msgspec.Meta(tz=True)]
    host: str = ""
    reachable: bool = False
    manager: bool = False
    error: str = ""
    remedy: str = ""
    info: model.Info = model.Info()
    nodes: tuple[model.Node, ...] = ()
    services: tuple[model.Service, ...] = ()
    tasks: tuple[model.Task, ...] = ()
    secrets: tuple[model.StoredObject, ...] = ()
    configs: tuple[model.StoredObject, ...] = ()
    networks: tuple[model.Network, ...] = ()
    volumes: tuple[model.Volume, ...] = ()
    unread: dict[str, str] = msgspec.field(default_factory=dict[str, str])


def observe_server(
    server: str, seconds: float = 15.0, transport: Transport = TRANSPORT
) -> Observation:
    """Read one server by its Docker context; never raises for what concerns this server only.

    Parameters
    ----------
    server
        The server's name, as abra has it.
    seconds
        Deadline for everything together: name lookup, connection, ssh and all replies.
    transport
        The connections to use; by default those of this process.
    """
    try:
        context = find_context(server)
    except OpskitError as error:
        nothing = Observation(server=server, taken_at=datetime.now(UTC))
        return _failed(nothing, error)
    return observe(context, seconds, transport)


def observe(
    context: Context, seconds: float = 15.0, transport: Transport = TRANSPORT
) -> Observation:
    """Read the server behind a context; see `observe_server`."""
    seen = Observation(server=context.server, host=context.host, taken_at=datetime.now(UTC))
    deadline = Deadline(seconds, context.server)
    replies, failure = read_at_once(transport, context, _PATHS, deadline)
    try:
        if not replies:
            raise failure or AssertionError("replies or why there are none")
        info = _read(lists.INFO, replies[0], context)
    except OpskitError as error:
        return _failed(seen, error)
    seen = msgspec.structs.replace(seen, reachable=True, info=info)
    if not info.swarm.control_available:
        error = refusal.not_managing(info.swarm, context.server)
        return _failed(seen, error)
    found: dict[str, tuple[Any, ...]] = {}
    unread: dict[str, str] = {}
    try:
        for (name, listing), reply in zip(_LISTS.items(), replies[1:], strict=False):
            try:
                found[name] = _read(listing, reply, context)
            except RefusedError as error:
                unread[name] = _sentence(error, context.server)
        if failure is not None:
            raise failure
    except NotManagerError as error:
        return _failed(seen, error)
    except OpskitError as error:
        return _failed(msgspec.structs.replace(seen, reachable=False), error)
    return msgspec.structs.replace(seen, manager=True, unread=unread, **found)


def _read(listing: Listing[_T], reply: Reply, context: Context) -> _T:
    if reply.status >= 400:
        raise refusal.refusal(reply.status, reply.body, server=context.server)
    return listing.read(reply.body, context.server)


def _failed(seen: Observation, error: OpskitError) -> Observation:
    remedy = getattr(error, "remedy", "")
    return msgspec.structs.replace(seen, error=_sentence(error, seen.server), remedy=remedy)


def _sentence(error: OpskitError, server: str) -> str:
    return str(error).removeprefix(f"{server}: ")
