"""Forms that a widget opens below itself, prefilled, for everybody who looks on.

The kernel says which form is open, at which place of the widget and by whom; ``js/below.js`` shows
each where the widget has that place. One place has one form, so that of two people who click the
same button both get the one that is there.
"""

# traitlets and anywidget ship partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import traitlets

from opskit.inert import visible_in
from opskit.mending import Mend
from opskit.widgets.following import Follower
from opskit.widgets.form import Form
from opskit.widgets.kinds import FORMS
from opskit.widgets.person import Person

_AT_WORK = frozenset({"planning", "running"})


def filled_in(mend: Mend) -> dict[str, Any]:
    """Return what the form of a remedy of one app begins with, and whether it plans at once."""
    server, _, app = mend.app.partition("/")
    several = len(mend.secrets) > 1
    return {
        "app": mend.app,
        "only": True,
        "secret": "" if several or not mend.secrets else mend.secrets[0],
        "rows": [(server, app, secret) for secret in mend.secrets] if several else [],
        "options": {"hook": mend.hook, "use_pass": mend.use_pass},
        # A value has to be given first.
        "at_once": "value" not in FORMS[mend.plan].fields,
    }


class Opener(Follower):
    """The base of widgets that open forms below themselves.

    What a browser asks for is the widget's to judge: it calls `open_form` and `close_form`.
    ``opened`` says of each form its place (``at``), its ``title``, who opened it (``by``), what it
    is ``about``, and why it was ``kept`` when somebody wanted to close it.
    """

    opened = traitlets.List().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._forms: dict[str, Form] = {}
        self._ended: dict[str, str] = {}
        self._opening = threading.RLock()
        super().__init__(**traits)

    def has_open(self, at: str) -> bool:
        """Return whether a form is open at a place."""
        return any(one["at"] == at for one in self.opened)

    def open_form(
        self, at: str, who: Person, *, about: Mapping[str, Any] | None = None, **begin: Any
    ) -> None:
        """Open a form, unless one is open there.

        Parameters
        ----------
        at
            The place of this widget that it belongs to.
        who
            The person who asked for it.
        about
            What browsers show of what it is for, when the place has gone.
        begin
            What `opskit.widgets.session.Session` begins with.
        """
        with self._opening:
            if self.has_open(at):
                return
            form = Form(**begin)
            ident = str(form.model_id)
            self._forms[ident] = form

            def changed(change: Any) -> None:
                self._form_changed(at, ident, change["new"])

            form.observe(changed, "state")
            self.opened = [
                *self.opened,
                {
                    "at": at,
                    "form": ident,
                    "title": form.title,
                    "by": who.to_json(),
                    "about": visible_in(dict(about or {})),
                    "kept": "",
                },
            ]

    def close_form(self, ident: str, who: Person) -> None:
        """Take a form away, unless it is at work or somebody else can still reveal values in it.

        Parameters
        ----------
        ident
            Which, as ``opened`` names it.
        who
            The person who asked for it.
        """
        with self._opening:
            form = self._forms.get(ident)
            if form is None or form.state.get("phase") in _AT_WORK:
                return
            revealer = _revealer(form.state)
            if revealer is not None and revealer["username"] != who.username:
                self._say_why_kept(ident, f"{revealer['name']} can still reveal new values here.")
                return
            self.opened = [one for one in self.opened if one["form"] != ident]
            del self._forms[ident]
            form.close()

    def form_ended(self, at: str, /) -> None:
        """Do what is to be done once a run of the form at a place has ended; from its thread."""

    def outcomes(self) -> list[str]:
        """Return how the runs of the forms below ended, in words."""
        return list(self._ended.values())

    def _form_changed(self, at: str, ident: str, state: Mapping[str, Any]) -> None:
        """Take note of a run's end; told from the form's own thread."""
        with self._opening:
            form = self._forms.get(ident)
            if form is None:
                return
            if _revealer(state) is None:
                self._say_why_kept(ident, "")
            result = state.get("result")
            if state.get("phase") != "ended" or not result:
                return
            key = f"{result['run']} {result['status']}"
            if key in self._ended:
                return
            self._ended[key] = form.outcome
        self.form_ended(at)
        self.update_text()

    def _say_why_kept(self, ident: str, why: str) -> None:
        # An equal list is told to no browser.
        self.opened = [{**one, "kept": why} if one["form"] == ident else one for one in self.opened]


def _revealer(state: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Return who can still reveal new values in a form, if anybody can."""
    result = state.get("result")
    return state["by"] if result and result["revealable"] else None
