"""What the engine says when it will not: statuses and texts of Docker Engine 20.10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Role = Literal["manager", "worker", "none", "locked", "expired", "no-leader"]
"""A server's place in a swarm; all but ``manager`` refuse every question about the swarm."""

_NOT_MANAGER = "This node is not a swarm manager. "
REFUSALS: Mapping[str, str] = {
    "worker": _NOT_MANAGER + "Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager.",
    "none": _NOT_MANAGER + 'Use "docker swarm init" or "docker swarm join" to connect this node '
    "to swarm and try again.",
    "locked": "Swarm is encrypted and needs to be unlocked before it can be used. Please use "
    '"docker swarm unlock" to unlock it.',
    "expired": "Swarm certificates have expired. To replace them, leave the swarm and join again.",
    "no-leader": "rpc error: code = Unknown desc = The swarm does not have a leader. It's "
    "possible that too few managers are online. Make sure more than half of the managers are "
    "online.",
}


class Refusal(Exception):  # noqa: N818 (what the engine calls it on the wire is a message)
    """A reply with a status of 400 or more, in the engine's own words."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


def invalid(message: str) -> Refusal:
    """Make swarmkit's refusal of a bad argument."""
    return Refusal(400, f"rpc error: code = InvalidArgument desc = {message}")


def precondition(message: str) -> Refusal:
    """Make swarmkit's refusal of something that cannot be done now."""
    return Refusal(400, f"rpc error: code = FailedPrecondition desc = {message}")


def unimplemented(message: str) -> Refusal:
    """Make swarmkit's refusal of a change it does not offer."""
    return Refusal(501, f"rpc error: code = Unimplemented desc = {message}")


def exists(message: str) -> Refusal:
    """Make swarmkit's refusal of a name that is taken."""
    return Refusal(409, f"rpc error: code = AlreadyExists desc = {message}")


def out_of_sequence() -> Refusal:
    """Make the refusal of a change that names an old version index."""
    return Refusal(500, "rpc error: code = Unknown desc = update out of sequence")


def not_manager(role: Role) -> Refusal:
    """Make the refusal of a server that cannot manage a swarm now."""
    return Refusal(500 if role == "no-leader" else 503, REFUSALS[role])
