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

from opskit.widgets.form import Form
from opskit.widgets.person import Person
from opskit.widgets.words import TextualWidget

_AT_WORK = frozenset({"planning", "running"})


class Opener(TextualWidget):
    """The base of widgets that open forms below themselves.

    What a browser asks for is the widget's to judge: it calls `open_form` and `close_form`.
    """

    opened = traitlets.List().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._forms: dict[str, Form] = {}
        self._ended: dict[str, str] = {}
        self._opening = threading.RLock()
        super().__init__(**traits)

    def open_form(
        self, fleet: Any, kind: str, *, at: str, who: Person, preselected: Mapping[str, Any]
    ) -> None:
        """Open a form of a kind, unless one is open there.

        Parameters
        ----------
        fleet, kind, preselected
            As `opskit.widgets.session.Session` takes them.
        at
            The place of this widget that it belongs to.
        who
            The person who asked for it.
        """
        with self._opening:
            if any(one["at"] == at for one in self.opened):
                return
            form = Form(fleet=fleet, kind=kind, preselected=preselected)
            ident = str(form.model_id)
            self._forms[ident] = form

            def changed(change: Any) -> None:
                self._form_changed(ident, change["new"])

            form.observe(changed, "state")
            self.opened = [
                *self.opened,
                {"at": at, "form": ident, "title": form.title, "by": who.to_json()},
            ]

    def close_form(self, ident: str) -> None:
        """Take a form away, unless it is at work."""
        with self._opening:
            form = self._forms.get(ident)
            if form is None or form.state.get("phase") in _AT_WORK:
                return
            self.opened = [one for one in self.opened if one["form"] != ident]
            del self._forms[ident]
            form.close()

    def form_ended(self) -> None:
        """Do what is to be done once a run of a form below has ended; from that form's thread."""

    def outcomes(self) -> list[str]:
        """Return how the runs of the forms below ended, in words."""
        return list(self._ended.values())

    def _form_changed(self, ident: str, state: Mapping[str, Any]) -> None:
        """Take note of a run's end; told from the form's own thread."""
        result = state.get("result")
        form = self._forms.get(ident)
        if form is None or state.get("phase") != "ended" or not result:
            return
        key = f"{result['run']} {result['status']}"
        if key in self._ended:
            return
        self._ended[key] = form.outcome
        self.form_ended()
        self.update_text()
