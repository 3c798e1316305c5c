"""What a view is: the rows it has of each server, and how they are described.

Its rows are known without pandas, which takes longer to load than a server to answer: whoever only
prints them takes a `Listing`, everybody else a `opskit.views.frame.View`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from opskit.facts.facts import Facts, Part
from opskit.views.cells import Cells
from opskit.views.columns import Row, columns_of

_YEARS = range(1678, 2262)
"""Of which all times have nanoseconds."""

_NAMED = 6
_NUMBERS = frozenset({"Int64", "float"})


def known_time(value: datetime | None) -> datetime | None:
    """Return a time that a view can have: Go's of what never was is in year 1."""
    return value if value is not None and value.year in _YEARS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a view is about.

    Parameters
    ----------
    noun, remark
        What its rows are, and what else the caption says.
    shown
        The columns worth showing.
    goes
        Those of them that go where a table has no room for all, the first first; server
        and app go to a line above their rows.
    joined
        In a notebook the columns of each stand below each other in one of its name, and other
        columns are left out, so that a wide view fits the page.
    key
        The columns that tell one row from every other.
    servers, missing
        How many servers there are, and which of them are missing, and why.
    """

    noun: str = "rows"
    remark: str = ""
    shown: tuple[str, ...] = ()
    goes: tuple[str, ...] = ()
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    key: tuple[str, ...] = ()
    servers: int = 0
    missing: Mapping[str, str] = field(default_factory=dict[str, str])

    def caption(self, rows: int) -> str:
        """Return how many rows there are, and which servers are missing."""
        noun = self.noun.removesuffix("s") if rows == 1 else self.noun
        parts = (f"{rows:,} {noun}", self.remark, self.missing_servers)
        return " · ".join(part for part in parts if part)

    @property
    def missing_counted(self) -> str:
        """Count the servers that are missing; empty when none is."""
        return f"{len(self.missing)} of {self.servers} servers missing" if self.missing else ""

    @property
    def missing_servers(self) -> str:
        """Name the servers that are missing; empty when none is."""
        if not self.missing:
            return ""
        names = ", ".join(list(self.missing)[:_NAMED])
        more = len(self.missing) - _NAMED
        names += f" and {more} more" if more > 0 else ""
        return f"{self.missing_counted}: {names}"

    def shown_of(self, present: Sequence[str]) -> list[str]:
        """Return which columns a table shows: the telling ones where all are there, else all."""
        is_whole = bool(self.shown) and set(self.shown) <= set(present)
        return list(self.shown) if is_whole else list(present)


def about(facts: Facts, noun: str, *shown: str, key: str = "", goes: tuple[str, ...] = ()) -> About:
    """Return the description of a view over these facts; see `About`.

    `key` is the column that tells a row from every other of its server, where one does; a secret
    for which a recipe has two keys has two rows.
    """
    return About(
        noun=noun,
        key=tuple(dict.fromkeys(("server", key))) if key else (),
        shown=shown,
        goes=goes,
        servers=len(facts.apps_by_server),
        # A server whose list of this was refused is missing here, too.
        missing=facts.unknown(noun),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What one view is.

    Parameters
    ----------
    row
        The struct whose fields are its columns.
    rows
        Makes the rows about one server, of nothing but its part.
    about
        Describes the view, given what tells whether a column says anything (more than 0) in it.
    completed
        Adds to the rows what more than one server's part tells.
    """

    row: type[Row]
    rows: Callable[[Part], Iterable[Row]]
    about: Callable[[Facts, Callable[[str], bool]], About]
    completed: Callable[[Row, Facts, frozenset[str] | None], Row] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The rows of a view as they are made.

    Parameters
    ----------
    kind, rows
        What they are, and the rows.
    about
        How they are described.
    """

    kind: type[Row]
    rows: Sequence[Row]
    about: About

    @classmethod
    def of(cls, table: Table, facts: Facts, in_pass: frozenset[str] | None) -> Listing:
        """Make the rows of a view over some facts."""
        rows = [row for part in facts.parts.values() for row in table.rows(part)]
        if completed := table.completed:
            rows = [completed(row, facts, in_pass) for row in rows]
        fields = {column.name: field for field, (_, column) in columns_of(table.row).items()}

        def says(column: str) -> bool:
            return any(getattr(row, fields[column]) for row in rows)

        return cls(kind=table.row, rows=rows, about=table.about(facts, says))

    @property
    def columns(self) -> list[str]:
        """Its columns."""
        return [column.name for _, column in columns_of(self.kind).values()]

    @property
    def caption(self) -> str:
        """How many rows there are, and which servers are missing."""
        return self.about.caption(len(self.rows))

    @property
    def goes(self) -> tuple[str, ...]:
        """Name the columns that go where a table has no room for all, the first first."""
        return self.about.goes

    def shown_columns(self) -> list[str]:
        """Return which columns a table shows."""
        return self.about.shown_of(self.columns)

    def keep(self, wanted: Callable[[Any], bool]) -> Listing:
        """Return the rows that are wanted."""
        return replace(self, rows=list(filter(wanted, self.rows)))

    def cells(self, columns: Sequence[str]) -> Cells:
        """Return what is to be shown of some columns."""
        named = {column.name: (at, dtype) for at, (dtype, column) in columns_of(self.kind).items()}
        picked = [self._values(*named[name]) for name in columns]
        return Cells(
            columns=columns,
            numeric={name for name in columns if named[name][1] in _NUMBERS},
            rows=list(zip(*picked, strict=True)),
            total=len(self.rows),
        )

    def _values(self, field: str, dtype: str) -> list[Any]:
        values = [getattr(row, field) for row in self.rows]
        return list(map(known_time, values)) if dtype == "time" else values
