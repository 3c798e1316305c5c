"""A runbook's record as people read it: its time line, and one redacted file of it all.

The report needs nothing else to be read; it is HTML or Markdown.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PosixPath
from typing import Annotated, Any, cast
from urllib.parse import quote

import pandas as pd

from opskit.errors import InputError
from opskit.files.atomic import private_folder, write_private
from opskit.inert import visible
from opskit.journal.records import BookRecord, Entry
from opskit.journal.runbooks import Book
from opskit.journal.runs import open_journal
from opskit.pictures import Picture
from opskit.pictures.timeline import book_picture
from opskit.runbook.attachments import table
from opskit.runbook.questions import digest
from opskit.secrets.redact import redact
from opskit.views.cells import cell_text
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|!~$&]")
_STEPS = ["server", "app", "action", "subject", "phase", "status", "seconds", "error"]


class TimelineRow(Row, frozen=True, kw_only=True):
    """A row of a runbook's time line: one entry of its book."""

    started_at: Annotated[datetime, Column("When it began.")]
    finished_at: Annotated[datetime | None, Column("When it was over.")]
    kind: Annotated[str, Column("What it is, such as step, check or decision.")]
    step: Annotated[str | None, Column("The step it belongs to, or is.")]
    text: Annotated[str, Column("What is said, with what was decided or seen.")]
    status: Annotated[str, Column("running, done, failed, interrupted or skipped.")]
    who: Annotated[str, Column("The person, as claimed.")]
    seconds: Annotated[float | None, Column("How long it took.", unit="seconds")]


class WrittenReport(PosixPath):
    """The path of a report, which shows itself as a sentence with a link."""

    def __repr__(self) -> str:
        return f"Report: {self}"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        path = visible(str(self))
        link = "" if self.is_absolute() else f"href='{html.escape(quote(str(self)))}'"
        return {
            "text/plain": visible(repr(self)),
            "text/html": f"<p>Report: <a {link} target='_blank'>{html.escape(path)}</a></p>",
        }


class Timeline(View):
    """The entries of a book, oldest first; in a notebook a picture with its numbers."""

    _metadata = ["_about", "_title"]  # noqa: RUF012 (pandas reads this class attribute)
    _title = ""

    @classmethod
    def of(cls, book: BookRecord, entries: Sequence[Entry]) -> Timeline:
        """Return the time line of a book."""
        rows = [
            TimelineRow(
                started_at=one.started_at,
                finished_at=one.finished_at,
                kind=one.kind,
                step=one.step or None,
                text=_entry_text(one),
                status=one.status,
                who=one.who,
                seconds=one.seconds,
            )
            for one in entries
        ]
        dry_run = "Dry run: " if book.is_dry_run else ""
        about = About(noun="entries", remark=f"{dry_run}runbook {book.book}")
        made = cls.from_rows(TimelineRow, rows, about)
        made._title = f"{dry_run}{book.title}"
        return made

    @property
    def picture(self) -> Picture:
        """The steps as bars over time, all else as points."""
        return book_picture(self, self._title)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.picture.to_html(), "text/plain": repr(self)}


def write_report(path: Path, log: Book, *, unanswered: Sequence[str] = ()) -> Path:
    """Write a report.

    Parameters
    ----------
    path
        Where to; ``.html`` or ``.md``.
    log
        What it is about.
    unanswered
        What people were asked and have not answered.

    Raises
    ------
    InputError
        The file has another suffix, or cannot be written there.
    MissingToolError
        Jinja is not installed.
    """
    if path.suffix not in (".html", ".md"):
        raise InputError("a report is saved as .html or .md.", path=path, remedy="Name it so.")
    book, entries = log.record, log.entries
    facts = {
        "book": book,
        "made_at": datetime.now(UTC),
        "people": sorted({one.identity for one in entries}),
        "picture": Timeline.of(book, entries).picture,
        "parts": _parts(entries),
        "steps": [one for one in _last(entries) if one.kind == "step"],
        "signatures": _signatures(entries),
        "unanswered": unanswered,
    }
    text = redact(_template(path.suffix).render(facts))
    private_folder(path.parent)
    write_private(path, text)
    return WrittenReport(path)


def _entry_text(entry: Entry) -> str:
    """Return an entry's text with what was decided or seen."""
    more = entry.data.get("choice") or entry.data.get("detail")
    return f"{entry.text} → {more}" if more else entry.text


@cache
def _template(suffix: str) -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("opskit.runbook"),
        autoescape=suffix == ".html",  # noqa: S701 (Markdown has its own filter)
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
    )
    environment.filters |= {"when": _when, "took": _took, "md": _markdown}
    return environment.get_template(f"report{suffix}")


def _parts(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return entries put together by step, in the order the steps were first begun."""
    parts: dict[str, dict[str, Any]] = {}
    for one in entries:
        if one.kind == "signature":
            continue
        part = parts.setdefault(one.step, {"step": one.step, "attempts": [], "entries": []})
        if one.kind == "step":
            part["attempts"].append(one)
        else:
            part["entries"].append({"entry": one, "run": _run(one)})
    return list(parts.values())


def _run(entry: Entry) -> dict[str, Any] | None:
    if entry.kind != "run":
        return None
    with open_journal() as journal:
        try:
            record = journal.run(str(entry.data["run"]))
        except InputError:
            return None
        steps = journal.steps_frame(record.run)
    return {"record": record, "table": table(cast("pd.DataFrame", steps[_STEPS]))}


def _last(entries: Sequence[Entry]) -> list[Entry]:
    return list({(one.kind, one.step): one for one in entries}.values())


def _signatures(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return each signature, and whether what it was put under is unchanged."""
    return [
        {
            "entry": one,
            "holds": digest([e for e in entries if e.entry in set(one.data["entries"])])
            == one.data["sha256"],
            "last": max(one.data["entries"], default=0),
        }
        for one in entries
        if one.kind == "signature"
    ]


def _visible(value: object) -> object:
    """Return plain text without what would reorder or hide the words around it."""
    if type(value) is not str:
        return value
    return "\n".join(cell_text(line) for line in value.split("\n"))


def _when(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment is not None else "-"


def _took(entry: Entry) -> str:
    seconds = entry.seconds
    if seconds is None:
        return "-"
    return f"{seconds:,.1f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"


def _markdown(text: object) -> str:
    """Return text that Markdown shows as it is: no markup, link, character reference or formula."""
    return _MARKUP.sub(
        # Not two backslashes: before a parenthesis they begin a formula in a notebook.
        lambda found: "&#92;" if found[0] == "\\" else f"\\{found[0]}",
        cell_text(text),
    )
