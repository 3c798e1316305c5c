"""Who could know a secret, and where else it counts: for incidents and departures.

Values cannot be compared, so "shared" means what is seen: one secret of the swarm that several
apps declare or several stacks use.
"""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import defaultdict
from typing import Any

from opskit.views.frame import Columns, View, about
from opskit.views.views import Views

PRIORITIES = ("first", "soon", "then", "last")
"""In which order to renew what somebody knows."""

USES = {
    "server": "string",
    "app": "string",
    "secret": "string",
    "version": "string",
    "swarm_name": "string",
    "state": "string",
    "used_by": "object",
    "age_days": "float",
    "shared_with": "object",
}

KNOWN = {
    "priority": "category:" + ",".join(PRIORITIES),
    "server": "string",
    "app": "string",
    "secret": "string",
    "version": "string",
    "state": "string",
    "generate": "boolean",
    "known_from": "string",
    "why": "string",
    "remedy": "string",
}

_WAYS_IN = ("admin", "root", "master", "token", "access", "api", "ssh")
"""Parts of names of secrets that open something from the internet."""


def uses_of(views: Views, app: str, secret: str) -> View:
    """List every version of an app's secret: who uses it, and which other apps share it."""
    secrets = views.secrets
    apps = _apps_by_secret(views)
    columns = Columns(USES)
    for row in secrets.records((secrets["app"] == app) & (secrets["secret"] == secret)):
        columns.add(
            row.server,
            row.app,
            row.secret,
            row.version,
            row.swarm_name,
            _state(row),
            row.used_by,
            row.age_days,
            sorted(apps[row.server, row.swarm_name] - {row.app}),
        )
    return columns.view(
        about(
            views.facts, "versions", "server", "app", "secret", "version", "state", "used_by",
            "age_days", "shared_with",
        )
    )  # fmt: skip


def known_to(views: Views, *, readable: frozenset[str], made: frozenset[tuple[str, str]]) -> View:
    """List the secrets a person could know, in the order in which to renew them.

    Parameters
    ----------
    views
        The snapshot.
    readable
        Keys ``server/app/secret`` whose entry of the password store the person can open.
    made
        (server, swarm name) of the versions the person made.

    Returns
    -------
    View
        One row per secret in force. ``first``: its value comes from elsewhere, so it opens
        something that can be reached without the servers, or several apps share it. ``soon``:
        its name says that it opens a door. ``then``: others in use. ``last``: not in use.
    """
    apps = _apps_by_secret(views)
    found: list[tuple[Any, ...]] = []
    for row in views.secrets.records(views.secrets["declared"]):
        sources = []
        if f"{row.server}/{row.app}/{row.secret}" in readable:
            sources.append("password store")
        if (row.server, row.swarm_name) in made:
            sources.append("journal")
        if sources:
            priority, why = _priority(row, shared=len(apps[row.server, row.swarm_name]) > 1)
            verb = "rotate" if row.generate else "insert"
            remedy = f"opskit secret {verb} {row.app} {row.secret}"
            found.append(
                (priority, row.server, row.app, row.secret, row.version, _state(row),
                 row.generate, " and ".join(sources), why, remedy)
            )  # fmt: skip
    columns = Columns(KNOWN)
    for one in sorted(found, key=lambda one: (PRIORITIES.index(one[0]), *one[1:4])):
        columns.add(*one)
    return columns.view(
        about(views.facts, "secrets", "priority", "server", "app", "secret", "known_from", "why")
    )


def _state(row: Any) -> str | None:
    return row.state if isinstance(row.state, str) else None


def _priority(row: Any, *, shared: bool) -> tuple[str, str]:
    if not row.used_by:
        return "last", "no running service uses it"
    if shared:
        return "first", "several apps share it"
    if not row.generate:
        return "first", "it opens something outside the servers"
    if any(part in row.secret for part in _WAYS_IN):
        return "soon", "its name says that it lets somebody in"
    return "then", "in use inside its app"


def _apps_by_secret(views: Views) -> dict[tuple[str, str], set[str]]:
    """Give the apps that declare or use each secret of a swarm, by server and swarm name."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for server, apps in views.facts.apps_by_server.items():
        for app in apps:
            for one in app.secrets:
                found[server, one.swarm_name].add(app.name)
    for service in views.services.records(views.services["app"].notna()):
        for name in service.secrets:
            found[service.server, name].add(service.app)
    return found
