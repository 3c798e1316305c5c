"""Who could know a secret, and where else it counts: for incidents and departures.

Values cannot be compared, so "shared" means what is seen: one secret of the swarm that several
apps declare or several stacks use.
"""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any, Literal, assert_never, cast, get_args

from opskit.audit.remedies import Remedies
from opskit.facts.join import State
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import about
from opskit.views.views import Views

Priority = Literal["first", "soon", "then", "last"]
"""In which order to renew what somebody knows."""
PRIORITIES: tuple[Priority, ...] = get_args(Priority)


class UsesRow(Row, frozen=True, kw_only=True):
    """A row of where a secret counts: one version of it."""

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app that declares the secret.")]
    secret: Annotated[str, Column("Its name, without stack and version.")]
    version: Annotated[str | None, Column("What its name ends with.")]
    swarm_name: Annotated[str, Column("Its whole name.")]
    state: Annotated[str | None, Column("How it stands: `opskit.facts.join.State`.")]
    used_by: Annotated[list[str], Column("Services that use it.")]
    age_days: Annotated[float | None, Column("How old it is.", unit="days")]
    shared_with: Annotated[list[str], Column("Other apps that declare or use it.")]


class KnownRow(Row, frozen=True, kw_only=True):
    """A row of what a person could know: one secret in force."""

    priority: Annotated[Priority, Column("When to renew it: `known_to` says what counts how.")]
    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app that declares the secret.")]
    secret: Annotated[str, Column("Its name, without stack and version.")]
    version: Annotated[str | None, Column("What its name ends with.")]
    state: Annotated[str | None, Column("How it stands: `opskit.facts.join.State`.")]
    generate: Annotated[bool | None, Column("Whether a new value may be generated.")]
    known_from: Annotated[str, Column("Where the person met it: password store, journal.")]
    why: Annotated[str, Column("Why it has this priority.")]
    remedy: Annotated[str, Column("What renews it: a command where it is one.")]


_WAYS_IN = ("admin", "root", "master", "token", "access", "api", "ssh")
"""Parts of names of secrets that open something from the internet."""


def uses_of(views: Views, app: str, secret: str) -> View:
    """Return one `UsesRow` per version of an app's secret: who uses it, who shares it."""
    secrets = views.secrets
    apps = _apps_by_secret(views)
    rows = [
        UsesRow(
            server=row.server,
            app=row.app,
            secret=row.secret,
            version=row.version,
            swarm_name=row.swarm_name,
            state=_state(row),
            used_by=row.used_by,
            age_days=row.age_days,
            shared_with=sorted(apps[row.server, row.swarm_name] - {row.app}),
        )
        for row in secrets.records((secrets["app"] == app) & (secrets["secret"] == secret))
    ]
    shown = about(
        views.facts, "versions", "server", "app", "secret", "version", "state", "used_by",
        "age_days", "shared_with",
    )  # fmt: skip
    return View.from_rows(UsesRow, rows, shown)


def known_to(views: Views, *, readable: frozenset[str], made: frozenset[tuple[str, str]]) -> View:
    """Return the secrets a person could know, in the order in which to renew them.

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
        One `KnownRow` per secret in force. ``first``: its value comes from elsewhere, so it opens
        something that can be reached without the servers, or several apps share it. ``soon``:
        its name says that it opens a door. ``then``: others in use. ``last``: not in use.
    """
    apps = _apps_by_secret(views)
    remedies = Remedies(views)
    found: list[KnownRow] = []
    for row in views.secrets.records(views.secrets["declared"]):
        sources = []
        if f"{row.server}/{row.app}/{row.secret}" in readable:
            sources.append("password store")
        if (row.server, row.swarm_name) in made:
            sources.append("journal")
        if sources:
            priority, why = _priority(row, shared=len(apps[row.server, row.swarm_name]) > 1)
            found.append(
                KnownRow(
                    priority=priority,
                    server=row.server,
                    app=row.app,
                    secret=row.secret,
                    version=row.version,
                    state=_state(row),
                    generate=row.generate,
                    known_from=" and ".join(sources),
                    why=why,
                    remedy=_remedy(remedies, row),
                )
            )
    found.sort(key=lambda one: (PRIORITIES.index(one.priority), one.server, one.app, one.secret))
    shown = about(
        views.facts, "secrets", "priority", "server", "app", "secret", "known_from", "why"
    )
    return View.from_rows(KnownRow, found, shown)


def _remedy(remedies: Remedies, row: Any) -> str:
    """Return what gives it a new value; where nobody knows whether it is there, look first."""
    match _state(row):
        case None:
            return "Mend what keeps its server from being read."
        case "missing" | "undeployed" if not row.observed:
            return str(remedies.make(row.server, row.app, row.secret))
        case (
            "current" | "pending" | "missing" | "superseded" | "stale" | "orphan" | "undeployed"
            | "unknown"
        ):  # fmt: skip
            return str(remedies.renew(row.server, row.app, row.secret))
        case _ as unknown:
            assert_never(unknown)


def _state(row: Any) -> State | None:
    # A cell without a value is not None but NA.
    return cast("State", row.state) if isinstance(row.state, str) else None


def _priority(row: Any, *, shared: bool) -> tuple[Priority, str]:
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
    """Return the apps that declare or use each secret of a swarm, by server and swarm name."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for server, apps in views.facts.apps_by_server.items():
        for app in apps:
            for one in app.secrets:
                found[server, one.swarm_name].add(app.name)
    for service in views.services.records(views.services["app"].notna()):
        for name in service.secrets:
            found[service.server, name].add(service.app)
    return found
