"""Checks of secret versions: their state, their age, their names."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_never

import pandas as pd

from opskit.audit.registry import Finding, Severity, check
from opskit.audit.remedies import Remedies, Remedy
from opskit.facts.join import State, secret_rows, uses
from opskit.facts.retention import superseded as superseded_rows
from opskit.settings import read_settings
from opskit.swarm.model import NAME_LIMIT
from opskit.views.views import Views

MAX_AGE_DAYS = 365
_NAME_MARGIN = 2


def _rows(views: Views, state: str) -> Iterator[Any]:
    return views.secrets.records(views.secrets["state"] == state)


def _text(value: object) -> str | None:
    return None if value is None or value is pd.NA else str(value)


def _users(row: Any) -> str:
    """Name the services that use it; those of its own stack as the compose file does."""
    return ", ".join(one.removeprefix(f"{row.stack}_") for one in row.used_by)


def _version(row: Any) -> str:
    """Return what a finding calls a version, beside its app and secret."""
    return _text(row.version) or row.swarm_name


def _finding(
    row: Any, *, what: str, remedy: Remedy | str, severity: Severity | None = None
) -> Finding:
    """Return a finding about the version of a secret that is this row of the secrets view."""
    return Finding(
        server=row.server,
        app=_text(row.app),
        secret=row.secret,
        subject=row.swarm_name,
        severity=severity,
        what=what,
        remedy=remedy,
    )


@check("secret-missing", severity="high", title="A declared secret is not in the swarm")
def missing(views: Views) -> Iterator[Finding]:
    """Find secrets without which the next deploy of a running app fails."""
    remedies = Remedies(views)
    for row in _rows(views, "missing"):
        yield _finding(
            row,
            what=f"{_version(row)} is missing: the next deploy fails.",
            remedy=remedies.make(row.server, row.app, row.secret),
        )


@check("secret-stale", severity="high", title="An undeclared version is still in use")
def stale(views: Views) -> Iterator[Finding]:
    """Find versions that services still use though the ``.env`` declares another."""
    remedies = Remedies(views)
    for row in _rows(views, "stale"):
        yield _finding(
            row,
            what=f"{_version(row)} is still used by {_users(row)}, and no longer declared.",
            remedy=remedies.deploy(row.server, row.app),
        )


@check("secret-pending", severity="medium", title="A declared version is not used yet")
def pending(views: Views) -> Iterator[Finding]:
    """Find declared versions that wait for a deploy."""
    remedies = Remedies(views)
    for row in _rows(views, "pending"):
        yield _finding(
            row,
            what=f"{_version(row)} is declared, and not used yet.",
            remedy=remedies.deploy(row.server, row.app),
        )


@check(
    "secret-superseded",
    severity="low",
    title="Old versions are left over",
    background="old-versions",
)
def superseded(views: Views) -> Iterator[Finding]:
    """Find all versions that a prune of a secret takes: those kept for a way back are no fault."""
    remedies, keep = Remedies(views), read_settings().keep
    for seen in views.facts.observed:
        server = seen.server
        rows = secret_rows(views.facts.apps_by_server[server], seen, views.facts.around(server))
        for one in superseded_rows(rows, uses(seen.services, seen.tasks), keep):
            if not one.surplus:
                continue
            # v9 before v10.
            old = sorted(one.surplus, key=lambda row: (len(row.swarm_name), row.swarm_name))
            app, secret = old[0].app, old[0].secret
            assert app is not None, "an app declares another version"
            *others, last = map(_version, old)
            named = f"{', '.join(others)} and {last} are" if others else f"{last} is"
            yield Finding(
                server=server,
                app=app.name,
                secret=secret,
                # Whoever lets it be lets all be that the prune takes.
                subject=" ".join(row.swarm_name for row in old),
                what=f"{named} unused and no longer declared.",
                remedy=remedies.prune(server, app.name, secret),
            )


@check("secret-orphan", severity="medium", title="A secret belongs to no app")
def orphan(views: Views) -> Iterator[Finding]:
    """Find secrets whose stack or name no app declares."""
    remedies = Remedies(views)
    needs = {one.server: uses(one.services, one.tasks) for one in views.facts.observed}
    for row in _rows(views, "orphan"):
        used = _users(row)
        what = f"no app declares {_version(row)}" + (f", yet {used} uses it." if used else ".")
        needed = ", ".join(needs[row.server].needed_by(row.secret_id))
        yield _finding(
            row,
            what=what,
            remedy=remedies.forget(row.server, row.swarm_name, needed),
        )


@check(
    "secret-old",
    severity="medium",
    title=f"A secret in use is older than {MAX_AGE_DAYS} days",
    reference="OWASP Secrets Management Cheat Sheet: rotate machine secrets regularly",
    background="old-versions",
)
def old(views: Views) -> Iterator[Finding]:
    """Find secrets in use that nobody has rotated for over a year."""
    secrets, remedies = views.secrets, Remedies(views)
    aged: Any = (secrets["age_days"] > MAX_AGE_DAYS) & secrets["used_by"].map(bool)
    for row in secrets.records(aged):
        yield _finding(
            row,
            what=f"{_version(row)} is {row.age_days:,.0f} days old and in use.",
            remedy=_renewed(remedies, row),
        )


def _renewed(remedies: Remedies, row: Any) -> Remedy | str:
    state: State = row.state
    match state:
        case "stale":
            return remedies.deploy(row.server, row.app)
        case "orphan":
            return "Rotate it with whatever made it."
        case "unknown":
            return "Rotate it once its app's .env can be read."
        case "current" | "pending" | "missing" | "superseded" | "undeployed":
            return remedies.renew(row.server, row.app, row.secret)
        case _ as unknown:
            assert_never(unknown)


@check(
    "secret-name-long",
    severity="medium",
    title=f"A secret's name is within {_NAME_MARGIN} characters of Swarm's {NAME_LIMIT}",
    reference="swarmkit: names of secrets have at most 64 characters",
)
def name_long(views: Views) -> Iterator[Finding]:
    """Find names that a longer version number (``v9`` → ``v10``) would push over the limit."""
    secrets = views.secrets
    long: Any = secrets["swarm_name"].str.len() >= NAME_LIMIT - _NAME_MARGIN
    for row in secrets.records(long):
        length = len(row.swarm_name)
        over = length > NAME_LIMIT
        yield _finding(
            row,
            severity="high" if over else None,
            what=f"the name of {_version(row)} has {length} of at most {NAME_LIMIT} characters.",
            remedy="Give the app a shorter STACK_NAME before its first deploy."
            if over
            else "Mind v9 → v10; use a short version such as v2, or plan a shorter STACK_NAME.",
        )
