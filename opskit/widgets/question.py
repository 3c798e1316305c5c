"""A question to the people at a notebook, answered by a click of each."""

# traitlets and anywidget ship partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import traitlets

from opskit.errors import OpskitError
from opskit.secrets.redact import redact
from opskit.widgets.person import NOBODY, Person, read_person
from opskit.widgets.words import TextualWidget

_STATIC = Path(__file__).parent / "static"


class Question(TextualWidget):
    """Buttons that everybody sees, and who clicked which.

    Parameters
    ----------
    title, text
        What is asked.
    options
        What the buttons say.
    on_answer
        Called with the choice and the person; an answer it refuses does not count.
    needed
        Answers of different people, after which there is nothing more to click.
    answers
        Those given before.
    """

    _esm = _STATIC / "question.js"
    _css = _STATIC / "form.css"

    title = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    options = traitlets.List().tag(sync=True)
    needed = traitlets.Int(1).tag(sync=True)
    answers = traitlets.List().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        title: str,
        text: str,
        options: Sequence[str],
        on_answer: Callable[[str, Person], object],
        *,
        needed: int = 1,
        answers: Sequence[dict[str, str]] = (),
    ) -> None:
        self._on_answer, self._one_at_a_time = on_answer, threading.Lock()
        super().__init__(
            title=title, text=text, options=list(options), needed=needed, answers=list(answers)
        )
        self.on_msg(self._answered)

    def _answered(self, _widget: Any, message: Any, _buffers: Any) -> None:
        said = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        choice, who = str(said.get("choice")), read_person(said.get("who"))
        with self._one_at_a_time:
            if choice not in self.options or len(self.answers) >= self.needed:
                return
            if who == NOBODY:
                self.status = "The Jupyter server did not say who you are."
                return
            if any(one.get("username") == who.username for one in self.answers):
                self.status = f"{who.name} has answered."
                return
            try:
                self._on_answer(choice, who)
            except OpskitError as error:
                self.status = redact(str(error))
                return
            answer = {**who.to_json(), "choice": choice, "at": said_at(datetime.now().astimezone())}
            self.status = ""
            self.answers = [*self.answers, answer]
            self.update_text()

    def as_text(self) -> str:
        """Return the question and who answered what."""
        given = ", ".join(f"{one['name']}: {one['choice']}" for one in self.answers)
        return " ".join(filter(None, (self.title, self.text, given or "Nobody has answered.")))


def said_at(moment: datetime) -> str:
    """Return a time as people at a notebook read it."""
    return f"{moment:%H:%M}"
