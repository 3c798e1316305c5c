"""What an engine tells those who listen to ``/events``, each at the moment it happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import field

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
