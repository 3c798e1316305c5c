"""What a route is given and what it gives back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from opskit.decoding import ready
from opskit.demo.engine.events import Event
from opskit.demo.engine.execs import Exec, ExecTable
from opskit.demo.engine.refusal import Refusal
from opskit.demo.engine.state import Swarm

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Which Docker Engine a server passes for."""

    version: str = "20.10.24"
    api: str = "1.41"
    oldest_api: str = "1.24"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    swarm: Swarm
    execs: ExecTable
    edition: Edition
    parts: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes

    @property
    def ident(self) -> str:
        """The name or id in the path."""
        return unquote(self.parts[0])

    def flag(self, name: str) -> bool:
        """Return whether a switch is on in the query."""
        return self.query.get(name, "").lower() in ("1", "true")

    def json(self, kind: type[T]) -> T:
        """Read the body, or refuse it."""
        if not self.body:
            raise Refusal(400, "got EOF while reading request body")
        try:
            return msgspec.json.decode(self.body, type=ready(kind))
        except msgspec.ValidationError as error:
            raise Refusal(400, f"json: cannot unmarshal: {error}") from None
        except msgspec.DecodeError as error:
            raise Refusal(400, f"invalid character: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    stream: Exec | None = None
    """The command whose output follows on the connection itself."""
    events: Callable[[Event], bool] | None = None
    """Which events follow, each as it happens, until the client leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who answers a method and a path."""

    method: str
    pattern: re.Pattern[str]
    answer: Callable[[Call], Reply]
    managed: bool
    """Whether only a manager of a working swarm answers."""


def route(
    method: str, path: str, answer: Callable[[Call], Reply], *, managed: bool = False
) -> Route:
    """Make a route; ``{}`` in the path is a name or id."""
    pattern = re.compile(path.replace("{}", "([^/]+)"))
    return Route(method=method, pattern=pattern, answer=answer, managed=managed)


def reply(content: Any, status: int = 200) -> Reply:
    """Answer with JSON."""
    return Reply(status=status, body=msgspec.json.encode(content) + b"\n")
