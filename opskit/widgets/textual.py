"""A widget that also says in words what it is and its outcome, kept up to date.

Words are all that an export, GitHub, a terminal or a run without people shows of it.
"""

# traitlets and anywidget ship partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import html
from typing import Any

import anywidget
from IPython.display import DisplayHandle, display


class TextualWidget(anywidget.AnyWidget):
    """The base of opskit's widgets."""

    _handle: DisplayHandle | None = None
    _text: str = ""

    def as_text(self) -> str:
        """Say what it is and its outcome."""
        raise NotImplementedError

    def update_text(self) -> None:
        """Put what is said now into the notebook.

        JupyterLab then makes every view anew, so only what is new is told.
        """
        if self._handle is not None and self.as_text() != self._text:
            self._handle.update(self._bundle(), raw=True)

    def _ipython_display_(self) -> None:
        self._handle = display(self._bundle(), raw=True, display_id=True)

    def _repr_mimebundle_(self, **_options: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
        return self._bundle(), {}

    def _bundle(self) -> dict[str, Any]:
        made: Any = super()._repr_mimebundle_()
        data: dict[str, Any] = dict((made[0] if isinstance(made, tuple) else made) or {})
        self._text = self.as_text()
        data["text/plain"], data["text/html"] = self._text, f"<p>{html.escape(self._text)}</p>"
        return data

    def __repr__(self) -> str:
        return self.as_text()
