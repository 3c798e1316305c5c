"""A form in words: what it is for, its outcome, and how to do the same without it.

Words are all that an export, GitHub, a terminal or a run without people shows of a widget, so
each also carries them, and they are kept up to date.
"""
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import html
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from shlex import quote
from typing import Any

import anywidget
from IPython.display import DisplayHandle, display

from opskit.inert import visible
from opskit.kinds.statuses import STATUSES, WAYS, RunStatus, Way
from opskit.plan.data import Change, PlanData
from opskit.run.run import Run
from opskit.secrets.redact import redact
from opskit.widgets.kinds import FormKind


class TextualWidget(anywidget.AnyWidget):
    """The base of opskit's widgets."""

    _handle: DisplayHandle | None = None
    _text: str = ""

    def as_text(self) -> str:
        """Return what it is and its outcome."""
        raise NotImplementedError

    def update_text(self) -> None:
        """Put what is said now into the notebook.

        JupyterLab then makes every view anew, so only what is new is told.
        """
        if self._handle is not None and visible(self.as_text()) != self._text:
            self._handle.update(self._bundle(), raw=True)

    def _ipython_display_(self) -> None:
        self._handle = display(self._bundle(), raw=True, display_id=True)

    def _repr_mimebundle_(self, **_options: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
        return self._bundle(), {}

    def _bundle(self) -> dict[str, Any]:
        made: Any = super()._repr_mimebundle_()
        data: dict[str, Any] = dict((made[0] if isinstance(made, tuple) else made) or {})
        self._text = visible(self.as_text())
        data["text/plain"], data["text/html"] = self._text, f"<p>{html.escape(self._text)}</p>"
        return data

    def __repr__(self) -> str:
        return visible(self.as_text())


def fault_in_words(error: Exception) -> str:
    """Return what a form says of an error nobody expected: a thread's would be seen by nobody."""
    return redact(f"opskit met a fault ({type(error).__name__}: {error}). Please report it.")


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


_DONE = {
    "rotate": "rotated", "generate": "generated", "insert": "inserted", "restore": "restored",
    "remove": "removed", "prune": "pruned", "deploy": "deployed", "upgrade": "upgraded",
    "undeploy": "took down", "restart": "restarted", "config": "wrote", "new": "made",
}  # fmt: skip


def done_in_words(plan: PlanData) -> str:
    """Return what applying a plan did, such as ``rotated wiki.coop.example token v1 → v2``."""
    verbs = " and ".join(_DONE.get(kind, kind) for kind in plan.kinds)
    return _joined(verbs, changes_in_words(plan))


def outcome_in_words(run: Run, who: str) -> str:
    """Return how a run ended and whose click began it."""
    end = STATUSES[run.status].name(fault=bool(run.errors))
    return f"Run {run.id}: {end}. By {who}, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}."


def ways_on(status: RunStatus, ways: Collection[Way] | None = None) -> list[dict[str, str]]:
    """Return what may be done about a run, as a form's buttons; `ways` if they are known."""
    offered = STATUSES[status].ways if ways is None else ways
    return [{"way": way, "label": WAYS[way].label} for way in offered]


def approvals_in_words(given: Sequence[Mapping[str, Any]], needed: int) -> str:
    """Return who approved a plan, of how many."""
    names = ", ".join(str(one["name"]) for one in given)
    return f"Approved by {len(given)} of {needed}{f': {names}' if names else ''}."


def elsewhere(form: FormKind, chosen: Mapping[str, str]) -> str:
    """Return where a form works, and what does the same elsewhere."""
    if not form.command:
        return f"{_BROWSER}."
    command = form.command.format(
        app=quote(chosen["app"] or "APP"), secret=quote(chosen["secret"] or "SECRET")
    )  # fmt: skip
    return instead(command, form.call)


def instead(command: str, call: str) -> str:
    """Return what shows or does the same without a browser."""
    return f"{_BROWSER}; elsewhere use `{command}`, or {call} in Python."


def chosen_in_words(preselected: Mapping[str, Any]) -> str:
    """Name what a form was opened for."""
    rows = len(preselected.get("rows", ()))
    if rows:
        return f"{rows} selected {'secret' if rows == 1 else 'secrets'}"
    return _joined(preselected.get("app", ""), preselected.get("secret", ""))


def _versions(change: Change) -> list[str]:
    # What is deployed again stays at its version.
    return list(dict.fromkeys(filter(None, (change.from_version, change.to_version))))


def _joined(*words: str) -> str:
    return " ".join(word for word in words if word)
