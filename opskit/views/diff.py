"""What changed between two snapshots, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from opskit.views.columns import Column, Row
from opskit.views.frame import About, View
from opskit.views.render import cell_text
from opskit.views.views import Views

Kind = Literal["server", "app", "secret", "service", "node"]


class ChangesRow(Row, frozen=True, kw_only=True):
    """A row of what changed between two snapshots: an object, or one field of it."""

    server: Annotated[str, Column("The server, as abra names it.")]
    kind: Annotated[Kind, Column("What changed.")]
    name: Annotated[str, Column("Its name; of a secret the whole name in the swarm.")]
    change: Annotated[
        Literal["added", "removed", "changed", "unknown"],
        Column("How it changed; unknown when only one of the snapshots could read its server."),
    ]
    field: Annotated[str | None, Column("Which column of its view is another.")] = None
    before: Annotated[str | None, Column("What the earlier snapshot says there.")] = None
    after: Annotated[str | None, Column("What the later snapshot says there.")] = None


_COMPARED: tuple[tuple[Kind, Sequence[str], Sequence[str]], ...] = (
    ("server", ["server"], ["reachable", "manager", "error", "engine", "autolock"]),
    ("app", ["server", "app"], ["recipe", "recipe_version", "revision", "stack", "deployed",
                                "deployed_version", "chaos", "running", "desired"]),
    ("secret", ["server", "swarm_name"], ["state", "declared", "observed", "used_by",
                                          "created_at"]),
    ("service", ["server", "service"], ["image", "running", "desired", "update_state",
                                        "secrets"]),
    ("node", ["server", "node"], ["role", "state", "availability", "engine"]),
)  # fmt: skip


def diff_view(later: Views, earlier: Views) -> View:
    """Return what changed between two snapshots.

    Returns
    -------
    View
        One row per object added or removed and per changed field. Objects of a server that
        could be read in only one of the two are ``unknown``, never added or removed.
    """
    rows: list[ChangesRow] = []
    facts = later.facts
    blind = set(facts.missing()) ^ set(earlier.facts.missing())
    for kind, key, fields in _COMPARED:
        before, after = _indexed(kind, earlier, key), _indexed(kind, later, key)
        for ident in sorted(before.keys() | after.keys()):
            server, name = ident[0], ident[-1]
            if kind != "server" and server in blind and kind != "app":
                continue
            old, new = before.get(ident), after.get(ident)
            if old is None or new is None:
                change = "removed" if new is None else "added"
                rows.append(ChangesRow(server=server, kind=kind, name=name, change=change))
                continue
            for field in fields:
                was, now = cell_text(old[field]), cell_text(new[field])
                if was != now:
                    rows.append(
                        ChangesRow(
                            server=server, kind=kind, name=name, change="changed",
                            field=field, before=was, after=now,
                        )
                    )  # fmt: skip
    rows += [
        ChangesRow(server=server, kind="server", name=server, change="unknown", field="contents")
        for server in sorted(blind)
    ]
    noun = About(
        noun="changes", goes=("server",), servers=len(facts.apps_by_server), missing=facts.missing()
    )
    return View.from_rows(ChangesRow, rows, noun)


def _indexed(kind: Kind, views: Views, key: Sequence[str]) -> dict[tuple[str, ...], dict[str, Any]]:
    made: View = getattr(views, f"{kind}s")
    return {
        tuple(cell_text(getattr(row, column)) for column in key): row._asdict()
        for row in made.records()
    }
