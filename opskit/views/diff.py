"""What changed between two snapshots, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opskit.facts import Facts
from opskit.views.apps import apps_view, servers_view
from opskit.views.frame import About, Columns, View
from opskit.views.render import cell_text
from opskit.views.secrets import secrets_view
from opskit.views.swarm import nodes_view, services_view

SCHEMA = {
    "server": "string",
    "kind": "category:server,app,secret,service,node",
    "name": "string",
    "change": "category:added,removed,changed,unknown",
    "field": "string",
    "before": "string",
    "after": "string",
}

_COMPARED: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
    ("server", ["server"], ["reachable", "manager", "error", "engine", "autolock"]),
    ("app", ["server", "app"], ["recipe", "recipe_version", "revision", "stack", "deployed",
                                "deployed_version", "chaos", "running", "desired"]),
    ("secret", ["server", "swarm_name"], ["state", "declared", "observed", "used_by",
                                          "created_at"]),
    ("service", ["server", "service"], ["image", "running", "desired", "update_state",
                                        "secrets"]),
    ("node", ["server", "node"], ["role", "state", "availability", "engine"]),
)  # fmt: skip


def diff_view(later: Facts, earlier: Facts) -> View:
    """Compare two snapshots.

    Returns
    -------
    View
        One row per object added or removed and per changed field. Objects of a server that
        could be read in only one of the two are ``unknown``, never added or removed.
    """
    columns = Columns(SCHEMA)
    blind = set(later.missing()) ^ set(earlier.missing())
    for kind, key, fields in _COMPARED:
        before, after = _indexed(kind, earlier, key), _indexed(kind, later, key)
        for ident in sorted(before.keys() | after.keys()):
            server, name = ident[0], ident[-1]
            if kind != "server" and server in blind and kind != "app":
                continue
            old, new = before.get(ident), after.get(ident)
            if old is None or new is None:
                columns.add(
                    server, kind, name, "removed" if new is None else "added", None, None, None
                )
                continue
            for field in fields:
                was, now = cell_text(old[field]), cell_text(new[field])
                if was != now:
                    columns.add(server, kind, name, "changed", field, was, now)
    for server in sorted(blind):
        columns.add(server, "server", server, "unknown", "contents", None, None)
    return columns.view(
        About(noun="changes", servers=len(later.apps_by_server), missing=later.missing())
    )


def _indexed(kind: str, facts: Facts, key: Sequence[str]) -> dict[tuple[str, ...], dict[str, Any]]:
    make = {
        "server": servers_view,
        "app": apps_view,
        "secret": secrets_view,
        "service": services_view,
        "node": nodes_view,
    }[kind]
    return {
        tuple(cell_text(getattr(row, column)) for column in key): row._asdict()
        for row in make(facts).records()
    }
