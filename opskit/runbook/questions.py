"""What people are asked in a runbook: decisions and signatures, journalled as they are given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from opskit.errors import InputError, RunbookError
from opskit.journal.records import Entry
from opskit.journal.runbooks import BookLog
from opskit.progress import in_notebook
from opskit.widgets.person import Person


class Decision:
    """A question with its answer, once it is given.

    Parameters
    ----------
    log
        Where it is written.
    step
        The step it belongs to.
    question, options
        What is asked.
    """

    def __init__(self, log: BookLog, step: str, question: str, options: tuple[str, ...]) -> None:
        self._log, self._step, self.question, self.options = log, step, question, options

    @property
    def made(self) -> bool:
        """Whether it is decided."""
        return self._entry() is not None

    @property
    def choice(self) -> str:
        """What was chosen.

        Raises
        ------
        RunbookError
            Nobody has decided yet.
        """
        entry = self._entry()
        if entry is None:
            raise RunbookError(
                f"nobody has decided yet: {self.question} Choose from {', '.join(self.options)} "
                "in the form above, or give answer=…, then run this cell again."
            )
        return str(entry.data["choice"])

    def missing(self) -> str:
        """Return what is not decided; nothing when it is."""
        return "" if self.made else f"nobody has answered: {self.question}"

    def decide(self, choice: str, who: Person | None = None) -> None:
        """Write a decision; the first one stands.

        Raises
        ------
        InputError
            It is none of the options.
        """
        if choice not in self.options:
            raise InputError(
                f"{choice!r} does not answer {self.question!r}.",
                remedy=f"Choose from: {', '.join(self.options)}.",
            )
        if not self.made:
            data: dict[str, Any] = {"choice": choice, "options": list(self.options)}
            self._log.add(
                "decision", step=self._step, text=self.question, identity=str(who or ""),
                data=data | _source(who),
            )  # fmt: skip

    def _entry(self) -> Entry | None:
        entries = self._log.entries_of("decision")
        return next((one for one in entries if one.text == self.question), None)

    def __repr__(self) -> str:
        entry = self._entry()
        answer = f"{entry.data['choice']} ({entry.identity})" if entry else "not decided"
        return f"{self.question} {answer}"

    def _ipython_display_(self) -> None:
        entry = self._entry()
        answers = [_answer(entry, str(entry.data["choice"]))] if entry else []
        _show(repr(self), self.question, "", self.options, self.decide, 1, answers)


class SignOff:
    """The signatures under a record.

    Parameters
    ----------
    log
        What is signed.
    text
        What the people say with it.
    needed
        How many different people.
    """

    def __init__(self, log: BookLog, text: str, needed: int) -> None:
        self._log, self.text, self.needed = log, text, needed

    @property
    def signed_by(self) -> list[str]:
        """Who has signed."""
        return [one.identity for one in self._signatures()]

    def sign(self, who: Person | None = None) -> None:
        """Write a signature, one of each person, with a digest of everything before it."""
        if str(who or self._log.identity) in self.signed_by:
            return
        # A step that runs meanwhile is not what they sign: its line changes when it ends.
        entries = [one for one in self._log.entries if one.status != "running"]
        data: dict[str, Any] = {
            "entries": [one.entry for one in entries],
            "sha256": digest(entries),
        }
        self._log.add(
            "signature", step="", text=self.text, identity=str(who or ""), data=data | _source(who)
        )

    def missing(self) -> str:
        """Return whose signature is missing; nothing when all are there."""
        short = self.needed - len(self.signed_by)
        if short <= 0:
            return ""
        who = "one more person is" if short == 1 else f"{short} more people are"
        return f"{who} to sign: {self.text}"

    def _signatures(self) -> list[Entry]:
        return [one for one in self._log.entries_of("signature") if one.text == self.text]

    def __repr__(self) -> str:
        return f"{self.text} {', '.join(self.signed_by) or 'Nobody has signed.'}"

    def _ipython_display_(self) -> None:
        answers = [_answer(one, "Signed") for one in self._signatures()]
        if not answers and self.needed <= 0:
            print(f"{self.text} Nobody has to sign this.")
            return
        _show(
            repr(self),
            "Sign off",
            self.text,
            ("Sign",),
            lambda _, who: self.sign(who),
            self.needed,
            answers,
        )


def digest(entries: Sequence[Entry]) -> str:
    """Return SHA-256 over entries, in hexadecimal: what a signature is about."""
    return hashlib.sha256(msgspec.json.encode(list(entries))).hexdigest()


def _source(who: Person | None) -> dict[str, str]:
    if who is None:
        return {"source": "the cell's code"}
    return {"source": "browser", "username": who.username, "name": who.name}


def _answer(entry: Entry, choice: str) -> dict[str, str]:
    name = str(entry.data.get("name") or entry.identity)
    return {
        "username": str(entry.data.get("username") or entry.identity),
        "name": name,
        "initials": name[:1].upper(),
        "color": "",
        "choice": choice,
        "at": f"{entry.started_at.astimezone():%H:%M}",
    }


def _show(
    text_form: str,
    title: str,
    text: str,
    options: Sequence[str],
    act: Callable[[str, Person], object],
    needed: int,
    answers: Sequence[dict[str, str]],
) -> None:
    """Show a question where it can be clicked, else in words."""
    if not in_notebook():
        print(text_form)
        return
    from IPython import display

    from opskit.widgets.question import Question

    shown: Any = display
    shown.display(Question(title, text, options, act, needed=needed, answers=answers))
