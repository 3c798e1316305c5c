"""The password store beside the swarms: what is in both, and what in only one."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opskit.facts import Facts
from opskit.views.frame import Columns, View, about
from opskit.views.views import Views

_ORDER = _NOWHERE, _SWARM, _STORE, _BOTH = (
    "nowhere", "only in the swarm", "only in the store", "both",
)  # fmt: skip

SCHEMA = {
    "where": "category:" + ",".join(_ORDER),
    "server": "string",
    "app": "string",
    "secret": "string",
    "version": "string",
    "state": "string",
    "path": "string",
    "remedy": "string",
}

Path = Callable[[str, str, str], str]
"""From server, app and secret to the entry's path."""

_BESIDE = (".previous", ".next")
"""Ends of entries that a rotation keeps beside the one in force."""


def in_store(facts: Facts, entries: frozenset[str], path: Path) -> frozenset[str]:
    """Give the keys ``server/app/secret`` of declared secrets that have an entry."""
    return frozenset(
        f"{server}/{app.name}/{secret.name}"
        for server, apps in facts.apps_by_server.items()
        for app in apps
        for secret in app.secrets
        if path(server, app.name, secret.name) in entries
    )


def compare_store(views: Views, entries: frozenset[str], path: Path) -> View:
    """Compare the password store with what is declared and in the swarms.

    Parameters
    ----------
    views
        The snapshot.
    entries
        Paths of all entries below the part of the store that opskit uses.
    path
        Where an entry belongs.

    Returns
    -------
    View
        One row per declared secret, and one per entry that belongs to none.
    """
    found: list[tuple[Any, ...]] = []
    for row in views.secrets.records(views.secrets["declared"]):
        place = path(row.server, row.app, row.secret)
        state = row.state if isinstance(row.state, str) else None
        where, remedy = _verdict(stored=place in entries, observed=row.observed, row_state=state)
        named = f"{remedy} {row.app} {row.secret}" if remedy else None
        found.append(
            (where, row.server, row.app, row.secret, row.version, state, place, named)
        )  # fmt: skip
    expected = {
        path(server, app.name, secret.name)
        for server, apps in views.facts.apps_by_server.items()
        for app in apps
        for secret in app.secrets
    }
    for entry in entries - expected:
        if not entry.endswith(_BESIDE):
            remedy = f"If nobody misses it: pass rm {entry}"
            found.append((_STORE, None, None, None, None, None, entry, remedy))
    columns = Columns(SCHEMA)
    for one in sorted(found, key=lambda one: (_ORDER.index(one[0]), one[6])):
        columns.add(*one)
    return columns.view(
        about(views.facts, "secrets", "where", "server", "app", "secret", "state", "path", "remedy")
    )


def _verdict(*, stored: bool, observed: bool, row_state: str | None) -> tuple[str, str]:
    if stored and observed:
        return _BOTH, ""
    if observed:
        return _SWARM, "opskit secret rotate --pass"
    if stored:
        # A server that could not be read may well have it.
        return _STORE, "opskit secret insert" if row_state else ""
    return _NOWHERE, "opskit secret generate --pass" if row_state else ""
