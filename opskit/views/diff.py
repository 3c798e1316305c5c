"""What changed between two snapshots, as one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Annotated, Literal, TypeVar

from opskit.facts.facts import Part
from opskit.views.apps import APPS, SERVERS
from opskit.views.cells import cell_text
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.secrets import SECRETS
from opskit.views.services import SERVICES
from opskit.views.swarm import NODES
from opskit.views.table import About, Table
from opskit.views.views import Views

_Key = TypeVar("_Key", str, tuple[str, ...])
_Of = TypeVar("_Of")
Kind = Literal["server", "app", "secret", "service", "node"]
Change = Literal["added", "removed", "changed"]
_GROWING = frozenset({"age_days", "taken_at"})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """What of one view is compared: none of it may rest on a recipe's releases."""

    table: Table
    name: str
    """The column that names an object of a server."""
    fields: Sequence[str]


_COMPARED: Mapping[Kind, _Compared] = {
    "server": _Compared(
        table=SERVERS, name="server", fields=["reachable", "manager", "error", "engine", "autolock"]
    ),
    "app": _Compared(
        table=APPS, name="app",
        fields=["recipe", "recipe_version", "revision", "stack", "deployed", "deployed_version",
                "chaos", "running", "desired"],
    ),
    "secret": _Compared(
        table=SECRETS,
        name="swarm_name",
        fields=["state", "declared", "observed", "used_by", "created_at"],
    ),
    "service": _Compared(
        table=SERVICES,
        name="service",
        fields=["image", "running", "desired", "update_state", "secrets"],
    ),
    "node": _Compared(
        table=NODES, name="node_id", fields=["role", "state", "availability", "engine"]
    ),
}  # fmt: skip


def diff_view(later: Views, earlier: Views) -> View:
    """Return what changed between two snapshots.

    Rows are made of those servers only about which something differs.

    Returns
    -------
    View
        One row per object added or removed and per changed field. Objects of a server that
        could be read in only one of the two are ``unknown``, never added or removed.
    """
    facts, missing = later.facts, later.facts.missing()
    blind = set(missing) ^ set(earlier.facts.missing())
    found: dict[Kind, list[ChangesRow]] = {kind: [] for kind in _COMPARED}
    for server in facts.differing(earlier.facts):
        before, after = earlier.facts.part(server), facts.part(server)
        for kind in _COMPARED:
            if server not in blind or kind in ("server", "app"):
                found[kind] += _changes(server, kind, before, after)
    rows = [row for of_kind in found.values() for row in of_kind]
    rows += [
        ChangesRow(server=server, kind="server", name=server, change="unknown", field="contents")
        for server in sorted(blind)
    ]
    noun = About(
        noun="changes", goes=("server",), servers=len(facts.apps_by_server), missing=missing
    )
    return View.from_rows(ChangesRow, rows, noun)


def _changes(
    server: str, kind: Kind, before: Part | None, after: Part | None
) -> Iterator[ChangesRow]:
    compared = _COMPARED[kind]
    olds, news = _rows_by_name(compared, before), _rows_by_name(compared, after)
    for name, old, new in _paired(olds, news):
        if old is None or new is None:
            change = "removed" if new is None else "added"
            yield ChangesRow(server=server, kind=kind, name=name, change=change)
            continue
        for field in compared.fields:
            was, now = getattr(old, field), getattr(new, field)
            # Texts are made of what differs only: most of two looks is alike.
            if was != now and (texts := (_text(was), _text(now))) and texts[0] != texts[1]:
                yield ChangesRow(
                    server=server, kind=kind, name=name, change="changed", field=field,
                    before=texts[0], after=texts[1],
                )  # fmt: skip


def _rows_by_name(compared: _Compared, part: Part | None) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in compared.table.rows(part) if part else ():
        found.setdefault(cell_text(getattr(row, compared.name)), {})[_apart(row)] = row
    return found


def _text(value: object) -> str:
    """Return a value as text, a time in UTC as in a view."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        with suppress(OverflowError):
            value = value.astimezone(UTC)
    return cell_text(value)


class Changes:
    """Tells which rows of a view change from one snapshot to the next, by what is shown of them.

    Of what is in a server that is missing nothing is told until it can be read again. A server
    itself and the apps that files declare are there all the same, so what changes of them is told.

    Parameters
    ----------
    view
        The view of the first snapshot.
    columns
        What is shown; what only grows older is no change.
    """

    def __init__(self, view: View, columns: Sequence[str]) -> None:
        self._columns = columns
        self._is_declared = set(view.key) <= {"server", "app"}
        self._known = self._rows(view)

    def since_then(self, view: View) -> list[tuple[Change, list[str]]]:
        """Return how which rows differ from those of the time before, each as texts."""
        before, unread = self._known, () if self._is_declared else view.missing
        found = {key: row for key, row in self._rows(view).items() if key[0] not in unread}
        now = found | {key: row for key, row in before.items() if key[0] in unread}
        self._known = now
        changes: list[tuple[Change, list[str]]] = []
        for _, old, new in _paired(before, now):
            if new is None:
                changes.append(("removed", old or []))
            elif old is None:
                changes.append(("added", new))
            elif self._lasting(old) != self._lasting(new):
                changes.append(("changed", new))
        return changes

    def _rows(self, view: View) -> dict[tuple[str, ...], dict[str, list[str]]]:
        found: dict[tuple[str, ...], dict[str, list[str]]] = {}
        for row in view.records():
            key = tuple(cell_text(getattr(row, name)) for name in view.key)
            texts = [cell_text(getattr(row, name)) for name in self._columns]
            found.setdefault(key, {})[_apart(row)] = texts
        return found

    def _lasting(self, row: list[str]) -> list[str]:
        pairs = zip(self._columns, row, strict=True)
        return [text for name, text in pairs if name not in _GROWING]


def _apart(row: object) -> str:
    """Return what tells rows of one name apart: a recipe may have two keys for one secret."""
    return cell_text(getattr(row, "secret", ""))


def _paired(
    olds: Mapping[_Key, Mapping[str, _Of]], news: Mapping[_Key, Mapping[str, _Of]]
) -> Iterator[tuple[_Key, _Of | None, _Of | None]]:
    """Yield each name with a row before and after: of two rows the same one, else what is there.

    What is called otherwise since is the same all the same, as long as it is one.
    """
    for key in sorted(olds.keys() | news.keys()):
        before, after = olds.get(key, {}), news.get(key, {})
        both = before.keys() & after.keys()
        for one in sorted(both):
            yield key, before[one], after[one]
        rest = ([rows[one] for one in sorted(rows.keys() - both)] for rows in (before, after))
        for old, new in zip_longest(*rest):
            yield key, old, new
