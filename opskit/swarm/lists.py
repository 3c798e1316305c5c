"""The lists by which a swarm is read: where each is asked for, and what its reply says.

No engine promises an order, and volumes come in another each time: here each list is in the order
of its ids or names, so that lists of equal contents are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from opskit.decoding import decode_json
from opskit.errors import RefusedError
from opskit.swarm import model


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


_T = TypeVar("_T")
_Object = TypeVar("_Object", bound=_Identified)


@dataclass(frozen=True, slots=True)
class Listing(Generic[_T]):
    """One list of an engine.

    Parameters
    ----------
    path
        Where it is asked for.
    read
        Decodes the body of a reply; told the server's name for its errors.
    """

    path: str
    read: Callable[[bytes, str], _T]


def filtered(**wanted: Iterable[str]) -> str:
    """Return the query of a request for what has one of these values under each name.

    >>> from opskit.swarm.lists import filtered
    >>> filtered(id=["a"]), filtered(id=[])
    ('?filters=%7B%22id%22%3A%5B%22a%22%5D%7D', '')
    """
    found = {name: there for name, values in wanted.items() if (there := list(values))}
    return f"?filters={quote(msgspec.json.encode(found).decode())}" if found else ""


class SpecBytes(msgspec.Struct, rename="pascal"):
    """A service's specs, byte for byte as the engine stores them."""

    spec: msgspec.Raw
    previous_spec: msgspec.Raw = msgspec.Raw()


def decoded(body: bytes, kind: type[_T], server: str) -> _T:
    """Decode a reply.

    Raises
    ------
    RefusedError
        It is not what an engine sends.
    """
    try:
        return decode_json(body, kind)
    except msgspec.MsgspecError as error:
        raise RefusedError(
            f"its reply is not what a Docker Engine sends ({error}). "
            "Is a proxy in between? Check the host of its Docker context.",
            server=server,
        ) from error


class _Container(msgspec.Struct, rename="pascal"):
    env: list[str] | None = None
    command: list[str] | None = None
    args: list[str] | None = None


class _Task(msgspec.Struct, rename="pascal"):
    container_spec: _Container | None = None


class _Spec(msgspec.Struct, rename="pascal"):
    task_template: _Task = msgspec.field(default_factory=_Task)


def with_digest(service: model.Service, stored: SpecBytes, server: str) -> model.Service:
    """Return a service that knows the digests of its stored spec, and of what is not kept of it."""
    digest = hashlib.sha256(stored.spec).hexdigest()
    held = decoded(bytes(stored.spec), _Spec, server).task_template.container_spec or _Container()
    found = pieces(env=held.env or (), entrypoint=held.command or (), command=held.args or ())
    return msgspec.structs.replace(service, spec_digest=digest, pieces=found)


def pieces(
    *, env: Iterable[str], entrypoint: Iterable[str], command: Iterable[str]
) -> dict[str, str]:
    """Return digests by which the unkept parts of two specs are compared, by what they are.

    They may hold values, so they are digests; and as values can be guessed by them, they are in
    memory only.

    Parameters
    ----------
    env
        ``NAME=value`` each.
    entrypoint, command
        The program and its arguments, called as compose files do.
    """
    found = {f"variable {line.partition('=')[0]}": _digest(line) for line in env}
    listed = {"entrypoint": tuple(entrypoint), "command": tuple(command)}
    return found | {name: _digest("\0".join(words)) for name, words in listed.items() if words}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _info(body: bytes, server: str) -> model.Info:
    return decoded(body, model.Info, server)


def _by_id(kind: type[tuple[_Object, ...]]) -> Callable[[bytes, str], tuple[_Object, ...]]:
    return lambda body, server: tuple(sorted(decoded(body, kind, server), key=_id))


def _id(one: _Identified) -> str:
    return one.id


def _services(body: bytes, server: str) -> tuple[model.Service, ...]:
    services = decoded(body, tuple[model.Service, ...], server)
    specs = decoded(body, tuple[SpecBytes, ...], server)
    found = (with_digest(*pair, server) for pair in zip(services, specs, strict=True))
    return tuple(sorted(found, key=_id))


def _volumes(body: bytes, server: str) -> tuple[model.Volume, ...]:
    volumes = decoded(body, model.Volumes, server).volumes or ()
    return tuple(sorted(volumes, key=lambda one: one.name))


INFO = Listing("/info", _info)
NODES = Listing("/nodes", _by_id(tuple[model.Node, ...]))
SERVICES = Listing("/services?status=true", _services)
TASKS = Listing("/tasks", _by_id(tuple[model.Task, ...]))
SECRETS = Listing("/secrets", _by_id(tuple[model.StoredObject, ...]))
CONFIGS = Listing("/configs", _by_id(tuple[model.StoredObject, ...]))
NETWORKS = Listing("/networks", _by_id(tuple[model.Network, ...]))
VOLUMES = Listing("/volumes", _volumes)
