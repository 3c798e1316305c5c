"""Secrets and configs: create, label, remove."""

from __future__ import annotations

import base64
import binascii
import re
import string
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from opskit.demo.engine.objects import (
    Raft,
    Refusal,
    Resource,
    Table,
    exists,
    invalid,
    new_id,
    stamp,
)

_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9])?")
_BASE_64 = frozenset(string.ascii_letters + string.digits + "+/")


class Driver(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal", omit_defaults=True
):
    """A driver by its name, with the options it is given."""

    name: str = ""
    options: dict[str, str] | None = None


class StoredSpec(msgspec.Struct, kw_only=True, gc=False, rename="pascal", omit_defaults=True):
    """What an operator says of a secret or config; only a config's data is ever shown.

    This engine keeps a `templating`, and renders it nowhere.
    """

    name: str
    labels: dict[str, str]
    data: bytes | None = None
    driver: Driver | None = None
    templating: Driver | None = None


class Stored(Resource, kw_only=True):
    """A secret or a config."""

    spec: StoredSpec


class StoredRequest(msgspec.Struct, kw_only=True, gc=False, rename="pascal"):
    """The body of a request to create or label a secret or config."""

    name: str = ""
    labels: dict[str, str] | None = None
    data: str | None = None
    driver: Driver | None = None
    templating: Driver | None = None


class StoredTable(Table[Stored]):
    """The secrets, or the configs, of a swarm.

    Parameters
    ----------
    noun
        ``secret`` or ``config``.
    raft
        The log of the swarm.
    limit
        The size in bytes that is one too many.
    readable
        Whether data comes back when an object is read.
    """

    def __init__(self, noun: str, raft: Raft, *, limit: int, readable: bool) -> None:
        super().__init__(noun, raft)
        self._limit, self._readable = limit, readable
        self._values: dict[str, bytes] = {}
        self.users: Callable[[str], list[str]] = lambda _: []
        """Gives the names of the services whose current spec refers to an id."""
        self.plugins: frozenset[str] = frozenset()
        """The secret drivers that are installed."""

    def seed(
        self,
        name: str,
        data: bytes = b"x",
        labels: Mapping[str, str] | None = None,
        created_at: datetime | None = None,
        *,
        driver: Driver | None = None,
        templating: Driver | None = None,
    ) -> Stored:
        """Add an object of any age without checks."""
        when = stamp(created_at)
        spec = StoredSpec(
            name=name, labels=dict(labels or {}), driver=driver, templating=templating
        )
        if self._readable:
            spec.data = data
        one = Stored(
            id=new_id(), version=self._raft.next(), created_at=when, updated_at=when, spec=spec
        )
        self._values[one.id] = data
        self.add(one, name)
        return one

    def create(self, request: StoredRequest) -> Stored:
        """Create an object, or say what is wrong with the request."""
        data = _decoded(request.data or "")
        if not request.name:
            raise invalid("name must be provided")
        if not _NAME.fullmatch(request.name):
            raise invalid(
                "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end "
                "character must be [a-zA-Z0-9]"
            )
        driver = request.driver if self.noun == "secret" else None
        if driver is not None and not driver.name:
            raise invalid("secret driver must have a name")
        if driver is None and not 1 <= len(data) < self._limit:
            raise invalid(
                f"{self.noun} data must be larger than 0 and less than {self._limit} bytes"
            )
        if driver is not None and driver.name not in self.plugins:
            text = f'rpc error: code = Unknown desc = plugin "{driver.name}" not found'
            raise Refusal(500, text)
        if self.named(request.name) is not None:
            raise exists(f"{self.noun} {request.name} already exists")
        return self.seed(
            request.name, data, request.labels, driver=driver, templating=request.templating
        )

    def relabel(self, ident: str, version: int, request: StoredRequest) -> None:
        """Replace an object's labels, the one part of it that may change."""
        one = self.find(ident)
        data = _decoded(request.data or "")
        if request.name != one.spec.name or (data and data != self._values[one.id]):
            raise invalid("only updates to Labels are allowed")
        self.touch(one, version)
        one.spec.labels = request.labels or {}

    def remove(self, ident: str) -> None:
        """Remove an object, unless the current spec of a service refers to it."""
        one = self.find(ident)
        users = self.users(one.id)
        if users:
            which = "services" if len(users) > 1 else "service"
            raise invalid(
                f"{self.noun} '{one.spec.name}' is in use by the following {which}: "
                f"{', '.join(users)}"
            )
        del self._values[one.id]
        self.drop(one, one.spec.name)

    def value(self, ident: str) -> bytes | None:
        """Return the data a task would find in its mounted file."""
        return self._values.get(ident)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        wrong = (at for at, char in enumerate(text) if char not in _BASE_64)
        at = next(wrong, (len(text) - 1) // 4 * 4)
        raise Refusal(400, f"illegal base64 data at input byte {at}") from None
