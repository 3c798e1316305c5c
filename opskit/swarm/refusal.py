"""What an engine's refusal means, by HTTP status and text.

Swarm puts several meanings on one status: 503 is "no swarm", "worker", "locked",
"certificates expired" and "no leader"; a stale version index is a 500. The texts are those of
Docker Engine 20.10 to 29 (``daemon/cluster/errors.go`` and swarmkit's ``controlapi``).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import msgspec

from opskit.decoding import decode_json
from opskit.errors import (
    AlreadyExistsError,
    EngineError,
    InUseError,
    NotFoundError,
    NotManagerError,
    RefusedError,
    StaleIndexError,
)
from opskit.swarm.context import docker_arguments
from opskit.swarm.model import SwarmInfo


@dataclass(frozen=True, slots=True)
class _Unmanaged:
    """Why an engine manages no swarm, and what to do; ``{docker}`` is its docker CLI."""

    what: str
    remedy: str

    def error(self, server: str, status: int = 0) -> NotManagerError:
        docker = shlex.join(["docker", *docker_arguments(server)])
        remedy = self.remedy.format(docker=docker, server=shlex.quote(server))
        return NotManagerError(self.what, server=server, status=status, remedy=remedy)


_NO_SWARM = _Unmanaged(
    "it is not in a swarm.",
    "Make it one, unless its Docker context should lead elsewhere: {docker} swarm init",
)
_WORKER = _Unmanaged(
    "it is a worker, and only managers answer.",
    "Point its Docker context at a manager: "
    "docker context update {server} --docker host=ssh://MANAGER",
)
_LOCKED = _Unmanaged("its swarm is locked.", "Unlock it: {docker} swarm unlock")
_EXPIRED = _Unmanaged(
    "its swarm certificates have expired.",
    "Make it leave and join again, or restore the swarm: {docker} swarm init --force-new-cluster",
)
_NO_QUORUM = _Unmanaged(
    "its swarm has no leader: too few managers are online.", "Bring more than half back."
)

_NOT_MANAGER: tuple[tuple[str, _Unmanaged], ...] = (
    ("needs to be unlocked", _LOCKED),
    ("certificates have expired", _EXPIRED),
    ("does not have a leader", _NO_QUORUM),
    ("context deadline exceeded", _NO_QUORUM),
    ("Worker nodes can't be used", _WORKER),
    ("not a swarm manager", _NO_SWARM),
    ("not part of a swarm", _NO_SWARM),
)


class _Message(msgspec.Struct):
    message: str = ""


def refusal(status: int, body: bytes, *, server: str) -> EngineError:
    """Return the error for a reply with a status of 400 or more.

    Parameters
    ----------
    status, body
        The engine's reply.
    server
        Named in the error.
    """
    text = refusal_text(body)
    for sign, unmanaged in _NOT_MANAGER:
        if sign in text and status >= 500:
            return unmanaged.error(server, status)
    kind: type[EngineError] = RefusedError
    if "update out of sequence" in text:
        kind = StaleIndexError
    elif status == 404:
        kind = NotFoundError
    elif status == 409:
        kind = AlreadyExistsError
    elif "is in use by" in text:
        kind = InUseError
    return kind(text or f"HTTP {status} without a word", server=server, status=status)


def not_managing(swarm: SwarmInfo, server: str) -> NotManagerError:
    """Return the error for an engine whose own account says that it manages no swarm."""
    match swarm.local_node_state:
        case "locked":
            found = _LOCKED
        case "error" if "certificate" in swarm.error:
            found = _EXPIRED
        case "error" | "pending":
            why = f"{swarm.local_node_state} ({swarm.error or 'starting'})"
            return NotManagerError(f"its swarm is in state {why}.", server=server)
        case "active":
            found = _WORKER
        case _:
            found = _NO_SWARM
    return found.error(server)


def refusal_text(body: bytes) -> str:
    """Return the engine's own words, without the gRPC wrapping."""
    try:
        text = decode_json(body, _Message).message
    except msgspec.MsgspecError:
        text = body[:500].decode(errors="replace")
    return text.rsplit(" desc = ", 1)[-1].strip()
