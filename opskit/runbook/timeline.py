"""A runbook's time line: all entries as a table that shows itself as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from opskit.pictures import Picture
from opskit.pictures.book import book_picture
from opskit.runbook.record import BookRecord, Entry
from opskit.views.frame import About, Columns, View

SCHEMA = {
    "started_at": "time",
    "finished_at": "time",
    "kind": "string",
    "step": "string",
    "text": "string",
    "status": "string",
    "who": "string",
    "seconds": "float",
}


class Timeline(View):
    """The entries of a book, oldest first; in a notebook a picture with its numbers."""

    _metadata = ["_about", "_title"]  # noqa: RUF012 (pandas reads this class attribute)
    _title = ""

    @classmethod
    def of(cls, book: BookRecord, columns: Columns) -> Timeline:
        """Make the time line of a book."""
        about = About(noun="entries", remark=f"runbook {book.book}")
        made = cls(columns.view(about))
        made._about, made._title = about, book.title
        return made

    @property
    def picture(self) -> Picture:
        """The steps as bars over time, all else as points."""
        return book_picture(self, self._title)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.picture.to_html(), "text/plain": repr(self)}


def timeline(book: BookRecord, entries: Sequence[Entry]) -> Timeline:
    """Make the time line of a book."""
    columns = Columns(SCHEMA)
    for one in entries:
        columns.add(
            one.started_at, one.finished_at, one.kind, one.step or None, said(one), one.status,
            one.identity,
            (one.finished_at - one.started_at).total_seconds() if one.finished_at else None,
        )  # fmt: skip
    return Timeline.of(book, columns)


def said(entry: Entry) -> str:
    """Give an entry's text with what was decided or seen."""
    more = entry.data.get("choice") or entry.data.get("detail")
    return f"{entry.text} → {more}" if more else entry.text
