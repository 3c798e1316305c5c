"""Checks of secret versions: their state, their age, their names."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from opskit.audit.registry import Finding, check
from opskit.views.views import Views

MAX_AGE_DAYS = 365
NAME_LIMIT = 64
_NAME_MARGIN = 2


def _rows(views: Views, state: str) -> Iterator[Any]:
    return views.secrets.records(views.secrets["state"] == state)


def _text(value: object) -> str | None:
    return None if value is None or value is pd.NA else str(value)


def _users(row: Any) -> str:
    return ", ".join(row.used_by)


@check("secret-missing", severity="high", title="A declared secret is not in the swarm")
def missing(views: Views) -> Iterator[Finding]:
    """Find secrets without which the next deploy of a running app fails."""
    for row in _rows(views, "missing"):
        verb = "insert" if row.generate is False or row.generate is pd.NA else "generate"
        yield Finding(
            server=row.server,
            app=row.app,
            secret=row.secret,
            what=f"{row.swarm_name} is declared and not in the swarm: the next deploy fails.",
            remedy=f"opskit secret {verb} {row.app} {row.secret}",
        )


@check("secret-stale", severity="high", title="An undeclared version is still in use")
def stale(views: Views) -> Iterator[Finding]:
    """Find versions that services still use though the ``.env`` declares another."""
    for row in _rows(views, "stale"):
        yield Finding(
            server=row.server,
            app=_text(row.app),
            secret=row.secret,
            what=f"{row.swarm_name} is still used by {_users(row)}, and the .env declares another.",
            remedy=f"opskit app deploy {row.app}",
        )


@check("secret-pending", severity="medium", title="A declared version is not used yet")
def pending(views: Views) -> Iterator[Finding]:
    """Find declared versions that wait for a deploy."""
    for row in _rows(views, "pending"):
        yield Finding(
            server=row.server,
            app=row.app,
            secret=row.secret,
            what=f"{row.swarm_name} is declared and exists, and no service uses it yet.",
            remedy=f"opskit app deploy {row.app}",
        )


@check("secret-superseded", severity="low", title="An old version is left over")
def superseded(views: Views) -> Iterator[Finding]:
    """Find versions nothing uses any more; one back is kept by default for a way back."""
    for row in _rows(views, "superseded"):
        yield Finding(
            server=row.server,
            app=_text(row.app),
            secret=row.secret,
            what=f"{row.swarm_name} is unused and no longer declared.",
            remedy=f"opskit secret prune {row.app}",
        )


@check("secret-orphan", severity="medium", title="A secret belongs to no app")
def orphan(views: Views) -> Iterator[Finding]:
    """Find secrets whose stack or name no app declares."""
    for row in _rows(views, "orphan"):
        used = _users(row)
        what = f"no app declares {row.swarm_name}" + (f", yet {used} uses it." if used else ".")
        yield Finding(
            server=row.server,
            app=_text(row.app),
            secret=row.secret,
            what=what,
            remedy=(
                "Find whose it is before you touch it."
                if used
                else "If nobody misses it: opskit secret remove --orphans "
                f"--where \"swarm_name == '{row.swarm_name}'\""
            ),
        )


@check(
    "secret-old",
    severity="medium",
    title=f"A secret in use is older than {MAX_AGE_DAYS} days",
    reference="OWASP Secrets Management Cheat Sheet: rotate machine secrets regularly",
)
def old(views: Views) -> Iterator[Finding]:
    """Find secrets in use that nobody has rotated for over a year."""
    secrets = views.secrets
    aged: Any = (secrets["age_days"] > MAX_AGE_DAYS) & secrets["used_by"].map(bool)
    for row in secrets.records(aged):
        yield Finding(
            server=row.server,
            app=_text(row.app),
            secret=row.secret,
            what=f"{row.swarm_name} is {row.age_days:,.0f} days old and in use.",
            remedy="Rotate it once its app's .env can be read."
            if _text(row.state) == "unknown"
            else f"opskit secret rotate {row.app} {row.secret}"
            if _text(row.app)
            else "Rotate it with whatever made it.",
        )


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
        yield Finding(
            server=row.server,
            app=_text(row.app),
            secret=row.secret,
            severity="high" if over else None,
            what=f"{row.swarm_name} has {length} of at most {NAME_LIMIT} characters.",
            remedy="Give the app a shorter STACK_NAME before its first deploy."
            if over
            else "Mind v9 → v10; use a short version such as v2, or plan a shorter STACK_NAME.",
        )
