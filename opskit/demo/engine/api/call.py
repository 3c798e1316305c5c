"""What a route is given and what it gives back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from opskit.decoding import ready
from opskit.demo.engine.execs import Exec, ExecTable
from opskit.demo.engine.objects import Event, Refusal
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


Filters = Mapping[str, Sequence[str]]
Test = Callable[[str], bool]


def parsed(text: str, allowed: Sequence[str] | None) -> Filters:
    """Read the filters of a request, in either of the API's two spellings.

    Parameters
    ----------
    text
        The query's ``filters``; empty for none.
    allowed
        The names this list knows, any other is refused; ``None`` where none is.
    """
    try:
        found = msgspec.json.decode(text or "{}", type=dict[str, dict[str, bool] | list[str]])
    except msgspec.MsgspecError as error:
        raise Refusal(500, f"invalid filters: {error}") from None
    for name in found:
        if allowed is not None and name not in allowed:
            raise Refusal(400, f"Invalid filter '{name}'")
    return {name: list(values) for name, values in found.items()}


def matches(filters: Filters, tests: Mapping[str, Test]) -> bool:
    """Return whether something passes all filters, of each of which one value is enough."""
    return all(
        any(tests[name](value) for value in values)
        for name, values in filters.items()
        if name in tests and name != "label"
    ) and all(tests["label"](value) for value in filters.get("label", ()))


def identity(ident: str, name: str, labels: Mapping[str, str] | None) -> dict[str, Test]:
    """Return the tests that most lists share: id, name and labels."""
    return {
        "id": ident.startswith,
        "name": lambda value: name.lower().startswith(value.lower()),
        "names": lambda value: name.lower() == value.lower(),
        "label": lambda value: _has_label(labels or {}, value),
    }


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    name, sign, value = wanted.partition("=")
    return name in labels and (not sign or labels[name] == value)


def equals(text: str) -> Test:
    """Test for exactly this text."""
    return lambda value: value == text


def contains(text: str) -> Test:
    """Test for a part of this text."""
    return lambda value: value in text
