"""Objects of a swarm: what they share, how an engine refuses, and what it tells of them."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import field

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


Listener = Callable[["Event"], None]


class Actor(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What an event is about."""

    id: str = field(name="ID")
    attributes: Mapping[str, str]


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One event, as the Engine API has it."""

    type: str = field(name="Type")
    action: str = field(name="Action")
    actor: Actor = field(name="Actor")
    scope: str
    time: int
    time_nano: int


class Events:
    """Where everything that happens in a server is told.

    Listeners are called at once, in whichever thread it happens.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event from now on, until what is returned is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(
        self, kind: str, action: str, ident: str, *, scope: str = "swarm", **attributes: str
    ) -> None:
        """Tell that something happened.

        Parameters
        ----------
        kind, action, ident
            What it happened to, such as a ``secret``, what happened, and the id of it.
        scope
            ``swarm``, or ``local`` where only this engine knows of it.
        attributes
            What else the engine says of it.
        """
        if not self._listeners:
            return
        now = time.time_ns()
        actor = Actor(id=ident, attributes=attributes)
        event = Event(
            type=kind, action=action, actor=actor, scope=scope, time=now // 10**9, time_nano=now
        )
        for listener in list(self._listeners):
            listener(event)


Json = dict[str, Any]
_BASE_36 = string.digits + string.ascii_lowercase


class Version(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    """An object's place in the swarm's log; a change must name the one it read."""

    index: int


class Resource(msgspec.Struct, kw_only=True, gc=False, rename="pascal", omit_defaults=True):
    """What every object of a swarm has."""

    id: str = field(name="ID")
    version: Version
    created_at: str
    updated_at: str


class Raft:
    """The swarm's log: one rising index for all its objects, and who is told of changes."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._index = 10

    def next(self) -> Version:
        """Return the version of one more change."""
        self._index += 1
        return Version(self._index)


R = TypeVar("R", bound=Resource)


class Table(Generic[R]):
    """All objects of one kind, found by id, by name, or by the start of an id.

    Parameters
    ----------
    noun
        What the engine calls one of them in a refusal.
    raft
        The log of the swarm.
    """

    def __init__(self, noun: str, raft: Raft) -> None:
        self.noun, self._raft = noun, raft
        self._objects: dict[str, R] = {}
        self._names: dict[str, str] = {}
        self._called: dict[str, str] = {}
        self._encoded: bytes | None = None

    def __iter__(self) -> Iterator[R]:
        # An engine lists by id.
        return iter([self._objects[ident] for ident in sorted(self._objects)])

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, ident: str) -> R | None:
        """Return the object with exactly this id."""
        return self._objects.get(ident)

    def named(self, name: str) -> R | None:
        """Return the object of this name; swarmkit's index of names ignores case."""
        return self._objects.get(self._names.get(name.lower(), ""))

    def find(self, ident: str) -> R:
        """Find an object by id, name or the start of its id, or refuse with 404."""
        found = self.get(ident) or self.named(ident)
        if found is not None:
            return found
        starting = [one for key, one in self._objects.items() if key.startswith(ident)]
        if not starting:
            raise Refusal(404, f"{self.noun} {ident} not found")
        if len(starting) > 1:
            text = f"{self.noun} {ident} is ambiguous ({len(starting)} matches found)"
            raise Refusal(500, text)
        return starting[0]

    def add(self, one: R, name: str) -> None:
        """Take in a new object."""
        self._objects[one.id] = one
        self._names[name.lower()] = one.id
        self._called[one.id] = name
        self._changed(one, "create")

    def touch(self, one: R, version: int | None = None) -> None:
        """Note that an object changed.

        Parameters
        ----------
        one
            The object.
        version
            The version index the change was made on; refused when it is not the newest.
        """
        if version is not None and version != one.version.index:
            raise out_of_sequence()
        one.version, one.updated_at = self._raft.next(), stamp()
        self._changed(one, "update")

    def drop(self, one: R, name: str) -> None:
        """Remove an object."""
        del self._objects[one.id], self._names[name.lower()]
        self._changed(one, "remove")
        del self._called[one.id]

    def _changed(self, one: R, action: str) -> None:
        self._encoded = None
        # Swarm tells of tasks by their containers only.
        if self.noun != "task":
            self._raft.events.tell(self.noun, action, one.id, name=self._called[one.id])

    def encoded(self) -> bytes:
        """Return the JSON list of all objects, encoded once until one of them changes."""
        if self._encoded is None:
            self._encoded = msgspec.json.encode(list(self))
        return self._encoded


def new_id(length: int = 25) -> str:
    """Make an id as swarmkit does: characters of base 36."""
    return "".join(random.choices(_BASE_36, k=length))  # noqa: S311 (names, protects nothing)


def hex_id() -> str:
    """Make an id as the engine itself does for containers, execs and local networks."""
    return f"{random.getrandbits(256):064x}"


def stamp(when: datetime | None = None) -> str:
    """Write a time, by default now, as the engine does."""
    moment = (when or datetime.now(UTC)).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
