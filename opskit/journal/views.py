"""The journal as tables for people: runs, their steps, and runbooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opskit.journal.database import Database
from opskit.views.frame import About, View

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

BOOKS = {
    "book": "string",
    "title": "string",
    "status": "string",
    "steps": "Int64",
    "failed": "Int64",
    "identity": "string",
    "actor": "string",
    "host": "string",
    "started_at": "time",
    "finished_at": "time",
}

_RUNS_SHOWN = (
    *("run", "kind", "status", "steps", "failed", "actor", "identity", "started_at", "seconds"),
)
_STEPS_SHOWN = (
    *("run", "unit", "step", "phase", "status", "server", "app", "action", "subject"),
    *("error", "seconds"),
)
_BOOKS_SHOWN = ("book", "title", "status", "steps", "failed", "identity", "started_at")
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
_LIST_BOOKS = """
WITH last AS (SELECT book, step, status, max(entry) FROM entries WHERE kind = 'step'
              GROUP BY book, step)
SELECT book, title, status,
       (SELECT count(*) FROM last WHERE last.book = books.book),
       (SELECT count(*) FROM last WHERE last.book = books.book
                                    AND status IN ('failed', 'interrupted')),
       identity, actor, host, started_at, finished_at
FROM books ORDER BY started_at, book
"""


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


def books_view(database: Database) -> View:
    """Return all runbooks that were carried out, oldest first."""
    columns = _columns(BOOKS, database.read(_LIST_BOOKS))
    return View.build(BOOKS, columns, About(noun="runbooks", shown=_BOOKS_SHOWN))


def _columns(schema: dict[str, str], rows: list[tuple[Any, ...]]) -> dict[str, Sequence[Any]]:
    if not rows:
        return dict.fromkeys(schema, ())
    return dict(zip(schema, zip(*rows, strict=True), strict=True))
