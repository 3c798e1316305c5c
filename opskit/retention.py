"""Which versions in the swarm nobody needs any more: the surplus of superseded ones, orphans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from opskit.abra.model import DeclaredApp
from opskit.facts import Facts
from opskit.join import SecretRow, Uses
from opskit.swarm import model

FAILED_LABEL = "opskit.failed"
"""When a version whose rotation failed was kept; nothing uses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """Versions of one secret that another one replaced.

    Parameters
    ----------
    kept
        The newest, which wait for a way back.
    needed
        Those that a previous spec or a live task needs.
    surplus
        What can go.
    """

    kept: tuple[SecretRow, ...]
    needed: tuple[SecretRow, ...]
    surplus: tuple[SecretRow, ...]


def is_failed(secret: model.StoredObject) -> bool:
    """Return whether a version was kept though its rotation failed."""
    return FAILED_LABEL in (secret.spec.labels or {})


def superseded(rows: Iterable[SecretRow], uses: Uses, keep: int) -> list[Superseded]:
    """Return the superseded versions of each secret, the newest `keep` of them kept.

    A version kept though its rotation failed is none to return to: it does not count.
    """
    replaced: defaultdict[tuple[str, str], list[SecretRow]] = defaultdict(list)
    for row in rows:
        if row.state == "superseded":
            replaced[row.stack, row.secret].append(row)
    found: list[Superseded] = []
    for group in replaced.values():
        group.sort(key=_created, reverse=True)
        failed = [row for row in group if row.stored and is_failed(row.stored)]
        old = [row for row in group if row not in failed]
        rest = failed + old[keep:]
        needed = [row for row in rest if row.stored and uses.needed_by(row.stored.id)]
        found.append(
            Superseded(
                kept=tuple(old[:keep]),
                needed=tuple(needed),
                surplus=tuple(row for row in rest if row not in needed),
            )
        )
    return found


def why_doubted(facts: Facts, server: str, app: DeclaredApp | None) -> str:
    """Return why some app may declare what seems to be an orphan; nothing when none does.

    Parameters
    ----------
    facts, server
        What was read, and where the secret is.
    app
        The app whose stack its name begins with, if any.
    """
    for one in [app] if app else facts.apps_by_server.get(server, ()):
        unread = one.guessed or one.problems
        if app is None:
            # Only a .env could name a stack that is not known.
            unread = any(problem.path == one.env_file for problem in one.problems)
        if unread:
            return f"{one.name} may declare it, whose files cannot be read whole"
    folders = {one.folder for one in facts.declared.servers if one.name == server}
    for problem in facts.declared.problems:
        if folders & {problem.path, str(Path(problem.path).parent)}:
            return f"an app may declare it, as {problem.path} cannot be read"
    return ""


def _created(row: SecretRow) -> datetime:
    assert row.stored is not None, "superseded versions exist"
    return row.stored.created_at
