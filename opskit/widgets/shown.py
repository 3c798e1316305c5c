"""Plans and runs as browsers are told of them: plain data, masked where others wrote it."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from opskit.errors import InputError
from opskit.journal.runs import Journal, open_journal
from opskit.kinds.statuses import STATUSES
from opskit.plan.data import PlanData, load_plan, parts_view
from opskit.plan.obstacles import ObstaclesError
from opskit.run.recovery import Rollback
from opskit.run.run import Plan, Run
from opskit.run.ways import ways_of
from opskit.secrets.redact import redact
from opskit.settings import read_settings
from opskit.widgets.kinds import FormKind
from opskit.widgets.person import person_named
from opskit.widgets.words import done_in_words, ways_on


def first_state(form: FormKind, preselected: Mapping[str, Any], needed: int) -> dict[str, Any]:
    """Return what a form shows before anything was read."""
    only, rows = bool(preselected.get("only")), [list(row) for row in preselected.get("rows", ())]
    return {
        "form": form.to_json(),
        "phase": "loading",
        "view": 0,
        "loaded": False,
        "apps": [],
        "alphabets": {},
        "chosen": {key: preselected.get(key, "") for key in ("app", "secret")},
        "only": only,
        "preset": rows,
        "again": "Choose again" if rows else form.repeat_label(only=only),
        "options": dict(preselected.get("options", {})),
        "keep": read_settings().keep,
        "asked": "",
        "where": preselected.get("where", ""),
        "filters": {},
        "missing": "",
        "plan": None,
        "needed": needed,
        "approvals": [],
        "by": None,
        "result": None,
        "unfinished": None,
        "error": "",
        "leave_out": 0,
        "refused": [],
    }


def plan_shown(plan: Plan | Rollback) -> dict[str, Any]:
    """Return all that is to be read before a plan, or the way back of a run, is applied.

    What a deploy changes stands in a table of its own, and not in the notes of its changes.
    """
    changes, parts = _records(plan.changes), list[dict[str, Any]]()
    if isinstance(plan, Plan):
        notes = (change.note for unit in plan.data.units for change in unit.changes)
        changes = [{**row, "note": note} for row, note in zip(changes, notes, strict=True)]
        parts = _records(parts_view(plan.data))
    return {
        "digest": plan.digest,
        "changes": changes,
        "parts": parts,
        "calls": _records(plan.calls),
        "left_alone": list(plan.data.left_alone),
        **msgspec.to_builtins(plan.data.consequences),
    }


def plan_of(run: str) -> PlanData | None:
    """Return the plan of a run, unless another opskit wrote it."""
    with open_journal() as journal:
        try:
            return load_plan(journal.run(run).plan)
        except InputError:
            return None


def refused_shown(error: ObstaclesError) -> list[list[str]]:
    """Return the rows of a selection that cannot be changed, each with the reason."""
    return [[*one.row, redact(one.why)] for one in error.obstacles]


def result_shown(run: Run, plan: PlanData | None) -> dict[str, Any]:
    """Return how a run ended, what it did, and what may be done about it."""
    status = STATUSES[run.status]
    sentence = status.sentence(fault=bool(run.errors))
    if run.status == "done" and plan:
        sentence = f"{sentence.rstrip('.')}: {done_in_words(plan)}."
    return {
        "run": run.id,
        "status": run.status,
        "tone": status.tone,
        "sentence": sentence,
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
