"""A form in words: what it is for, what came of it, and how to do the same without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from opskit.operations.plan import Change, PlanData
from opskit.operations.run import Run
from opskit.widgets.planning import WHOLE_APPS, Kind

_NAMED = 5
"""So many changes are named, and the rest counted."""

_ELSEWHERE: Mapping[Kind, tuple[str, str]] = {
    "browse": ("opskit secrets", "fleet.snapshot().secrets"),
    "rotate": ("opskit secret rotate", "fleet.plan_rotate(…).apply()"),
    "generate": ("opskit secret generate", "fleet.plan_generate(…).apply()"),
    "insert": ("opskit secret insert", "fleet.plan_insert(…).apply()"),
    "remove": ("opskit secret remove", "fleet.plan_remove(…).apply()"),
    "prune": ("opskit secret prune", "fleet.plan_prune(…).apply()"),
    "deploy": ("opskit app deploy", "fleet.plan_deploy(…).apply()"),
    "upgrade": ("opskit app upgrade", "fleet.plan_upgrade(…).apply()"),
    "undeploy": ("opskit app undeploy", "fleet.plan_undeploy(…).apply()"),
    "restart": ("opskit app restart", "fleet.plan_restart(…).apply()"),
}
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


def way_on(kind: Kind, chosen: Mapping[str, str]) -> str:
    """Say where a form works, and what does the same elsewhere."""
    if kind not in _ELSEWHERE:
        return f"{_BROWSER}."
    command, call = _ELSEWHERE[kind]
    app, secret = chosen["app"] or "APP", chosen["secret"] or "SECRET"
    if kind != "browse":
        command = f"{command} {app}"
    if kind not in WHOLE_APPS | {"browse", "prune"}:
        command = f"{command} {secret}"
    return f"{_BROWSER}; elsewhere use `{command}`, or {call} in Python."


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
