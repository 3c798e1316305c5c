"""What people are asked in a runbook: decisions and signatures, journalled as they are given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from opskit.errors import InputError, RunbookError, UndecidedError
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
    text
        What is to be known before somebody answers.
    plan_digest
        The plan it is about: what was decided of another one does not count.
    since
        The entry it follows: what was decided before that does not count.
    agree, needed
        The option that so many different people must choose; of any other one is enough.
    """

    def __init__(
        self,
        log: BookLog,
        step: str,
        question: str,
        options: tuple[str, ...],
        *,
        text: str = "",
        plan_digest: str = "",
        since: int = 0,
        agree: str = "",
        needed: int = 1,
    ) -> None:
        self._log, self._step, self.question, self.options = log, step, question, options
        self.text, self._digest, self._since = text, plan_digest, since
        self._agree, self._needed = agree, needed

    @property
    def made(self) -> bool:
        """Whether it is decided."""
        return self.entry is not None

    @property
    def entry(self) -> Entry | None:
        """What decided it, as the book has it."""
        agreed = self.agreed
        other = [one for one in self._given() if one.data["choice"] != self._agree]
        if other:
            return other[0]
        return agreed[-1] if agreed and len(agreed) >= self._needed else None

    @property
    def choice(self) -> str:
        """What was chosen.

        Raises
        ------
        UndecidedError
            Nobody has decided yet, or it is not asked now.
        """
        entry = self.entry
        if entry is None and (not_now := self._not_now()):
            raise UndecidedError(not_now)
        if entry is None:
            raise UndecidedError(
                f"nobody has decided yet: {self.question} Choose from {', '.join(self.options)} "
                "in the form above, or give answer=…, then run this cell again."
            )
        return str(entry.data["choice"])

    @property
    def agreed(self) -> list[Entry]:
        """The answers so far that choose what so many people must."""
        return [one for one in self._given() if one.data["choice"] == self._agree]

    @property
    def agreed_by(self) -> str:
        """Who gave them."""
        return ", ".join(one.who for one in self.agreed)

    @property
    def needed(self) -> int:
        """So many different people must choose it."""
        return self._needed

    @property
    def confirmed(self) -> str:
        """The word that one of them typed; empty when nobody did."""
        return next((word for one in self.agreed if (word := one.data.get("confirm"))), "")

    def missing(self) -> str:
        """Return what is not decided; nothing when it is, or is not asked."""
        return "" if self.made or self._not_now() else f"nobody has answered: {self.question}"

    def decide(
        self, choice: str, who: Person | None = None, *, source: str = "", confirm: str = ""
    ) -> None:
        """Write a decision; the first one stands.

        Parameters
        ----------
        choice
            One of the options.
        who
            The person at a browser who chose it.
        source
            Where else it comes from.
        confirm
            The word they typed, for what is not decided by a click alone.

        Raises
        ------
        InputError
            It is none of the options.
        UndecidedError
            It is not asked: it follows a step that is not done, or this is a dry run.
        """
        if choice not in self.options:
            raise InputError(
                f"{choice!r} does not answer {self.question!r}.",
                remedy=f"Choose from: {', '.join(self.options)}.",
            )
        if not_now := self._not_now():
            raise UndecidedError(not_now)
        if self.made or str(who or self._log.identity) in {one.identity for one in self._given()}:
            return
        data: dict[str, Any] = {"choice": choice, "options": list(self.options)}
        if self._digest:
            data["digest"] = self._digest
        if confirm:
            data["confirm"] = confirm
        self._log.add(
            "decision", step=self._step, text=self.question, identity=str(who or ""),
            data=data | _source(who, source),
        )  # fmt: skip

    def outdated(self) -> list[Entry]:
        """Return what was decided of other plans of this step, which does not count."""
        return [
            one
            for one in self._log.entries_of("decision")
            if one.step == self._step and one.data.get("digest", self._digest) != self._digest
        ]

    def _given(self) -> list[Entry]:
        return [
            one
            for one in self._log.entries_of("decision")
            if one.text == self.question
            and one.data.get("digest", "") == self._digest
            and (one.step == self._step or not self._digest)
            and one.entry > self._since
        ]

    def _not_now(self) -> str:
        if self._log.record.is_dry_run:
            return f"Not asked in a dry run: {self.question}"
        if self._since < 0:
            return f"Not asked yet: {self.question}"
        return ""

    def _answered(self, choice: str, who: Person) -> None:
        if self.made:
            raise RunbookError("It is decided already.")
        self.decide(choice, who)

    def __repr__(self) -> str:
        entry = self.entry
        answer = f"{entry.data['choice']} ({entry.who})" if entry else "not decided"
        return self._not_now() or f"{self.question} {answer}"

    def _ipython_display_(self) -> None:
        if not_now := self._not_now():
            print(not_now)
            return
        answers = [_answer(one, str(one.data["choice"])) for one in self._given()]
        needed = len(answers) if self.made else self._needed
        _show(repr(self), self.question, self.text, self.options, self._answered, needed, answers)


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
        if short <= 0 or self._log.record.is_dry_run:
            return ""
        who = "one more person is" if short == 1 else f"{short} more people are"
        return f"{who} to sign: {self.text}"

    def _signatures(self) -> list[Entry]:
        return [one for one in self._log.entries_of("signature") if one.text == self.text]

    def __repr__(self) -> str:
        return f"{self.text} {', '.join(self.signed_by) or 'Nobody has signed.'}"

    def _ipython_display_(self) -> None:
        answers = [_answer(one, "Signed") for one in self._signatures()]
        if self._log.record.is_dry_run:
            print(f"Not signed in a dry run: {self.text}")
            return
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


def _source(who: Person | None, source: str = "") -> dict[str, str]:
    if who is None:
        return {"source": source or "the cell's code"}
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
