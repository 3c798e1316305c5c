"""Where a runbook stands: its steps as a table, how it ended, and whether it only shows."""

from __future__ import annotations

import html
from collections.abc import Collection
from datetime import datetime
from importlib import import_module
from typing import Annotated, Any

from opskit.journal.records import Entry
from opskit.journal.runbooks import BookLog
from opskit.progress import in_notebook
from opskit.run.outcome import shown_outcome
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About

_BANNER = (
    "margin:0 0 .5em;padding:.4em .8em;border:2px solid #9a6700;border-radius:4px;font-weight:600"
)


class AttemptsRow(Row, frozen=True, kw_only=True):
    """A row of a runbook's steps: the last attempt of one."""

    step: Annotated[str, Column("Its title.")]
    status: Annotated[str, Column("running, done, failed, interrupted or skipped.")]
    who: Annotated[str, Column("Who carried it out, as claimed.")]
    started_at: Annotated[datetime, Column("When it was begun.")]
    seconds: Annotated[float | None, Column("How long it took.", unit="seconds")]


def attempts_view(attempts: Collection[Entry]) -> View:
    """List the last attempt of each step."""
    rows = [
        AttemptsRow(
            step=one.step,
            status=one.status,
            who=one.who,
            started_at=one.started_at,
            seconds=one.seconds,
        )
        for one in attempts
    ]
    return View.from_rows(AttemptsRow, rows, About(noun="steps"))


def failures(attempts: Collection[Entry], log: BookLog) -> list[str]:
    """Say which steps and checks did not end well."""
    steps = [
        f"the step {one.step!r} {one.status}" + (f" ({_line(one.text)})" if one.text else "")
        for one in attempts
        if one.status not in ("done", "skipped")
    ]
    checks = {(one.step, one.text): one for one in log.entries_of("check")}
    return steps + [
        f"the check {one.text!r} failed" for one in checks.values() if one.status != "done"
    ]


def dry_banner(log: BookLog) -> str:
    """Say of a dry run that it is one, and what was done beside it; of another, nothing."""
    record = log.record
    if not record.is_dry_run:
        return ""
    beside = [one.run for one in log.runs_since(record.started_at)]
    if beside:
        return f"Dry run: it changes nothing itself; begun beside it: run {', '.join(beside)}."
    return f"Dry run: nothing {'is' if record.finished_at is None else 'was'} changed."


def as_banner(words: str) -> str:
    """Return words as HTML that nobody overlooks; nothing without words."""
    return f"<p style='{_BANNER}'>{html.escape(words)}</p>" if words else ""


def show_banner(words: str) -> None:
    """Show words so that nobody overlooks them: as a banner below the cell, else as a line."""
    if not in_notebook():
        print(words)
        return
    shown: Any = import_module("IPython.display")
    shown.display({"text/plain": words, "text/html": as_banner(words)}, raw=True)


def show_below(thing: object) -> None:
    """Show something below the cell of a notebook, else as a line."""
    if not in_notebook():
        print(repr(thing))
        return
    shown: Any = import_module("IPython.display")
    shown.display(thing)


def show_outcome(run: str) -> None:
    """Show below the cell of a notebook what a run did."""
    done = shown_outcome(run) if in_notebook() else None
    if done is not None:
        show_below(done)


def _line(text: str) -> str:
    return " ".join(text.split()).removesuffix(".")
