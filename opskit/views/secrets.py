"""The secrets view: one row per version of every secret, declared and observed joined."""

from __future__ import annotations

import re

from opskit.facts import Facts
from opskit.join import SecretRow, secret_rows
from opskit.views.frame import Columns, View, about

STATES = ("current", "pending", "missing", "superseded", "stale", "orphan", "undeployed")

SCHEMA = {
    "server": "string",
    "app": "string",
    "recipe": "string",
    "stack": "string",
    "secret": "string",
    "version": "string",
    "swarm_name": "string",
    "state": "category:" + ",".join(STATES),
    "declared": "bool",
    "observed": "bool",
    "env_key": "string",
    "env_file": "string",
    "env_line": "Int64",
    "used_by": "object",
    "created_at": "time",
    "age_days": "float",
    "generate": "boolean",
    "length": "Int64",
    "charset": "string",
    "in_pass": "boolean",
    "secret_id": "string",
    "labels": "object",
}

_SECONDS_PER_DAY = 86_400


def secrets_view(facts: Facts, in_pass: frozenset[str] | None = None) -> View:
    """Build the secrets view.

    Parameters
    ----------
    facts
        The snapshot's facts.
    in_pass
        Keys ``server/app/secret`` found in the password store; ``None`` when not looked up.

    Returns
    -------
    View
        One row per (server, stack, secret, version), the union of declared and observed.
        ``state`` is ``current`` (declared, exists, used by the running services), ``pending``
        (declared, exists, services do not use it yet), ``missing`` (declared, not in the
        swarm), ``superseded`` (exists, another version is declared, unused), ``stale`` (still
        used though another version is declared), ``orphan`` (no app declares its stack or
        secret), ``undeployed`` (the app is not deployed), or NA when the server could not be
        read. A server's rows are in the order of app, secret and version, those of no app last.
        ``used_by`` lists services by current spec or live task. ``created_at`` is
        ``datetime64[ns, UTC]``, ``age_days`` counts to the snapshot's time.
    """
    columns = Columns(SCHEMA)
    for server, apps in facts.apps_by_server.items():
        for row in sorted(secret_rows(apps, facts.seen.get(server)), key=_place):
            app, declared, stored = row.app, row.declared, row.stored
            name = app.name if app else None
            columns.add(
                server,
                name,
                app.recipe if app else None,
                row.stack or None,
                row.secret,
                row.version or None,
                row.swarm_name,
                row.state,
                declared is not None,
                stored is not None,
                (declared.env_key or None) if declared else None,
                app.env_file if app else None,
                (declared.env_line or None) if declared else None,
                row.used_by,
                stored.created_at if stored else None,
                (facts.taken_at - stored.created_at).total_seconds() / _SECONDS_PER_DAY
                if stored
                else None,
                declared.generate if declared else None,
                declared.length if declared else None,
                (declared.charset or None) if declared else None,
                None if in_pass is None else f"{server}/{name}/{row.secret}" in in_pass,
                stored.id if stored else None,
                (stored.spec.labels or {}) if stored else {},
            )
    return columns.view(
        about(
            facts, "secrets", "server", "app", "secret", "version", "state", "used_by", "age_days"
        )
    )


def _place(row: SecretRow) -> tuple[bool, str, str, list[tuple[int, str]]]:
    """Give where a row stands among its server's: v9 before v10."""
    parts = re.findall(r"\d+|\D+", row.version or "")
    version = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
    return row.app is None, row.app.name if row.app else "", row.secret, version
