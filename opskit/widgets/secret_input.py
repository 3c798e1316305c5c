"""A secret field for a cell of your own: its value reaches this kernel and nothing else."""

# traitlets and anywidget ship partial types.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import traitlets

from opskit.arguments import check_function, check_text
from opskit.errors import InputError, OpskitError
from opskit.progress import in_notebook
from opskit.secrets.redact import redact
from opskit.secrets.sealed import SEALER
from opskit.secrets.value import Secret
from opskit.widgets.person import Person, read_person
from opskit.widgets.words import TextualWidget

_STATIC = Path(__file__).parent / "static"
_NOTHING = (
    "Nothing was given. It takes a value in JupyterLab with a running kernel only; "
    "in a terminal the same call asks for it"
)


class SecretInput(TextualWidget):
    """A field whose value is sealed in the browser to this kernel.

    Parameters
    ----------
    label
        What is asked for.
    on_secret
        Called with each value handed over, and the person whose browser it came from.
    """

    _esm = _STATIC / "secret_input.js"
    _css = _STATIC / "form.css"

    label = traitlets.Unicode().tag(sync=True)
    key = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)

    def __init__(self, label: str, on_secret: Callable[[Secret, Person], object]) -> None:
        self._on_secret = on_secret
        super().__init__(label=label, key=SEALER.public)
        self.on_msg(self._handed_over)

    def _handed_over(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if not isinstance(message, dict):
            return
        said = cast("dict[str, Any]", message)
        who = read_person(said.get("who"))
        try:
            self._on_secret(SEALER.open(said.get("sealed"), purpose="input"), who)
        except OpskitError as error:
            self.status = redact(str(error))
        except Exception as error:  # noqa: BLE001 (it would vanish in a log)
            self.status = redact(f"the cell's own code failed: {type(error).__name__}: {error}")
        else:
            self.status = f"received from {who.name} at {datetime.now().astimezone():%H:%M}"

        self.update_text()

    def as_text(self) -> str:
        """Return what was asked for and whether it came."""
        status = f"{self.status[:1].upper()}{self.status[1:]}".rstrip(".")
        return f"opskit secret field: {self.label}. {status or _NOTHING}."


def give(label: str, on_secret: Callable[[Secret, Person], object]) -> SecretInput | None:
    """Show a field in a notebook; in a terminal ask at once, and hand over what is typed.

    Parameters
    ----------
    label
        What is asked for.
    on_secret
        Called with each value handed over, and the person it came from.

    Raises
    ------
    InputError
        Outside a notebook: there is no terminal, or the value cannot be used.
    """
    check_text("label", label, "Say what is asked for.")
    check_function("on_secret", on_secret)
    if in_notebook():
        return SecretInput(label, on_secret)
    on_secret(ask(label), Person(username=getpass.getuser(), name=getpass.getuser()))
    return None


def ask(what: str) -> Secret:
    """Ask for a value in a terminal; where there is none, refuse and say what to do.

    Raises
    ------
    InputError
        This is a notebook, or a run without a terminal.
    """
    if in_notebook():
        raise InputError(
            "a notebook has no hidden prompt that others do not see.",
            remedy="Use opskit.forms.insert, or SecretInput(label, on_secret).",
        )
    return Secret.prompt(what)
