"""What the journal remembers of runbooks: each carried out once is a book with entries."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any

import msgspec

from opskit.errors import InputError, LockHeldError
from opskit.journal.claimed import person_or_user
from opskit.journal.database import SCHEMA, Database
from opskit.journal.history import record, records, records_of, rows_of
from opskit.journal.liveness import RunLocks
from opskit.journal.records import (
    BookRecord,
    BookStatus,
    Entry,
    EntryKind,
    EntryStatus,
    RunInBook,
    storable,
)
from opskit.journal.runs import new_run_id
from opskit.secrets.redact import redact
from opskit.settings import journal_path
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About


class BooksRow(Row, frozen=True, kw_only=True):
    """A row of the list of runbooks; times as the database has them, in nanoseconds."""

    book: Annotated[str, Column("Its id.")]
    title: Annotated[str, Column("What the runbook is called.")]
    status: Annotated[str, Column("open, dry-run, done, failed or abandoned.")]
    steps: Annotated[int, Column("How many steps were begun.")]
    failed: Annotated[int, Column("How many of them did not end well when last begun.")]
    identity: Annotated[str, Column("The person that was claimed.")]
    actor: Annotated[str, Column("The operating system's user.")]
    host: Annotated[str, Column("The machine it was last carried out on.")]
    started_at: Annotated[int, Column("When it began.", dtype="time")]
    finished_at: Annotated[int | None, Column("When it ended.", dtype="time")]


_BOOKS_SHOWN = ("book", "title", "status", "steps", "failed", "identity", "started_at")
_LAST_ATTEMPTS = (
    "(SELECT count(*) FROM (SELECT status, max(entry) FROM entries"
    " WHERE kind = 'step' AND entries.book = books.book GROUP BY step)"
)
_COMPUTED = {
    "steps": f"{_LAST_ATTEMPTS})",
    "failed": f"{_LAST_ATTEMPTS} WHERE status IN ('failed', 'interrupted'))",
}
_FAULTS = {
    "faults": "(SELECT count(*) FROM steps WHERE steps.run = runs.run AND phase = 'do'"
    " AND status = 'failed')"
}
"""Columns that no table has."""

_HELD: dict[Path, RunLocks] = {}
"""This process's books, by journal: one kernel may make its Runbook anew again and again."""


class Book:
    """One book in the journal, to be read."""

    def __init__(self, database: Database, book: str) -> None:
        self._database, self.book = database, book

    @classmethod
    def find(cls, beginning: str) -> Book:
        """Return the book whose id begins so.

        Raises
        ------
        InputError
            None does, or several do.
        """
        database = _open_database()
        found = database.texts(
            "SELECT book FROM books WHERE instr(book, ?) = 1 LIMIT 2", (beginning,)
        )
        if not beginning or len(found) != 1:
            raise InputError(
                f"{'several runbooks begin' if beginning and found else 'no runbook begins'} with "
                f"{beginning!r}.",
                remedy="List them with: opskit runbooks",
            )
        return cls(database, found[0])

    @property
    def record(self) -> BookRecord:
        """The book as it is now."""
        return record(self._database, BookRecord, "books", book=self.book)

    @property
    def entries(self) -> list[Entry]:
        """Its entries, oldest first."""
        return records(self._database, Entry, "entries", book=self.book)

    def entries_of(self, kind: EntryKind) -> list[Entry]:
        """Return those of a kind, without reading what was kept beside them."""
        return records(self._database, Entry, "entries", book=self.book, kind=kind)


def books() -> View:
    """Return all runbooks that were carried out, a `BooksRow` each, oldest first."""
    rows = rows_of(_open_database(), BooksRow, "books ORDER BY started_at, book", _COMPUTED)
    return View.from_rows(
        BooksRow,
        rows,
        About(
            noun="runbooks", shown=_BOOKS_SHOWN, goes=("started_at", "failed", "steps", "identity")
        ),
    )


def unfinished_since(moment: datetime) -> list[tuple[str, str, str]]:
    """Return id, title and step of each open runbook in which a step stopped since a moment."""
    database = _open_database()
    found: list[tuple[str, str, str]] = []
    for ident in database.texts("SELECT book FROM books WHERE status = 'open' ORDER BY book"):
        book = Book(database, ident)
        last = next(iter(reversed(book.entries_of("step"))), None)
        if last is not None and last.status != "done" and last.started_at >= moment:
            found.append((book.book, book.record.title, last.step))
    return found


def masked(text: str) -> str:
    """Return a text as a book may hold it: known values masked, and fit to be written."""
    return storable(text, redact)


class BookLog(Book):
    """One book, held by this process until it is closed or the process ends.

    Parameters
    ----------
    title
        What the runbook is called.
    fresh
        Begin a new book also when one of this title is open.
    dry_run
        Begin a book of which nothing is ever gone on with, but by this process.
    identity
        Who carries it out, as claimed.

    Raises
    ------
    LockHeldError
        Another live process carries out the open book of this title.
    JournalError
        It cannot be written.
    """

    def __init__(self, title: str, *, fresh: bool, dry_run: bool, identity: str) -> None:
        path = journal_path()
        super().__init__(_open_database(), "")
        self._locks = _HELD.setdefault(path, RunLocks(path.with_name(f"{path.name}.books")))
        self.actor, self._host = getpass.getuser(), socket.gethostname()
        self.identity = person_or_user(identity)
        title, begun = masked(title), "dry-run" if dry_run else "open"
        found = self._database.texts(
            "SELECT book FROM books WHERE title = ? AND status = ? AND finished_at IS NULL"
            " ORDER BY started_at",
            (title, begun),
        )
        opened = [book for book in found if not dry_run or self._locks.holds(book)]
        if fresh and not dry_run:
            for book in opened:
                self._abandon(book)
        self.resumed = bool(opened) and not fresh
        self.book = opened[-1] if self.resumed else self._begin(title, begun)
        if self.resumed:
            self._resume()

    def begin(
        self,
        kind: EntryKind,
        *,
        step: str,
        text: str,
        data: Mapping[str, Any] | None = None,
        identity: str = "",
    ) -> int:
        """Write that something begins, and return its number."""
        return self._write(kind, step, "running", text, data or {}, identity)

    def end(self, entry: int, status: EntryStatus, text: str = "") -> None:
        """Write how an entry ended; `text` replaces what was said unless it is empty."""
        self._database.write(
            "UPDATE entries SET status = ?, finished_at = ?, text = coalesce(nullif(?, ''), text)"
            " WHERE book = ? AND entry = ?",
            (status, time.time_ns(), masked(text), self.book, entry),
        )

    def add(
        self,
        kind: EntryKind,
        *,
        step: str,
        text: str,
        status: EntryStatus = "done",
        data: Mapping[str, Any] | None = None,
        identity: str = "",
    ) -> int:
        """Write what happens at once, and return its number."""
        return self._write(kind, step, status, text, data or {}, identity)

    def close(self, status: BookStatus) -> None:
        """Write how the book ended, and let it go; a dry run stays one."""
        status = "dry-run" if self.record.is_dry_run else status
        self._database.write(
            "UPDATE books SET status = ?, finished_at = ? WHERE book = ?",
            (status, time.time_ns(), self.book),
        )
        self._locks.drop(self.book, forget=True)

    def runs_since(self, since: datetime) -> list[RunInBook]:
        """Return the runs that this process began or ended since then."""
        return self._runs(
            "max(started_at, coalesce(finished_at, 0)) >= ? AND pid = ? AND host = ?",
            (int(since.timestamp() * 1e9), os.getpid(), self._host),
        )

    def applied(self, step: str, plan_digest: str) -> RunInBook | None:
        """Return the last run that carried out this plan, or this step of a book of this title.

        One that failed, and was put back, does not count.
        """
        runs = self._runs(
            "plan_digest = ? OR run IN (SELECT json_extract(data, '$.run') FROM entries JOIN books"
            " USING (book) WHERE kind = 'run' AND step = ? AND title = ?)",
            (plan_digest, step, self.record.title),
        )
        return next((one for one in reversed(runs) if one.outcome != "failed"), None)

    # -- within ---------------------------------------------------------------------------

    def _runs(self, where: str, arguments: tuple[object, ...]) -> list[RunInBook]:
        source = f"runs WHERE {where} ORDER BY started_at"
        return records_of(self._database, RunInBook, source, _FAULTS, arguments)

    def _begin(self, title: str, status: str) -> str:
        book = new_run_id()
        self._locks.take(book)
        self._database.write(
            "INSERT INTO books VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (book, title, status, *map(masked, (self.actor, self._host)), os.getpid(),
             masked(self.identity), package_version("opskit"), time.time_ns()),
        )  # fmt: skip
        return book

    def _resume(self) -> None:
        if not self._locks.holds(self.book):
            try:
                self._locks.take(self.book)
            except LockHeldError:
                was = self.record
                raise LockHeldError(
                    f"the runbook {was.title!r} ({self.book}) is being carried out by {was.actor} "
                    f"on {was.host} (process {was.pid}): go on there, or begin another with "
                    "fresh=True."
                ) from None
            # Whoever held it is gone: what was running then is not running now.
            self._database.write(
                "UPDATE entries SET status = 'interrupted', finished_at = ?"
                " WHERE book = ? AND status = 'running'",
                (time.time_ns(), self.book),
            )
        self._database.write(
            "UPDATE books SET actor = ?, host = ?, pid = ?, identity = ? WHERE book = ?",
            (*map(masked, (self.actor, self._host)), os.getpid(), masked(self.identity),
             self.book),
        )  # fmt: skip

    def _abandon(self, book: str) -> None:
        if self._locks.is_held(book) and not self._locks.holds(book):
            return
        self._database.write(
            "UPDATE books SET status = 'abandoned', finished_at = ? WHERE book = ?",
            (time.time_ns(), book),
        )
        self._locks.drop(book, forget=True)

    def _write(
        self,
        kind: EntryKind,
        step: str,
        status: EntryStatus,
        text: str,
        data: Mapping[str, Any],
        identity: str,
    ) -> int:
        now = time.time_ns()
        finished_at = None if status == "running" else now
        encoded = masked(msgspec.json.encode(data).decode())
        said = tuple(map(masked, (step, status, text)))
        # The number is chosen in the same transaction: a form's thread may write meanwhile.
        self._database.write(
            "INSERT INTO entries SELECT ?, 1 + coalesce(max(entry), 0), ?, ?, ?, ?, ?, ?, ?, ?"
            " FROM entries WHERE book = ?",
            (self.book, kind, *said, encoded, masked(identity or self.identity), now,
             finished_at, self.book),
        )  # fmt: skip
        rows = self._database.read(
            "SELECT entry FROM entries WHERE book = ? AND kind = ? AND started_at = ?",
            (self.book, kind, now),
        )
        return int(rows[-1][0])


def _open_database() -> Database:
    return Database(journal_path(), SCHEMA, patience=30.0)
