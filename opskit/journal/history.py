"""Reading the journal: its rows as records, and as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import msgspec

from opskit.decoding import decode_json, ready
from opskit.journal.database import Database
from opskit.journal.records import Scalar, name_in
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About

_R = TypeVar("_R", bound=msgspec.Struct)
_Row = TypeVar("_Row", bound=Row)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = frozenset({"started_at", "finished_at", "at"})
_MAPPINGS = frozenset({"detail", "result", "data"})


class RunsRow(Row, frozen=True, kw_only=True):
    """A row of the journal's list of runs; times as the database has them, in nanoseconds."""

    run: Annotated[str, Column("Its id.")]
    kind: Annotated[str, Column("What its plan was to do, such as rotate.")]
    apps: Annotated[str, Column("The apps of its plan, or how many there are.")]
    secrets: Annotated[str, Column("The secrets of its plan, or how many there are.")]
    status: Annotated[str, Column("How it ended; crashed when it stopped without an end.")]
    steps: Annotated[int, Column("How many steps were begun.")]
    failed: Annotated[int, Column("How many of them failed.")]
    actor: Annotated[str, Column("The operating system's user.")]
    identity: Annotated[str, Column("The person that was claimed.")]
    who: Annotated[str, Column("The same by name alone, and who undid it; else the user.")]
    undone_by: Annotated[str | None, Column("Who last undid a step of it.")]
    host: Annotated[str, Column("The machine it ran on.")]
    pid: Annotated[int, Column("Its process there.")]
    tool_version: Annotated[str, Column("The version of opskit.")]
    plan_digest: Annotated[str, Column("SHA-256 of its plan.")]
    started_at: Annotated[int, Column("When it began.", dtype="time")]
    finished_at: Annotated[int | None, Column("When it ended.", dtype="time")]
    seconds: Annotated[float | None, Column("How long it took.", unit="seconds")]


class StepsRow(Row, frozen=True, kw_only=True):
    """A row of the journal's list of steps; times as the database has them, in nanoseconds."""

    run: Annotated[str, Column("The run's id.")]
    unit: Annotated[int, Column("Which stack of the plan, from 0.")]
    step: Annotated[int, Column("Which step of this stack, from 0.")]
    phase: Annotated[str, Column("do or undo.")]
    attempt: Annotated[int, Column("How often it was tried.")]
    status: Annotated[str, Column("running, done, skipped or failed.")]
    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app.")]
    stack: Annotated[str, Column("The app's stack.")]
    action: Annotated[str, Column("What kind of step it is.")]
    subject: Annotated[str, Column("What it changes.")]
    detail: Annotated[str, Column("What was intended, as JSON.")]
    result: Annotated[str, Column("What was made, as JSON.")]
    error: Annotated[str, Column("Why it failed.")]
    started_at: Annotated[int, Column("When it was last begun.", dtype="time")]
    finished_at: Annotated[int | None, Column("When it ended.", dtype="time")]
    seconds: Annotated[float | None, Column("How long it took.", unit="seconds")]


def _named(what: str, where: str) -> str:
    """Return the query of what a plan names; of a plan that is not read, nothing."""
    query = f"SELECT json_group_array(DISTINCT {what}) FROM {where}"  # noqa: S608 (both are above)
    return f"CASE WHEN json_valid(CAST(runs.plan AS TEXT)) THEN ({query}) ELSE '[]' END"


_RUNS_SHOWN = ("run", "kind", "apps", "secrets", "status", "who", "started_at", "seconds")
_RUNS_GO = ("seconds", "secrets", "apps", "who")
_STEPS_SHOWN = (
    *("run", "unit", "step", "phase", "status", "server", "app", "action", "subject"),
    *("error", "seconds"),
)
_STEPS_GO = ("unit", "run", "seconds", "phase", "server", "step")
_STEPS_OF_ONE = tuple(name for name in _STEPS_SHOWN if name not in ("run", "unit", "step"))
_NAMED = 3
"""So many apps or secrets of a run are named, and more are counted."""

_UNITS = "json_each(CAST(runs.plan AS TEXT), '$.units') AS unit"
_COMPUTED = {
    "steps": "(SELECT count(*) FROM steps WHERE steps.run = runs.run)",
    "failed": "(SELECT count(*) FROM steps WHERE steps.run = runs.run AND status = 'failed')",
    "undone_by": (
        "(SELECT json_extract(detail, '$.by') FROM steps WHERE steps.run = runs.run"
        " AND phase = 'undo' ORDER BY started_at DESC LIMIT 1)"
    ),
    "seconds": "(finished_at - started_at) / 1e9",
    "apps": _named("unit.value ->> '$.app'", _UNITS),
    "secrets": _named(
        "change.value ->> '$.secret'", f"{_UNITS}, json_each(unit.value, '$.changes') AS change"
    ),
    "who": "CASE identity WHEN '' THEN actor ELSE identity END",
}
"""Columns that no table has."""


def records(database: Database, kind: type[_R], table: str, /, **where: str) -> list[_R]:
    """Return the rows of a table whose columns are as in `where`, oldest first."""
    conditions = " AND ".join(f"{name} = ?" for name in where)
    return records_of(
        database, kind, f"{table} WHERE {conditions} ORDER BY rowid", {}, tuple(where.values())
    )


def record(database: Database, kind: type[_R], table: str, /, **where: str) -> _R:
    """Return the only row of a table whose columns are as in `where`."""
    found = records(database, kind, table, **where)
    if len(found) != 1:
        raise database.damaged(f"{len(found)} rows of {table} where one is to be")
    return found[0]


def records_of(
    database: Database,
    kind: type[_R],
    source: str,
    computed: Mapping[str, str],
    arguments: tuple[object, ...],
) -> list[_R]:
    """Return rows as records; `computed` gives the columns that the source has not itself."""
    names = kind.__struct_fields__
    wanted = ", ".join(computed.get(name, name) for name in names)
    rows = database.read(f"SELECT {wanted} FROM {source}", arguments)  # noqa: S608
    return [_record(database, kind, dict(zip(names, row, strict=True))) for row in rows]


def runs_view(database: Database, is_held: Callable[[str], bool]) -> View:
    """Return all runs, oldest first; one that stopped without an end is ``crashed``."""
    rows = rows_of(database, RunsRow, "runs ORDER BY started_at, run", _COMPUTED)
    crashed = {row.run for row in rows if row.status == "running" and not is_held(row.run)}
    rows = [
        msgspec.structs.replace(
            row,
            status="crashed" if row.run in crashed else row.status,
            apps=_few(row.apps, "apps"),
            secrets=_few(row.secrets, "secrets"),
            who=", undone by ".join(name_in(one) for one in (row.who, row.undone_by) if one),
        )
        for row in rows
    ]
    return View.from_rows(RunsRow, rows, About(noun="runs", shown=_RUNS_SHOWN, goes=_RUNS_GO))


def steps_view(database: Database, run: str | None) -> View:
    """Return the steps of one run, or of all, in the order they were first begun."""
    source = "steps WHERE run = coalesce(?, run) ORDER BY rowid"
    rows = rows_of(database, StepsRow, source, _COMPUTED, (run,))
    shown = _STEPS_SHOWN if run is None else _STEPS_OF_ONE
    remark = "" if run is None else f"run {run}"
    about = About(noun="steps", remark=remark, shown=shown, goes=_STEPS_GO)
    return View.from_rows(StepsRow, rows, about)


def facts(
    database: Database, query: str, parameters: Sequence[object]
) -> Mapping[str, Scalar] | None:
    """Return what the first row of a query for one column says of a step; None without a row."""
    texts = database.texts(query, parameters)
    try:
        return decode_json(texts[0], dict[str, Scalar]) if texts else None
    except msgspec.MsgspecError as error:
        raise database.damaged(str(error)) from None


def _few(names: str, noun: str) -> str:
    """Name a few, and count the more; `names` is a JSON list of the database."""
    listed = msgspec.json.decode(names, type=list[object])
    # A damaged plan may name anything.
    found = sorted(one for one in listed if isinstance(one, str) and one)
    return ", ".join(found) if len(found) <= _NAMED else f"{len(found):,} {noun}"


def _value(name: str, found: Any) -> Any:
    if found is None:
        return None
    if name in _TIMES:
        return _EPOCH + timedelta(microseconds=found // 1000)
    return decode_json(found, dict[str, Any]) if name in _MAPPINGS else found


def rows_of(
    database: Database,
    kind: type[_Row],
    source: str,
    computed: Mapping[str, str],
    arguments: tuple[object, ...] = (),
) -> list[_Row]:
    """Return the rows of a table by name; `computed` gives the columns that it has not itself."""
    names = kind.__struct_fields__
    wanted = ", ".join(computed.get(name, name) for name in names)
    found = database.read(f"SELECT {wanted} FROM {source}", arguments)  # noqa: S608
    return [_checked(database, kind, dict(zip(names, row, strict=True))) for row in found]


def _record(database: Database, kind: type[_R], row: Mapping[str, Any]) -> _R:
    try:
        found = {name: _value(name, value) for name, value in row.items()}
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise database.damaged(str(error)) from None
    return _checked(database, kind, found)


def _checked(database: Database, kind: type[_R], row: Mapping[str, Any]) -> _R:
    """Return a row as what it is to be: SQLite itself lets any column hold anything."""
    try:
        return msgspec.convert(row, ready(kind), builtin_types=(bytes, datetime))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise database.damaged(str(error)) from None
