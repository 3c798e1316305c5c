"""What a runbook has written down, and writes: checks, notes, tables, and the report of it all."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from opskit.arguments import check_flag, check_text, names_in, path_in
from opskit.errors import InputError, RunbookError
from opskit.journal.runbooks import BookLog, masked
from opskit.progress import Line
from opskit.runbook.attachments import attachment
from opskit.runbook.questions import Decision, SignOff
from opskit.runbook.report import Timeline, write_report
from opskit.runbook.standing import as_banner, attempts_view, dry_banner
from opskit.runbook.step import StepLog
from opskit.secrets.redact import redact
from opskit.views.frame import View

_LONGEST = 300


class Record:
    """A book as it is written: everything is in the journal as it happens.

    Parameters
    ----------
    log
        The book.
    """

    def __init__(self, log: BookLog) -> None:
        self._log, self._step_log = log, StepLog(log)
        self._questions: dict[str, Decision | SignOff] = {}

    @property
    def id(self) -> str:
        """The book's id in the journal."""
        return self._log.book

    @property
    def title(self) -> str:
        """What it is called."""
        return self._log.record.title

    @property
    def steps(self) -> View:
        """Each step's last attempt: status, who, when, and how long in seconds."""
        return attempts_view(self._step_log.attempts.values())

    def __repr__(self) -> str:
        return "\n".join(
            filter(
                None, (dry_banner(self._log), f"Runbook {self.title} ({self.id})", repr(self.steps))
            )
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        steps = self.steps
        shown = steps.as_html() if len(steps) else "<p>No step is begun yet.</p>"
        head = f"<p><b>{html.escape(self.title)}</b> · runbook {self.id}</p>"
        return {
            "text/plain": repr(self),
            "text/html": f"{as_banner(dry_banner(self._log))}{head}{shown}",
        }

    def check(self, what: str, ok: object, detail: str = "", *, stop: bool = True) -> bool:
        """Write whether something is as it must be.

        Parameters
        ----------
        what
            What must hold.
        ok
            Whether it does.
        detail
            What is seen instead, or how to mend it.
        stop
            When it does not hold, raise; else go on, and let `finish` fail.

        Raises
        ------
        RunbookError
            It does not hold.
        InputError
            It neither holds nor not, as a function that was not called or a whole table.
        """
        check_text("what", what, "Say what must hold.")
        check_flag("stop", stop)
        holds, detail = checked_truth(what, ok), str(detail)
        self._log.add(
            "check", step=self._step_log.current, text=what, status="done" if holds else "failed",
            data={"detail": redact(detail)} if detail else {},
        )  # fmt: skip
        said = f"{what}: this {'holds' if holds else 'does not hold'}. {detail}".rstrip()
        Line(redact(f"{'✓' if holds else '✗'} {said}"))
        if not holds and stop:
            raise RunbookError(f"the check {what!r} failed.{' ' + detail if detail else ''}")
        return holds

    def note(self, text: str, *, who: str = "") -> None:
        """Write what somebody saw or said; the same note in the same step counts once."""
        check_text("text", text, "Say what was seen.")
        check_text("who", who, "Name the person.", empty=True)
        text = masked(text)
        known = {(one.step, one.text) for one in self._log.entries_of("note")}
        if (self._step_log.current, text) not in known:
            self._log.add("note", step=self._step_log.current, text=text, identity=who)

    def remember(self, what: str, names: Sequence[str]) -> list[str]:
        """Write names down, and return those that were written first in this runbook.

        What another kernel goes on with may look different by then.

        Parameters
        ----------
        what
            What they are, such as "versions that leaked".
        names
            What it is now; a list or a column.
        """
        check_text("what", what, "Say what they are.")
        found = names_in("names", names)
        for one in self._log.entries_of("note"):
            if one.data.get("what") == what:
                return list(one.data["names"])
        data = {"what": what, "names": found}
        text = f"{what}: {', '.join(found) or 'none'}"
        self._log.add("note", step=self._step_log.current, text=text, data=data)
        return list(found)

    def keep(self, thing: object, title: str = "", *, step: str = "") -> None:
        """Write a table, plan, run or picture to the record; nothing of it is a secret's value.

        Parameters
        ----------
        thing
            What to keep.
        title
            What it is.
        step
            The step it belongs to; else the one that runs.

        Raises
        ------
        InputError
            It is none of these.
        """
        check_text("title", title, "Say what it is.", empty=True)
        kind, text, data = attachment(thing, title)
        self._log.add(kind, step=step or self._step_log.current, text=text, data=data)

    def timeline(self) -> Timeline:
        """Return all that happened, a `TimelineRow` each, which shows itself as a picture."""
        return Timeline.of(self._log.record, self._log.entries)

    def report(self, path: str | Path) -> Path:
        """Write the whole record to one file that needs nothing else, for its owner to read.

        It says what nobody has decided or signed yet: written again later, it has that, too.

        Parameters
        ----------
        path
            ``.html`` or ``.md``.

        Raises
        ------
        InputError
            The file has another suffix, or cannot be written there.
        """
        return write_report(path_in("path", path), self._log, unanswered=self._unanswered())

    @property
    def _dry_run(self) -> bool:
        return self._log.record.is_dry_run

    def _unanswered(self) -> list[str]:
        return list(filter(None, (one.missing() for one in self._questions.values())))


def checked_title(title: object, kind: str) -> str:
    """Return a title as a book holds it.

    Raises
    ------
    InputError
        It is empty, too long or no text.
    """
    if not isinstance(title, str) or not title.strip():
        raise InputError(f"a {kind} needs a title.", remedy='Give a text, such as "Rotate".')
    if len(title) > _LONGEST:
        raise InputError(
            f"the title of the {kind} has {len(title):,} characters.",
            remedy=f"Keep it under {_LONGEST}.",
        )
    return masked(title)


def checked_truth(what: str, ok: object) -> bool:
    """Return whether something holds.

    Raises
    ------
    InputError
        It is neither true nor false, as a function that was not called or a whole table.
    """
    try:
        if callable(ok) or ok != ok:
            raise ValueError
        return bool(ok)
    except (ValueError, TypeError):
        raise InputError(
            f"the check {what!r} got a {type(ok).__name__}, which is neither true nor false.",
            remedy="Say what of it must hold: f(), table.empty, len(table) == 3.",
        ) from None
