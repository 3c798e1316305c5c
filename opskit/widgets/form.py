"""The widget behind every form: carries a session's state to all browsers, and clicks back."""

# traitlets and anywidget ship partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import html
import threading
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from opskit.widgets.session import SEALER, Session

_STATIC = Path(__file__).parent / "static"
_PAUSE_S = 0.1
"""Between two updates of every browser while steps come in."""

_TITLES = {
    "browse": "Browse secrets",
    "rotate": "Rotate secrets",
    "generate": "Generate secrets",
    "insert": "Insert a secret",
    "remove": "Remove secrets",
    "prune": "Prune old versions",
    "approve": "Approve a plan",
}


class Form(anywidget.AnyWidget):
    """A form that everybody on the notebook sees in the same state.

    Parameters
    ----------
    session
        What the form is doing; its values never become state of the widget.
    """

    _esm = _STATIC / "form.js"
    _css = _STATIC / "form.css"

    title = traitlets.Unicode().tag(sync=True)
    key = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    steps = traitlets.List().tag(sync=True)
    rows = traitlets.Dict().tag(sync=True)

    def __init__(self, **session: Any) -> None:
        self._session = Session(publish=self._changed, **session)
        self._timer: threading.Timer | None = None
        self._timing = threading.Lock()
        super().__init__(
            title=_TITLES[self._session.kind], key=SEALER.public, state=self._session.state
        )
        self.on_msg(self._clicked)
        self._session.begin()

    def _clicked(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if isinstance(message, dict):
            self._session.handle(message, self.send)  # pyright: ignore[reportUnknownArgumentType]

    def _changed(self) -> None:
        """Tell the browsers soon: steps of forty stacks come in bursts."""
        with self._timing:
            if self._timer is None:
                self._timer = threading.Timer(_PAUSE_S, self._tell)
                self._timer.daemon = True
                self._timer.start()

    def _tell(self) -> None:
        with self._timing:
            self._timer = None
        with self.hold_sync():
            self.rows = self._session.rows
            self.steps = list(self._session.steps)
            self.state = self._session.state

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle: Any = super()._repr_mimebundle_(**options)
        data: dict[str, Any] = bundle[0] if isinstance(bundle, tuple) else bundle
        if data:
            text = self._in_words()
            data["text/plain"] = text
            data["text/html"] = f"<p>{html.escape(text)}</p>"
        return bundle

    def _in_words(self) -> str:
        """Say what the form is and how far it got, for where no widget can be shown."""
        result = self.state.get("result")
        if result:
            return f"opskit form: {self.title}. Run {result['run']}: {result['status']}."
        plan = self.state.get("plan")
        if plan:
            return f"opskit form: {self.title}. A plan of {len(plan['changes'])} changes is shown."
        return f"opskit form: {self.title}. It needs a running kernel and JupyterLab."
