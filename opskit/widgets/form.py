"""The widget behind every form: carries a session's state to all browsers, and clicks back."""

# traitlets and anywidget ship partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import traitlets

from opskit.reading.watching import Live
from opskit.secrets.sealed import SEALER
from opskit.widgets.following import Follower
from opskit.widgets.session import Session
from opskit.widgets.words import approvals_in_words, elsewhere

_STATIC = Path(__file__).parent / "static"
_PAUSE_S = 0.1
"""Between two updates of every browser while steps come in."""


class Form(Follower):
    """A form that everybody on the notebook sees in the same state.

    Parameters
    ----------
    live
        Shows each change of what it watches in a table, until it is closed or its cell is run
        again.
    session
        What the form is doing; its values never become state of the widget.
    """

    _esm = _STATIC / "form.js"
    _css = _STATIC / "form.css"
    _session_type: type[Session] = Session

    title = traitlets.Unicode().tag(sync=True)
    key = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    steps = traitlets.List().tag(sync=True)
    rows = traitlets.Dict().tag(sync=True)

    def __init__(self, *, live: Live | None = None, **session: Any) -> None:
        self._session = self._session_type(publish=self._changed, live=live, **session)
        self._timer: threading.Timer | None = None
        self._timing = threading.Lock()
        self._telling = threading.Lock()
        self._told = 0.0
        super().__init__(
            title=self._session.form.title, key=SEALER.public, state=self._session.state
        )
        self.on_msg(self._clicked)
        if live is not None:
            # First, so that no change is missed.
            self.follow(live, lambda _: self._session.told())
        self._session.begin()

    def _clicked(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if isinstance(message, dict):
            self._session.handle(message, self.send)  # pyright: ignore[reportUnknownArgumentType]

    def _changed(self) -> None:
        """Tell the browsers: at once after a pause, else soon, as steps come in bursts."""
        with self._timing:
            if self._timer is not None:
                return
            wait = self._told + _PAUSE_S - time.monotonic()
            if wait > 0:
                self._timer = threading.Timer(wait, self._tell)
                self._timer.daemon = True
                self._timer.start()
                return
        self._tell()

    def _tell(self) -> None:
        with self._timing:
            self._timer, self._told = None, time.monotonic()
        with self._telling:
            # First: the views that JupyterLab makes anew are to be those with the new buttons, or
            # a click on what was just shown would be lost.
            self.update_text()
            with self.hold_sync():
                self.rows = self._session.rows
                self.steps = list(self._session.steps)
                self.state = self._session.state

    @property
    def outcome(self) -> str:
        """How its last run ended and whose click began it, in words; empty before."""
        return self._session.outcome

    def as_text(self) -> str:
        """Name the form, what it was for, and the outcome or where it works."""
        session = self._session
        about = f" ({session.subject})" if session.subject else ""
        words = [f"opskit form: {self.title}{about}."]
        if session.needed:
            words.append(approvals_in_words(session.state["approvals"], session.needed))
        unapplied = f"Nothing was applied here. {elsewhere(session.form, session.state['chosen'])}"
        return " ".join([*words, session.outcome or unapplied])
