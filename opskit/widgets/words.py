"""A form in words: what it is for, its outcome, and how to do the same without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from opskit.operations.plan import Change, PlanData
from opskit.operations.run import Run
from opskit.widgets.kinds import FormKind

_NAMED = 5
"""So many changes are named, and the rest counted."""

_BROWSER = "It needs JupyterLab and a running kernel"


def changes_in_words(plan: PlanData) -> str:
    """Name what a plan changes, each secret with its versions, or else the app."""
    named = [
        _joined(unit.app or unit.stack, one.secret, " → ".join(_versions(one)))
        for unit in plan.units
        for one in unit.changes
    ]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{', '.join(named[:_NAMED])}{more}"


def outcome_in_words(run: Run, who: str) -> str:
    """Say how a run ended and whose click began it."""
    undone = run.status == "rolled-back" and run.errors
    # What was undone because of a fault must not look as if somebody asked for it.
    end = "failed, and rolled back" if undone else run.status.replace("-", " ")
    return f"Run {run.id}: {end}. By {who}, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}."


def approvals_in_words(given: Sequence[Mapping[str, Any]], needed: int) -> str:
    """Say who approved a plan, of how many."""
    names = ", ".join(str(one["name"]) for one in given)
    return f"Approved by {len(given)} of {needed}{f': {names}' if names else ''}."


def elsewhere(form: FormKind, chosen: Mapping[str, str]) -> str:
    """Say where a form works, and what does the same elsewhere."""
    if not form.command:
        return f"{_BROWSER}."
    command = form.command.format(
        app=chosen["app"] or "APP", secret=chosen["secret"] or "SECRET"
    )  # fmt: skip
    return f"{_BROWSER}; elsewhere use `{command}`, or {form.call} in Python."


def chosen_in_words(preselected: Mapping[str, Any]) -> str:
    """Name what a form was opened for."""
    rows = len(preselected.get("rows", ()))
    if rows:
        return f"{rows} selected {'secret' if rows == 1 else 'secrets'}"
    return _joined(preselected.get("app", ""), preselected.get("secret", ""))


def _versions(change: Change) -> list[str]:
    return [one for one in (change.from_version, change.to_version) if one]


def _joined(*words: str) -> str:
    return " ".join(word for word in words if word)
