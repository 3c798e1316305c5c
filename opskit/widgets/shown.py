"""Plans and runs as browsers are told of them: plain data, masked where others wrote it."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import msgspec

from opskit.journal.runs import Journal, open_journal
from opskit.run.again import Rollback
from opskit.run.run import Plan, Run
from opskit.run.ways import ways_of
from opskit.secrets.redact import redact
from opskit.statuses import STATUSES
from opskit.widgets.person import person_named
from opskit.widgets.words import ways_on


def plan_shown(plan: Plan | Rollback) -> dict[str, Any]:
    """Return all that is to be read before a plan, or the way back of a run, is applied."""
    return {
        "digest": plan.digest,
        "changes": _records(plan.changes),
        "calls": _records(plan.calls),
        "left_alone": list(plan.data.left_alone),
        **msgspec.to_builtins(plan.data.consequences),
    }


def result_shown(run: Run) -> dict[str, Any]:
    """Return how a run ended and what may be done about it."""
    status = STATUSES[run.status]
    return {
        "run": run.id,
        "status": run.status,
        "tone": status.tone,
        "sentence": status.sentence(fault=bool(run.errors)),
        "ways": ways_on(run.status, run.ways),
        "stacks": dict(run.stacks),
        "errors": [redact(error) for error in run.errors],
        "notes": [redact(note) for note in run.notes],
    }


def unfinished_shown() -> dict[str, Any] | None:
    """Return the last run that did not finish, and what may be done about it."""
    with open_journal() as journal:
        run = journal.last_unfinished()
        if run is None:
            return None
        return {
            "run": run.run,
            "kind": run.kind,
            "status": STATUSES[run.status].label,
            "ways": ways_on(run.status, ways_of(journal, run)),
            "identity": run.identity or run.actor,
        }


def approvals_shown(journal: Journal, digest: str) -> list[dict[str, str]]:
    """Return who approved a plan, each once: by username, as people change how they are called."""
    people = [person_named(one.identity) for one in journal.approvals(digest)]
    return list({person.username: person.to_json() for person in people}.values())


def _records(view: Any) -> list[dict[str, Any]]:
    flat: Any = view.flat().astype(object)
    records: list[dict[str, Any]] = flat.where(flat.notna(), "").to_dict("records")
    return records
