"""The page of an app in a notebook: everybody sees it in the same state, and its forms below it."""

# traitlets and anywidget ship partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import traitlets

from opskit.errors import InputError
from opskit.facts.facts import said
from opskit.fleet import Fleet
from opskit.inert import visible
from opskit.plan.selection import Lookup
from opskit.reading.watching import Live
from opskit.snapshot import Snapshot
from opskit.widgets.below import Opener
from opskit.widgets.pagesession import PageSession
from opskit.widgets.person import read_person
from opskit.widgets.words import instead

_STATIC = Path(__file__).parent / "static"


class PageForm(Opener):
    """One app, its actions, and the forms that were opened for it.

    Parameters
    ----------
    fleet, app
        What it shows.
    live
        The page is read again when what this watches of its server changes, until it is closed
        or its cell is run again.
    """

    _esm = _STATIC / "app.js"
    _css = _STATIC / "form.css"

    title = traitlets.Unicode().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, fleet: Fleet, app: str, live: Live | None = None) -> None:
        self._known = None if live is None else _shown_of(app, live.snapshot)
        self._session = PageSession(
            fleet=fleet,
            app=app,
            publish=self._tell,
            open_form=lambda kind, at, who, preselected: self.open_form(
                at, who, fleet=fleet, kind=kind, preselected=preselected
            ),
        )
        super().__init__(title=visible(app), state=self._session.state)
        self.on_msg(self._clicked)
        if live is not None:
            self.follow(live, self._changed)
        # Last, so that what changes before it is told is read.
        self._session.read()

    def _changed(self, snapshot: Snapshot) -> None:
        known, self._known = self._known, _shown_of(self._session.app, snapshot)
        if known != self._known:
            self._session.read()

    def form_ended(self, _at: str, /) -> None:
        """Read the app again, as it has changed."""
        self._session.read()

    def _clicked(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if not isinstance(message, dict):
            return
        if message.get("type") == "close":
            self.close_form(str(message.get("form")), read_person(message.get("who")))
        else:
            self._session.handle(message, self.send)

    def _tell(self) -> None:
        # First, as in `Form`: the views that JupyterLab makes anew are to have the new buttons.
        self.update_text()
        self.state = self._session.state

    def as_text(self) -> str:
        """Name the app, how it stands, the runs of the forms below, and what shows the same."""
        page, app = self._session.page, self._session.app
        stands = f" {page.headline}" if page else ""
        said = " ".join([f"opskit page: {app}.{stands}", *self.outcomes()])
        return f"{said} {instead(f'opskit app show {quote(app)}', 'fleet.page(…)')}"


def _shown_of(app: str, snapshot: Snapshot) -> object:
    """Return all that a page shows of a snapshot, to compare; nothing when that names no app."""
    facts = snapshot.facts
    try:
        part = facts.parts[Lookup(facts).app(app).server]
    except InputError:
        return None
    declared = facts.declared
    seen = None if part.seen is None else said(part.seen)
    return (
        part._replace(seen=seen),
        declared.problems,
        declared.acknowledged,
        declared.unacknowledged,
    )
