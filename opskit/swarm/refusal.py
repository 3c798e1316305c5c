"""What an engine's refusal means, by HTTP status and text.

Swarm puts several meanings on one status: 503 is "no swarm", "worker", "locked",
"certificates expired" and "no leader"; a stale version index is a 500. The texts are those of
Docker Engine 20.10 to 29 (``daemon/cluster/errors.go`` and swarmkit's ``controlapi``).
"""

from __future__ import annotations

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

NO_SWARM = (
    "it is not in a swarm. Run docker swarm init there, or point its Docker context elsewhere."
)
WORKER = "it is a worker, and only managers answer. Point its Docker context at a manager."
LOCKED = "its swarm is locked. Unlock it there: docker swarm unlock"
EXPIRED = (
    "its swarm certificates have expired. Make it leave and join again, or restore the swarm "
    "with docker swarm init --force-new-cluster."
)
NO_QUORUM = "its swarm has no leader: too few managers are online. Bring more than half back."

_NOT_MANAGER: tuple[tuple[str, str], ...] = (
    ("needs to be unlocked", LOCKED),
    ("certificates have expired", EXPIRED),
    ("does not have a leader", NO_QUORUM),
    ("context deadline exceeded", NO_QUORUM),
    ("Worker nodes can't be used", WORKER),
    ("not a swarm manager", NO_SWARM),
    ("not part of a swarm", NO_SWARM),
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
    for sign, sentence in _NOT_MANAGER:
        if sign in text and status >= 500:
            return NotManagerError(sentence, server=server, status=status)
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


def refusal_text(body: bytes) -> str:
    """Return the engine's own words, without the gRPC wrapping."""
    try:
        text = decode_json(body, _Message).message
    except msgspec.MsgspecError:
        text = body[:500].decode(errors="replace")
    return text.rsplit(" desc = ", 1)[-1].strip()
