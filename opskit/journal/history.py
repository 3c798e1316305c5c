"""Reading the journal: its rows as records, and as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from opskit.journal.database import Database
from opskit.views.frame import About, View

_R = TypeVar("_R", bound=msgspec.Struct)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = frozenset({"started_at", "finished_at", "at"})
_MAPPINGS = frozenset({"detail", "result", "data"})

RUNS = {
    "run": "string",
    "kind": "string",
    "status": "string",
    "steps": "Int64",
    "failed": "Int64",
    "actor": "string",
    "identity": "string",
    "host": "string",
    "pid": "Int64",
    "tool_version": "string",
    "plan_digest": "string",
    "started_at": "time",
    "finished_at": "time",
    "seconds": "float",
}

STEPS = {
    "run": "string",
    "unit": "Int64",
    "step": "Int64",
    "phase": "string",
    "attempt": "Int64",
    "status": "string",
    "server": "string",
    "app": "string",
    "stack": "string",
    "action": "string",
    "subject": "string",
    "detail": "string",
    "result": "string",
    "error": "string",
    "started_at": "time",
    "finished_at": "time",
    "seconds": "float",
}

_RUNS_SHOWN = (
    *("run", "kind", "status", "steps", "failed", "actor", "identity", "started_at", "seconds"),
)
_STEPS_SHOWN = (
    *("run", "unit", "step", "phase", "status", "server", "app", "action", "subject"),
    *("error", "seconds"),
)
_LIST_RUNS = """
SELECT run, kind, status,
       (SELECT count(*) FROM steps WHERE steps.run = runs.run),
       (SELECT count(*) FROM steps WHERE steps.run = runs.run AND status = 'failed'),
       actor, identity, host, pid, tool_version, plan_digest, started_at, finished_at,
       (finished_at - started_at) / 1e9
FROM runs ORDER BY started_at, run
"""
_LIST_STEPS = """
SELECT run, unit, step, phase, attempt, status, server, app, stack, action, subject,
       detail, result, error, started_at, finished_at, (finished_at - started_at) / 1e9
FROM steps WHERE ?1 IS NULL OR run = ?1 ORDER BY rowid
"""


def records(database: Database, kind: type[_R], table: str, /, **where: str) -> list[_R]:
    """Return the rows of a table whose columns are as in `where`, oldest first."""
    names = kind.__struct_fields__
    rows = database.read(
        f"SELECT {', '.join(names)} FROM {table}"  # noqa: S608
        f" WHERE {' AND '.join(f'{name} = ?' for name in where)} ORDER BY rowid",
        tuple(where.values()),
    )
    return [
        kind(**{name: _value(name, found) for name, found in zip(names, row, strict=True)})
        for row in rows
    ]


def runs_view(database: Database, is_held: Callable[[str], bool]) -> View:
    """Return all runs, oldest first; one that stopped without an end is ``crashed``."""
    columns = _columns(RUNS, database.read(_LIST_RUNS))
    columns["status"] = [
        "crashed" if status == "running" and not is_held(run) else status
        for run, status in zip(columns["run"], columns["status"], strict=True)
    ]
    return View.build(RUNS, columns, About(noun="runs", shown=_RUNS_SHOWN))


def steps_view(database: Database, run: str | None) -> View:
    """Return the steps of one run, or of all, in the order they were first begun."""
    columns = _columns(STEPS, database.read(_LIST_STEPS, (run,)))
    return View.build(STEPS, columns, About(noun="steps", shown=_STEPS_SHOWN))


def _value(name: str, found: Any) -> Any:
    if found is None:
        return None
    if name in _TIMES:
        return _EPOCH + timedelta(microseconds=found // 1000)
    return msgspec.json.decode(found) if name in _MAPPINGS else found


def _columns(schema: dict[str, str], rows: list[tuple[Any, ...]]) -> dict[str, Sequence[Any]]:
    if not rows:
        return dict.fromkeys(schema, ())
    return dict(zip(schema, zip(*rows, strict=True), strict=True))
