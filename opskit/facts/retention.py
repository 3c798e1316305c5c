"""Which superseded versions in the swarm nobody needs any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from opskit.facts.join import SecretRow, Uses
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


def _created(row: SecretRow) -> datetime:
    assert row.stored is not None, "superseded versions exist"
    return row.stored.created_at
